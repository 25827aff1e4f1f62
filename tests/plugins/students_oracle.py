"""Uninformed Students' losses and score in plain numpy and loops, written from the formulas alone."""

from __future__ import annotations

import numpy as np


def distillation(decoded: np.ndarray, features: np.ndarray) -> float:
    return float(np.mean([np.sum((a - b) ** 2) for a, b in zip(decoded, features, strict=True)]))


def triplet(anchor: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    total = 0.0
    for a, p, n in zip(anchor, positive, negative, strict=True):
        far = min(np.sum((a - n) ** 2), np.sum((p - n) ** 2))
        total += max(0.0, 1.0 + np.sum((a - p) ** 2) - far)
    return total / len(anchor)


def compactness(descriptors: np.ndarray) -> float:
    correlations = np.corrcoef(descriptors, rowvar=False)
    return sum(
        correlations[i, j] ** 2 for i in range(len(correlations)) for j in range(len(correlations)) if i != j
    )


def regression(targets: np.ndarray, students: np.ndarray) -> float:
    """(N, D, h, w) and (N, M * D, h, w): each student's mean squared distance over positions, summed."""
    d = targets.shape[1]
    each = [students[:, i : i + d] for i in range(0, students.shape[1], d)]
    return float(sum(((one - targets) ** 2).sum(1).mean() for one in each))


def error_and_variance(teacher: np.ndarray, students: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D, h, w) and (M, D, h, w) -> two (h, w)."""
    teacher, students = teacher.astype(np.float64), students.astype(np.float64)
    mean = students.mean(0)
    error = ((mean - teacher) ** 2).sum(0)
    variance = (students**2).sum(1).mean(0) - (mean**2).sum(0)
    return error, variance


def anomaly_map(
    now: dict[int, tuple[np.ndarray, np.ndarray]], usual: dict[int, list[tuple[np.ndarray, np.ndarray]]]
) -> np.ndarray:
    """Mean over scales of z_e + z_v: errors and variances of an image, and those of the held-out images."""
    total = []
    for scale, both in now.items():
        z = 0.0
        for i, values in enumerate(both):
            normal = np.stack([pair[i] for pair in usual[scale]])
            z = z + (values - normal.mean()) / normal.std()
        total.append(z)
    return np.mean(total, axis=0)


def map_by_position(
    now: tuple[np.ndarray, np.ndarray], usual: list[tuple[np.ndarray, np.ndarray]], weight: float
) -> np.ndarray:
    """z_e + weight * z_v of one scale, each position against itself and its neighbours."""
    total = np.zeros_like(now[0])
    for i, share in enumerate((1.0, weight)):
        normal = np.stack([pair[i] for pair in usual])
        near, squares = blurred(normal.mean(0)), blurred((normal**2).mean(0))
        known = len(normal) / (len(normal) + 5)
        for y in range(total.shape[0]):
            for x in range(total.shape[1]):
                mean = known * near[y, x] + (1 - known) * normal.mean()
                variance = known * max(squares[y, x] - near[y, x] ** 2, 0) + (1 - known) * normal.var()
                deviation = max(np.sqrt(variance), 0.1 * normal.std())
                total[y, x] += share * (now[i][y, x] - mean) / deviation
    return total


def blurred(values: np.ndarray, sigma: float = 1.0, radius: int = 4) -> np.ndarray:
    """Averaged with a Gaussian, the border mirrored."""
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    padded = np.pad(values, radius, mode="symmetric")
    found = np.zeros_like(values)
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            found[y, x] = weights @ padded[y : y + 2 * radius + 1, x : x + 2 * radius + 1] @ weights
    return found
