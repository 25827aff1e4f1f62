"""SPADE in plain numpy, written from the paper (arXiv 2005.02357), slow and obvious: the oracle.

Nothing here is shared with the implementation. Arrays are float64; a feature map is (C, h, w).
"""

from __future__ import annotations

import numpy as np

from tests.plugins.patchcore_oracle import resize_bilinear


def pooled(maps):
    """Mean of the last map over its positions."""
    return maps[-1].astype(np.float64).mean((1, 2))


def nearest_images(query, gallery, k):
    """Squared distances to the k nearest pooled vectors, and which these are."""
    squares = np.array([((query - vector) ** 2).sum() for vector in gallery])
    order = squares.argsort(kind="stable")[:k]
    return squares[order], order


def vectors(maps):
    """(h * w, sum of channels): at each position of the first map, the vectors of all maps there."""
    _, h, w = maps[0].shape
    rows = [
        np.concatenate([m[:, y * m.shape[1] // h, x * m.shape[2] // w] for m in maps])
        for y in range(h)
        for x in range(w)
    ]
    return np.array(rows, np.float64)


def to_nearest(queries, gallery):
    """(n,) squared distance of each query to its nearest gallery vector."""
    return np.array([((gallery - query) ** 2).sum(1).min() for query in queries])


def patch_scores(maps, galleries, correspondence, per_position, rows=None):
    """Squared distances, as {map index or None: (h, w)}; galleries: the K images' maps.

    rows: for each gallery image the positions of the finest map that are kept, None for all.
    """
    found = {}
    if correspondence == "pyramid":
        sets = [vectors(g) if rows is None else vectors(g)[r] for g, r in _with(galleries, rows)]
        found[None] = _search(vectors(maps), sets, per_position).reshape(maps[0].shape[1:])
        return found
    for level, feature_map in enumerate(maps):
        sets = []
        for gallery, kept in _with(galleries, rows):
            own = vectors([gallery[level]])
            if kept is not None:
                (h, w), (hl, wl) = gallery[0].shape[1:], gallery[level].shape[1:]
                own = np.array([own[(p // w) * hl // h * wl + (p % w) * wl // w] for p in kept])
            sets.append(own)
        found[level] = _search(vectors([feature_map]), sets, per_position).reshape(feature_map.shape[1:])
    return found


def averaged(found, size, squared):
    """The popular code's map: each level's distances enlarged to the image, and averaged."""
    levels = [d if squared else np.sqrt(d) for d in found.values()]
    return np.mean([resize_bilinear(d[None], *size)[0] for d in levels], 0)


def _with(galleries, rows):
    return zip(galleries, rows if rows is not None else [None] * len(galleries), strict=True)


def _search(queries, sets, per_position):
    if per_position:
        return np.min([((queries - own) ** 2).sum(1) for own in sets], axis=0)
    return to_nearest(queries, np.concatenate(sets))
