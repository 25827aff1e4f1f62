"""One multivariate Gaussian for each position of a feature map: PaDiM's density, and any method's.

Mean and unbiased covariance are gathered in one pass over the images; see ``edgead_plugins.moments``.

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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Literal

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.progress import silent
from edgead.types import BankPrecision, Progress, Size
from edgead.workbench.graph import parameter, static_shape
from edgead.workbench.saturation import PAIR, neighbour_sums
from edgead_plugins.moments import CHUNK, chunks, moments, without
from edgead_plugins.threads import threads
from edgead_plugins.whitening import whiten

Floats = NDArray[np.float32]
Form = Literal["full", "low-rank", "diagonal"]

SHRINK = np.float32(16)
"""The squares are summed at 1/16 of the distance, so that FP16 doesn't overflow; a power of two is exact."""
CLIP = 32.0
"""INT8: deviations are clipped at so many standard deviations of their own channel and position: half as many
bend the scores of defects, twice as many round those of good parts."""


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
            share(measure, chunks(positions))
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
            share(quantise, chunks(positions))
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


@dataclass(frozen=True)
class Estimation:
    """How Gaussians are estimated.

    Attributes:
        form: see the module's text.
        rank: how many directions the low-rank form keeps, 1 to d.
        ridge: added to the covariance's diagonal; above 0.
        memory_bytes: bound on the covariances in work, 4 d^2 bytes a position; the result comes on top.
    """

    form: Form = "full"
    rank: int = 0
    ridge: float = 0.01
    memory_bytes: int = 1 << 30

    def rows(self, d: int) -> int:
        """Rows of a factor; 0 for the diagonal form, which has none."""
        return {"full": d, "low-rank": self.rank, "diagonal": 0}[self.form]


def estimate_density(
    features: Callable[[], Iterator[Floats]],
    positions: int,
    d: int,
    how: Estimation = Estimation(),
    *,
    progress: Progress,
    description: str = "reading good images",
    total: int | None = None,
) -> GaussianDensity:
    """Fit the Gaussians, in as many passes over the images as the memory for covariances asks for.

    Args:
        features: starts a pass: (d, positions) float32 for each image, the same at every pass.
        how: full factors are written over their covariances, so they take no memory on top. At least 128
            positions are worked on at a time.
        description, total: for ``progress``, with the number of images.

    Raises:
        DatasetError: there is no image.
    """
    block = positions if how.form == "diagonal" else max(CHUNK, how.memory_bytes // (4 * d * d))
    mean = np.empty((positions, d), np.float32)
    variance = np.empty((positions, d), np.float32)
    rows = how.rows(d)
    whole = how.form == "full" and block >= positions
    factor = None if whole or not rows else np.empty((positions, rows, d), np.float32)
    passes = -(-positions // block)
    n = 0
    for number, start in enumerate(range(0, positions, block)):
        here = slice(start, min(start + block, positions))
        text = description if passes == 1 else f"{description}, pass {number + 1} of {passes}"
        with progress(text, total) as advance:
            found = moments(features(), here, d, how.form == "diagonal", advance)
        n, scatter = found.n, found.scatter
        scatter /= max(n - 1, 1)
        mean[here] = found.mean
        variance[here] = scatter if how.form == "diagonal" else np.einsum("pii->pi", scatter)
        if rows:
            target = scatter if whole else factor
            assert target is not None
            whiten(scatter, target[:] if whole else target[here], how.ridge, progress)
        if whole:
            factor = scatter
        del found, scatter
    return GaussianDensity(mean, variance, factor, how.ridge, n)


def densities_without_each(
    folds: Sequence[Callable[[], Iterator[Floats]]],
    positions: int,
    d: int,
    how: Estimation = Estimation(),
) -> Iterator[GaussianDensity]:
    """For each fold, the Gaussians of all the others' images: of the sums of all, its own are taken away.

    Two passes over the images, and one more over each fold for each further block of positions that the
    memory makes. Arguments as in ``estimate_density``; each fold's ``features`` start a pass over its images.

    Args:
        how: where its ``memory_bytes`` don't hold the covariances of all positions, each fold's Gaussians are
            estimated from scratch.

    Raises:
        DatasetError: the other folds have no image.
    """
    diagonal, rows = how.form == "diagonal", how.rows(d)
    each = 4 * d if diagonal else 4 * d * d
    if each * positions > how.memory_bytes:
        for own in range(len(folds)):
            others = [fold for number, fold in enumerate(folds) if number != own]
            yield estimate_density(partial(_chained, others), positions, d, how, progress=silent)
        return
    whole = moments(_chained(folds), slice(0, positions), d, diagonal, lambda done: None)
    block = max(CHUNK, (how.memory_bytes - each * positions) // each)
    for fold in folds:
        mean, variance = np.empty((positions, d), np.float32), np.empty((positions, d), np.float32)
        factor = np.empty((positions, rows, d), np.float32) if rows else None
        for start in range(0, positions, block):
            here = slice(start, min(start + block, positions))
            rest = without(whole, moments(fold(), here, d, diagonal, lambda done: None), here)
            scatter = rest.scatter
            scatter /= max(rest.n - 1, 1)
            mean[here] = rest.mean
            squares = scatter if diagonal else np.einsum("pii->pi", scatter)
            variance[here] = np.maximum(squares, 0)
            if factor is not None:
                whiten(scatter, factor[here], how.ridge, silent)
        yield GaussianDensity(mean, variance, factor, how.ridge, rest.n)
        del mean, variance, factor


def _chained(folds: Sequence[Callable[[], Iterator[Floats]]]) -> Iterator[Floats]:
    return chain.from_iterable(fold() for fold in folds)


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
