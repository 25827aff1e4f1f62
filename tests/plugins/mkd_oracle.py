"""MKD's score and forward map in plain numpy, written from the formulas alone."""

from __future__ import annotations

import numpy as np

from edgead_plugins.postprocessors import bilinear_matrix


def cosine_gap(a: np.ndarray, b: np.ndarray) -> float:
    return 1 - float(a @ b) / float(np.sqrt(a @ a) * np.sqrt(b @ b))


def image_score(pairs: list[tuple[np.ndarray, np.ndarray]], direction: float, value: float) -> float:
    """Pairs of (C, h, w) maps; both terms over whole maps, summed over the pairs."""
    total = 0.0
    for a, b in pairs:
        a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
        total += direction * cosine_gap(a, b) + value * float(((a - b) ** 2).mean())
    return total


def forward_map(pairs: list[tuple[np.ndarray, np.ndarray]], direction: float, value: float) -> np.ndarray:
    """Both terms over the channels at each position; coarser maps enlarged bilinearly to the first's grid."""
    size = pairs[0][0].shape[1:]
    total = np.zeros(size)
    for a, b in pairs:
        a, b = a.astype(np.float64), b.astype(np.float64)
        here = np.zeros(a.shape[1:])
        for i in range(a.shape[1]):
            for j in range(a.shape[2]):
                x, y = a[:, i, j], b[:, i, j]
                here[i, j] = direction * cosine_gap(x, y) + value * ((x - y) ** 2).mean()
        rows, columns = (bilinear_matrix(n, m) for n, m in zip(here.shape, size, strict=True))
        total += rows @ here @ columns.T
    return total
