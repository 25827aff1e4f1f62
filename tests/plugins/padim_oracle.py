"""PaDiM in plain numpy, written from the paper (arXiv 2011.08785), slow and obvious: the oracle.

Nothing here is shared with the implementation. Arrays are float64; a feature map is (C, h, w).
"""

from __future__ import annotations

import numpy as np


def embed(maps, channels):
    """(h * w, d): chosen channels of each map, coarser maps repeated onto the first map's grid."""
    _, h, w = maps[0].shape
    rows = []
    for feature_map, index in zip(maps, channels, strict=True):
        fy, fx = h // feature_map.shape[1], w // feature_map.shape[2]
        repeated = [
            [feature_map[index, y // fy, x // fx].astype(np.float64) for x in range(w)] for y in range(h)
        ]
        rows.append(np.array(repeated).reshape(h * w, len(index)))
    return np.concatenate(rows, axis=1)


def gaussians(embeddings, ridge):
    """Means and covariances of each position; embeddings (images, positions, d)."""
    means = embeddings.mean(0)
    d = embeddings.shape[2]
    covariances = []
    for position in range(embeddings.shape[1]):
        rows = embeddings[:, position] - means[position]
        covariances.append(rows.T @ rows / max(len(rows) - 1, 1) + ridge * np.eye(d))
    return means, np.array(covariances)


def distances(embedding, means, covariances, rank=None):
    """(positions,) Mahalanobis distances; rank: of the directions of least variance alone."""
    found = []
    for x, mean, covariance in zip(embedding, means, covariances, strict=True):
        z = x - mean
        if rank is None:
            found.append(np.sqrt(z @ np.linalg.inv(covariance) @ z))
        else:
            variances, directions = np.linalg.eigh(covariance)
            along = directions.T @ z
            found.append(np.sqrt((along[:rank] ** 2 / variances[:rank]).sum()))
    return np.array(found)


def diagonal_distances(embedding, means, covariances):
    """(positions,) with the correlations set to 0."""
    variances = np.array([np.diag(c) for c in covariances])
    return np.sqrt(((embedding - means) ** 2 / variances).sum(1))
