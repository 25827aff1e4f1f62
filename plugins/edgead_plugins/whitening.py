"""Whitening factors of many covariances at once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.types import Progress
from edgead_plugins.moments import CHUNK, chunks
from edgead_plugins.threads import threads

Floats = NDArray[np.float32]


def whiten(covariance: Floats, out: Floats, ridge: float, progress: Progress) -> None:
    """Factors into ``out`` (positions, rows, d), which may be ``covariance`` itself; in float64 inside.

    Covariances are float32 sums, so of features with variances beyond 1e4 or so what is rounded may be more
    than the ridge, and an eigenvalue below 0. As that of a covariance can't be, it's taken as ``ridge``.
    """
    positions, rows, d = out.shape
    regular_by = ridge * np.eye(d)

    def whiten(_: int, part: slice) -> None:
        regular = covariance[part].astype(np.float64)
        regular += regular_by
        if rows == d:
            out[part] = _inverse_of_lower(_lower(regular, ridge))
        else:
            variances, directions = np.linalg.eigh(regular)  # ascending
            np.maximum(variances, ridge, out=variances)
            out[part] = (directions[:, :, :rows] / np.sqrt(variances[:, None, :rows])).transpose(0, 2, 1)

    with progress("whitening", positions) as advance, threads() as share:
        for some in chunks(positions, 16 * CHUNK):  # a progress may want its calls from one thread
            share(whiten, chunks(some.stop, start=some.start))
            advance(some.stop - some.start)


def _lower(regular: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Cholesky factors (n, d, d) of matrices whose eigenvalues are at least ``ridge``, or are made so."""
    with suppress(np.linalg.LinAlgError):
        return np.asarray(np.linalg.cholesky(regular), np.float64)
    variances, directions = np.linalg.eigh(regular)
    roots = directions * np.sqrt(np.maximum(variances, ridge))[:, None]
    # Where roots^T = QR, R^T is such a factor, but for signs. Factoring their product might fail again.
    upper = np.linalg.qr(roots.transpose(0, 2, 1), mode="r")
    upper *= np.sign(np.einsum("nii->ni", upper))[:, :, None]
    return np.ascontiguousarray(upper.transpose(0, 2, 1))


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


__all__ = ["whiten"]
