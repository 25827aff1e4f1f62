"""Mean and scatter of the features at each position, gathered in one pass over the images.

Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979:
each batch is centred on its own mean, and the shift between batch mean and running mean enters as one more
row of the same product. Nothing large is ever subtracted from something large, so float32 sums do, and no
image is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgead.errors import DatasetError
from edgead_plugins.threads import threads

Floats = NDArray[np.float32]

CHUNK = 128
"""Positions whose matrices are worked on at a time."""
_BATCH = 128  # images that one product takes at most: a product of few is mostly traffic of its sums
_BATCH_BYTES = 256 << 20  # and as many as their features take


@dataclass(frozen=True)
class Moments:
    """Of ``n`` images.

    Attributes:
        n: images.
        mean: (positions, d) float64.
        scatter: (positions, d, d) float32 sums of outer products of deviations, or (positions, d) of squares.
    """

    n: int
    mean: NDArray[np.float64]
    scatter: Floats


def moments(
    images: Iterator[Floats], here: slice, d: int, diagonal: bool, advance: Callable[[int], None]
) -> Moments:
    """Gather them.

    Args:
        images: (d, all positions) float32 each.
        here: the positions that are asked for.
        diagonal: squares alone.
        advance: is told of each image.

    Raises:
        DatasetError: there is no image.
    """
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
                share(add, chunks(positions))
                n, filled = n + filled, 0
            advance(1)
        if filled:
            share(add, chunks(positions))
            n += filled
    if n == 0:
        raise DatasetError("a density needs at least one good image to be fitted on")
    return Moments(n, mean, scatter)


def without(whole: Moments, part: Moments, here: slice) -> Moments:
    """The moments, at the positions ``here``, of the whole's images that aren't the part's.

    Args:
        part: at those positions alone; its scatter is written over.
    """
    n = whole.n - part.n
    if n <= 0:
        raise DatasetError("a density needs at least one good image to be fitted on")
    centre = whole.mean[here]
    mean = centre + (centre - part.mean) * (part.n / n)
    shift = ((part.mean - mean) * np.sqrt(n * part.n / whole.n)).astype(np.float32)
    scatter = part.scatter

    def subtract(_: int, some: slice) -> None:
        rows = shift[some]
        scatter[some] += rows * rows if scatter.ndim == 2 else rows[:, :, None] * rows[:, None, :]
        np.subtract(whole.scatter[here][some], scatter[some], out=scatter[some])

    with threads() as share:
        share(subtract, chunks(len(mean)))
    return Moments(n, mean, scatter)


def chunks(stop: int, size: int = CHUNK, start: int = 0) -> Iterator[slice]:
    """Slices of ``start`` to ``stop``, of ``size`` each."""
    return (slice(first, min(first + size, stop)) for first in range(start, stop, size))


__all__ = ["CHUNK", "Moments", "chunks", "moments", "without"]
