"""Principal components of a memory bank, turned so that no dimension needs a wider step than another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
MOST_ROWS = 5_000
"""Rows that the components are computed from; of more, every so many-th."""


def principal_axes(rows: Floats) -> NDArray[np.float64]:
    """(dim, dim) orthonormal columns, the direction of the rows' largest variance first.

    Args:
        rows: (n, dim) float32.
    """
    some = rows[:: -(-len(rows) // MOST_ROWS)]
    some = some - some.mean(0, dtype=np.float64).astype(np.float32)
    _, vectors = np.linalg.eigh((some.T @ some).astype(np.float64))
    axes: NDArray[np.float64] = vectors[:, ::-1]
    return axes


def turned(axes: NDArray[np.float64]) -> Floats:
    """(dim, count) float32: orthonormal columns that span what ``axes`` (dim, count) do.

    Turned at random, always alike: principal components differ in variance by orders of magnitude, and one
    INT8 step for all would leave the smaller ones nothing.
    """
    count = axes.shape[1]
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((count, count)))
    columns: Floats = np.ascontiguousarray(axes @ turn, np.float32)
    return columns


__all__ = ["Floats", "principal_axes", "turned"]
