"""DeSTSeg's losses, maps and score in plain numpy, written from the formulas alone."""

from __future__ import annotations

import math

import numpy as np


def bilinear(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Half-pixel centres, the border repeated; pixel by pixel."""
    found = np.zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            y = min(max((i + 0.5) * x.shape[0] / size[0] - 0.5, 0), x.shape[0] - 1)
            u = min(max((j + 0.5) * x.shape[1] / size[1] - 0.5, 0), x.shape[1] - 1)
            y0, x0 = int(y), int(u)
            y1, x1 = min(y0 + 1, x.shape[0] - 1), min(x0 + 1, x.shape[1] - 1)
            a, b = y - y0, u - x0
            found[i, j] = (1 - a) * ((1 - b) * x[y0, x0] + b * x[y0, x1]) + a * (
                (1 - b) * x[y1, x0] + b * x[y1, x1]
            )
    return found


def cosine_gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 - cos over the channels of (C, h, w)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return 1 - (a * b).sum(0) / np.sqrt((a * a).sum(0) * (b * b).sum(0))


def student_loss(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Of (N, C, h, w) pairs: a mean over positions, sums over layers and images."""
    return sum(float(cosine_gap(a[i], b[i]).mean()) for a, b in pairs for i in range(len(a)))


def segmentation_loss(logits: np.ndarray, mask: np.ndarray, gamma: float) -> float:
    """Pixel by pixel: focal loss and L1 of the probability, both averaged."""
    focal = absolute = 0.0
    for z, m in zip(logits.ravel(), mask.ravel(), strict=True):
        y = 1 / (1 + math.exp(-z))
        p = m * y + (1 - m) * (1 - y)
        focal -= (1 - p) ** gamma * math.log(p)
        absolute += abs(m - y)
    return (focal + absolute) / logits.size


def segmentation_map(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return bilinear(1 / (1 + np.exp(-logits.astype(np.float64))), size)


def baseline_map(pairs: list[tuple[np.ndarray, np.ndarray]], size: tuple[int, int]) -> np.ndarray:
    """Pairs of (C, h, w): the product of 1 - cos, enlarged to the first's grid and then to the image's."""
    gaps = [cosine_gap(a, b) for a, b in pairs]
    product = np.prod(
        [gap if gap.shape == gaps[0].shape else bilinear(gap, gaps[0].shape) for gap in gaps], 0
    )
    return bilinear(product, size)


def top_mean(values: np.ndarray, count: int) -> float:
    return float(np.sort(values.astype(np.float64).ravel())[::-1][:count].mean())
