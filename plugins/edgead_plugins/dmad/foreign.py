"""Patches of pictures that are of no product: what is abnormal in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.types import FittingData, Image
from edgead_plugins.coreset import greedy_coreset
from edgead_plugins.dmad.options import PATCHES, DMADOptions
from edgead_plugins.synthesis.textures import Textures

Floats = NDArray[np.float32]


def foreign_patches(data: FittingData, options: DMADOptions, defects: bool) -> Floats:
    """All patches (n, dim) of the pictures, the same for the same seed; none where none are asked for.

    Args:
        defects: whether there are annotated ones; without, they're for mixtures alone.
    """
    dim, h, w = data.shapes[PATCHES]
    if not defects and options.pseudo == "noise":
        return np.empty((0, dim), np.float32)
    textures = Textures(Path(options.textures) if options.textures else None, data.size)

    def pictures() -> Iterator[Image]:
        rng = np.random.default_rng([data.seed, 5])
        for _ in range(options.texture_images):
            yield textures.draw(rng)

    rows = np.empty((options.texture_images, h * w, dim), np.float32)
    if options.texture_images:
        with data.progress("reading pictures of no product", options.texture_images) as advance:
            for number, maps in enumerate(data.embed(pictures())):
                rows[number] = maps[PATCHES].reshape(dim, -1).T
                advance(1)
    return rows.reshape(-1, dim)


def kept(foreign: Floats, ratio: float, most: int) -> NDArray[np.int64]:
    """The indices of a coreset of so large a share, and of so many at most."""
    if not len(foreign):
        return np.empty(0, np.int64)
    return greedy_coreset(foreign, int(np.clip(round(ratio * len(foreign)), 1, most)), start=0)


__all__ = ["foreign_patches", "kept"]
