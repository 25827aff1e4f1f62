"""One multivariate Gaussian for each position of a feature map: PaDiM's density, and any method's.

Mean and unbiased covariance are gathered in one pass over the images (Chan, Golub and LeVeque, "Updating
formulae and a pairwise algorithm for computing sample variances", 1979): each batch is centred on its own
mean, and the shift between batch mean and running mean enters as one more row of the same product. Nothing
large is ever subtracted from something large, so float32 sums do, and no image is kept.

A position's score is the Mahalanobis distance |W (x - mean)| with W^T W = (covariance + ridge I)^-1:

* full: W is the inverse Cholesky factor, (d, d);
* low-rank: the ``rank`` directions in which good images vary least, (rank, d). They are what makes the
  distance large for a defect, and each is divided by the standard deviation in it;
* diagonal: a standard deviation per channel, correlations ignored.

With fewer images than d + 1 the covariance is singular; the ridge makes every eigenvalue at least ``ridge``,
so W is defined, its entries are at most ridge^-1/2, and it fits FP16. Sums of squares may not: the norm is
taken of W (x - mean) / 16, which moves FP16's limit to a distance of 4,096.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.errors import DatasetError
from edgead.types import BankPrecision, Progress, Size
from edgead.workbench.graph import parameter, static_shape
from edgead.workbench.saturation import PAIR, neighbour_sums
from edgead_plugins.threads import threads

Floats = NDArray[np.float32]
Form = Literal["full", "low-rank", "diagonal"]

SHRINK = np.float32(16)
"""The squares are summed at 1/16 of the distance, so that FP16 doesn't overflow; a power of two is exact."""
CLIP = 32.0
"""INT8: deviations are clipped at so many standard deviations of their own channel and position: half as many
bend the scores of defects, twice as many round those of good parts."""
_BATCH = 128  # images that one product takes at most: a product of few is mostly traffic of its sums
_BATCH_BYTES = 256 << 20  # and as many as their features take
_CHUNK = 128  # positions whose matrices are worked on at a time


@dataclass(frozen=True)
class GaussianDensity:
    """Gaussians on a grid of positions, row by row, that lower themselves to ONNX.

    Attributes:
        mean: (positions, d) float32.
        variance: (positions, d) float32, unbiased, without the ridge.
        factor: (positions, rows, d) float32 whitening factors, or None for the diagonal form.
        ridge: what is added to each variance.
        n_images: how many images the moments are from.
    """

    mean: Floats
    variance: Floats
    factor: Floats | None
    ridge: float
    n_images: int

    @property
    def spread(self) -> Floats:
        """(positions, d) float32 standard deviations, the ridge included: never 0."""
        return self._spread_of(slice(None))

    def _spread_of(self, part: slice) -> Floats:
        spread: Floats = np.sqrt(self.variance[part] + np.float32(self.ridge))
        return spread

    def bytes(self, precision: BankPrecision) -> int:
        """What the graph holds of it."""
        positions, d = self.mean.shape
        return density_bytes(positions, d, 0 if self.factor is None else self.factor.shape[1], precision)

    def distances(self, features: Floats) -> Floats:
        """(n, positions) float32 of n images' features (n, d, positions): ``graph``'s, many at a time."""
        n, _, positions = features.shape
        found = np.empty((n, positions), np.float32)

        def measure(_: int, part: slice) -> None:
            rows = features[:, :, part].transpose(2, 0, 1) - self.mean[part, None]
            if self.factor is None:
                rows /= self._spread_of(part)[:, None]
            else:
                rows = np.matmul(rows, self.factor[part].transpose(0, 2, 1))
            found[:, part] = np.sqrt(np.einsum("pnr,pnr->pn", rows, rows)).T

        with threads() as share:
            share(measure, _chunks(positions))
        return found

    def graph(self, features: Var, precision: BankPrecision, name: str = "gaussian") -> Var:
        """Compose the distances (1, 1, h, w) of ``features`` (1, d, h, w), in the graph being composed.

        INT8 stores the factors as int8, a scale for each row of each position, and takes deviations in steps
        of CLIP / 127 standard deviations; the product is a sum of d integers below 2^14 in 32 bits. The
        diagonal form has no factors to store, and stays as it is.
        """
        _, d, h, w = static_shape(features)
        positions = len(self.mean)
        rows = op.reshape(op.transpose(features, perm=[0, 2, 3, 1]), op.const([positions, 1, d]))
        deviation = op.sub(rows, parameter(f"{name}_mean", self.mean[:, None]))
        if self.factor is None:
            inverse = parameter(f"{name}_inverse_spread", (1 / (SHRINK * self.spread))[:, None])
            whitened = op.mul(deviation, inverse)
        elif precision == "fp32":
            factor = np.empty(self.factor.transpose(0, 2, 1).shape, np.float32)
            np.divide(self.factor.transpose(0, 2, 1), SHRINK, out=factor)  # one copy: it may be gigabytes
            whitened = op.matmul(deviation, parameter(f"{name}_factor", factor))
        else:
            whitened = self._whiten_int8(deviation, name)
        norm = op.sqrt(op.reduce_sum_square(whitened, op.const([2]), keepdims=0))
        return op.reshape(op.mul(norm, op.const(SHRINK)), op.const([1, 1, h, w]))

    def quantised(self) -> tuple[NDArray[np.int8], Floats]:
        """(positions, d, rows) int8 factors for deviations in standard deviations, and (positions, 1, rows)
        float32 scales of a step: factor * spread = quantised / 127 * scale."""
        assert self.factor is not None
        positions, rows, d = self.factor.shape
        steps = np.empty((positions, d, rows), np.int8)
        scale = np.empty((positions, 1, rows), np.float32)

        def quantise(_: int, part: slice) -> None:  # of all at once there would be a few copies
            assert self.factor is not None
            scaled = self.factor[part] * self._spread_of(part)[:, None]
            largest = np.abs(scaled).max(2)
            # Two neighbours must fit 16 bits together; see ``edgead.workbench.saturation``.
            pairs = neighbour_sums(scaled).astype(np.float32)
            np.maximum(largest, pairs * np.float32(127 / (PAIR - 1)), out=largest)
            np.maximum(largest, np.float32(1e-12), out=largest)
            scaled *= (127 / largest)[:, :, None]
            steps[part] = np.rint(scaled, out=scaled).transpose(0, 2, 1)
            scale[part, 0] = largest

        with threads() as share:
            share(quantise, _chunks(positions))
        return steps, scale

    def _whiten_int8(self, deviation: Var, name: str) -> Var:
        """Both sides symmetric about 0, so that no offset has to be taken from the product again."""
        steps, scale = self.quantised()
        one, zero = op.const(np.float32(1)), op.const(np.int8(0))
        per_step = parameter(f"{name}_steps", np.float32(127 / CLIP) / self.spread[:, None])
        rounded = op.dequantize_linear(op.quantize_linear(op.mul(deviation, per_step), one, zero), one, zero)
        factor = op.dequantize_linear(parameter(f"{name}_factor", steps), one, zero)
        unit = np.float32(CLIP / 127 / 127) / SHRINK
        product = op.mul(op.matmul(rounded, factor), op.const(unit))
        return op.mul(product, parameter(f"{name}_scale", scale))


def density_bytes(positions: int, d: int, rows: int, precision: BankPrecision) -> int:
    """Bytes in the graph of ``positions`` Gaussians in d dimensions; ``rows`` of a factor, 0: diagonal."""
    if rows == 0:
        return positions * d * 8
    if precision == "fp32":
        return positions * (4 * d + 4 * rows * d)
    return positions * (8 * d + rows * d + 4 * rows)


def estimate_density(
    features: Callable[[], Iterator[Floats]],
    positions: int,
    d: int,
    *,
    form: Form = "full",
    rank: int = 0,
    ridge: float = 0.01,
    memory_bytes: int = 1 << 30,
    progress: Progress,
    description: str = "reading good images",
    total: int | None = None,
) -> GaussianDensity:
    """Fit the Gaussians, in as many passes over the images as the memory for covariances asks for.

    Args:
        features: starts a pass: (d, positions) float32 for each image, the same at every pass.
        form: see the module's text; ``rank`` is how many directions the low-rank form keeps, 1 to d.
        ridge: added to the covariance's diagonal; above 0.
        memory_bytes: bound on the covariances in work, 4 d^2 bytes a position; the result comes on top,
            except that full factors are written over their covariances. At least 128 positions at a time.
        description, total: for ``progress``, with the number of images.

    Raises:
        DatasetError: there is no image.
    """
    block = positions if form == "diagonal" else max(_CHUNK, memory_bytes // (4 * d * d))
    mean = np.empty((positions, d), np.float32)
    variance = np.empty((positions, d), np.float32)
    rows = {"full": d, "low-rank": rank, "diagonal": 0}[form]
    whole = form == "full" and block >= positions
    factor = None if whole or not rows else np.empty((positions, rows, d), np.float32)
    passes = -(-positions // block)
    n = 0
    for number, start in enumerate(range(0, positions, block)):
        here = slice(start, min(start + block, positions))
        text = description if passes == 1 else f"{description}, pass {number + 1} of {passes}"
        with progress(text, total) as advance:
            n, centre, scatter = _moments(features(), here, d, form == "diagonal", advance)
        scatter /= max(n - 1, 1)
        mean[here] = centre
        variance[here] = scatter if form == "diagonal" else np.einsum("pii->pi", scatter)
        if rows:
            target = scatter if whole else factor
            assert target is not None
            _whiten(scatter, target[:] if whole else target[here], ridge, progress)
        if whole:
            factor = scatter
        del scatter
    return GaussianDensity(mean, variance, factor, ridge, n)


def _moments(
    images: Iterator[Floats], here: slice, d: int, diagonal: bool, advance: Callable[[int], None]
) -> tuple[int, NDArray[np.float64], Floats]:
    """Number of images, mean (positions, d) and sum of outer products (positions, d, d), or of squares."""
    positions = here.stop - here.start
    mean = np.zeros((positions, d))
    scatter = np.zeros((positions, d) if diagonal else (positions, d, d), np.float32)
    most = min(_BATCH, max(1, _BATCH_BYTES // (4 * positions * d)))
    batch = np.empty((positions, most + 1, d), np.float32)  # the last row in use is the means' shift
    n = filled = 0

    def add(_: int, part: slice) -> None:
        rows = batch[part, :filled]
        shift = rows.mean(1, dtype=np.float64)
        rows -= shift[:, None].astype(np.float32)
        shift -= mean[part]
        batch[part, filled] = shift * np.sqrt(n * filled / (n + filled))
        mean[part] += shift * (filled / (n + filled))
        rows = batch[part, : filled + 1]
        scatter[part] += (rows * rows).sum(1) if diagonal else np.matmul(rows.transpose(0, 2, 1), rows)

    with threads() as share:
        for image in images:
            batch[:, filled] = image[:, here].T
            filled += 1
            if filled == most:
                share(add, _chunks(positions))
                n, filled = n + filled, 0
            advance(1)
        if filled:
            share(add, _chunks(positions))
            n += filled
    if n == 0:
        raise DatasetError("a density needs at least one good image to be fitted on")
    return n, mean, scatter


def _whiten(covariance: Floats, out: Floats, ridge: float, progress: Progress) -> None:
    """Factors into ``out`` (positions, rows, d), which may be ``covariance`` itself; in float64 inside."""
    positions, rows, d = out.shape
    regular_by = ridge * np.eye(d)

    def whiten(_: int, part: slice) -> None:
        regular = covariance[part].astype(np.float64)
        regular += regular_by
        if rows == d:
            out[part] = _inverse_of_lower(np.linalg.cholesky(regular))
        else:
            variances, directions = np.linalg.eigh(regular)  # ascending
            out[part] = (directions[:, :, :rows] / np.sqrt(variances[:, None, :rows])).transpose(0, 2, 1)

    with progress("whitening", positions) as advance, threads() as share:
        for some in _chunks(positions, 16 * _CHUNK):  # a progress may want its calls from one thread
            share(whiten, _chunks(some.stop, start=some.start))
            advance(some.stop - some.start)


def _chunks(stop: int, size: int = _CHUNK, start: int = 0) -> Iterator[slice]:
    return (slice(first, min(first + size, stop)) for first in range(start, stop, size))


def _inverse_of_lower(factors: NDArray[Any]) -> NDArray[Any]:
    """Invert lower triangular matrices (n, d, d) by halves: numpy has no batched solver that knows the shape,
    and its general one, a call and a thread team for each matrix, takes 80 times as long."""
    d = factors.shape[1]
    if d <= 12:
        small: NDArray[Any] = np.linalg.inv(factors)
        return small
    half = d // 2
    upper = _inverse_of_lower(np.ascontiguousarray(factors[:, :half, :half]))
    lower = _inverse_of_lower(np.ascontiguousarray(factors[:, half:, half:]))
    inverse = np.zeros_like(factors)
    inverse[:, :half, :half], inverse[:, half:, half:] = upper, lower
    inverse[:, half:, :half] = -np.matmul(np.matmul(lower, factors[:, half:, :half]), upper)
    return inverse


def explained_by_position(density: GaussianDensity, grid: Size) -> float:
    """Return the share of the features' variance that the position alone explains, 0 to 1.

    Near 1: position tells what is there, the parts are aligned. Near 0: every position shows the same, a
    surface without parts, where nothing needs aligning. In between: there is something to see, and it isn't
    always at the same place. The outer eighth is left out, since there the network sees its own padding.
    """
    h, w = grid
    inner = np.zeros(grid, bool)
    inner[h // 8 : h - h // 8, w // 8 : w - w // 8] = True
    mean, variance = (a[inner.ravel()].astype(np.float64) for a in (density.mean, density.variance))
    within = variance.mean(0)
    between = np.maximum(mean.var(0) - within / density.n_images, 0)  # the means' own noise isn't structure
    whole = within + between
    alive = whole > 1e-9
    return float((between[alive] / whole[alive]).mean()) if alive.any() else 0.0
