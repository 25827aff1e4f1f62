"""PatchCore in plain numpy, written from the paper (arXiv 2106.08265), slow and obvious: the oracle.

Nothing here is shared with the implementation. Arrays are float64; a feature map is (C, h, w).
"""

from __future__ import annotations

import numpy as np


def neighbourhoods(feature_map, size):
    """(C, size * size, h, w): each position's size x size neighbourhood, zeros outside."""
    c, h, w = feature_map.shape
    before = (size - 1) // 2
    padded = np.zeros((c, h + size - 1, w + size - 1))
    padded[:, before : before + h, before : before + w] = feature_map
    taps = [padded[:, i : i + h, j : j + w] for i in range(size) for j in range(size)]
    return np.stack(taps, axis=1)


def resize_bilinear(planes, height, width):
    """(C, h, w) to (C, height, width); half-pixel centres, as align_corners=False."""
    c, h, w = planes.shape
    out = np.zeros((c, height, width))
    for y in range(height):
        for x in range(width):
            sy = min(max((y + 0.5) * h / height - 0.5, 0), h - 1)
            sx = min(max((x + 0.5) * w / width - 0.5, 0), w - 1)
            y0, x0 = int(np.floor(sy)), int(np.floor(sx))
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            fy, fx = sy - y0, sx - x0
            out[:, y, x] = (
                (1 - fy) * (1 - fx) * planes[:, y0, x0]
                + (1 - fy) * fx * planes[:, y0, x1]
                + fy * (1 - fx) * planes[:, y1, x0]
                + fy * fx * planes[:, y1, x1]
            )
    return out


def adaptive_average(vectors, width):
    """(n, L) to (n, width): bin i averages [floor(i L / width), ceil((i + 1) L / width))."""
    length = vectors.shape[1]
    bins = []
    for i in range(width):
        start = int(np.floor(i * length / width))
        stop = int(np.ceil((i + 1) * length / width))
        bins.append(vectors[:, start:stop].mean(1))
    return np.stack(bins, axis=1)


def embed_concatenated(maps, size):
    """(h * w, sum of channels) on the first map's grid."""
    _, h, w = maps[0].shape
    averaged = [neighbourhoods(m.astype(np.float64), size).mean(1) for m in maps]
    resized = [a if a.shape[1:] == (h, w) else resize_bilinear(a, h, w) for a in averaged]
    return np.concatenate(resized).reshape(-1, h * w).T


def embed_pooled(maps, size, width):
    """(h * w, width): the reference form. Unfold, resize each tap's plane, pool per layer, pool the stack."""
    _, h, w = maps[0].shape
    layers = []
    for m in maps:
        taps = neighbourhoods(m.astype(np.float64), size)
        planes = taps.reshape(-1, *taps.shape[2:])
        if planes.shape[1:] != (h, w):
            planes = resize_bilinear(planes, h, w)
        layers.append(adaptive_average(planes.reshape(len(planes), -1).T, width))
    return adaptive_average(np.concatenate(layers, axis=1), width)


def distances(queries, bank):
    """(n, rows) Euclidean, by direct difference."""
    return np.stack([np.sqrt(((queries - row) ** 2).sum(1)) for row in bank], axis=1)


def patch_scores(queries, bank, k):
    """(n,): mean distance to the k nearest bank rows."""
    return np.sort(distances(queries, bank), axis=1)[:, :k].mean(1)


def image_score(queries, bank, k, reweighting):
    """The highest patch score; with re-weighting, times equation 7's weight."""
    scores = patch_scores(queries, bank, k)
    if not reweighting or len(bank) == 1:
        return scores.max()
    worst = queries[scores.argmax()]
    to_bank = np.sqrt(((bank - worst) ** 2).sum(1))
    star = to_bank.argmin()
    around = np.sqrt(((bank - bank[star]) ** 2).sum(1)).argsort(kind="stable")[:reweighting]
    exponentials = np.exp(to_bank[around] - to_bank[around].max())
    return scores.max() * (1 - exponentials[0] / exponentials.sum())


def anomaly_map(scores, size, sigma=4.0, taps=33):
    """(H, W): bilinear up-sampling of (h, w), then a Gaussian along each axis with reflected borders."""
    up = resize_bilinear(scores[None], *size)[0]
    offsets = np.arange(taps) - taps // 2
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (taps // 2, taps // 2)
        padded = np.pad(up, pad, mode="reflect")
        up = np.apply_along_axis(lambda line: np.convolve(line, kernel, mode="valid"), axis, padded)
    return up
