"""Synthetic defects and maps where images are judged: all over, or inside of a region of interest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgead.types import Image
from edgead.workbench.defects import Mask, synthesise

TRIES = 8
"""Defects that are drawn for one that lies inside by half; of these the one with most of it inside."""


def draw_inside(
    image: Image, rng: np.random.Generator, inside: NDArray[np.bool_] | None
) -> tuple[Image, Mask]:
    """Draw one synthetic defect that begins inside, and take away what reaches beyond.

    Args:
        image: (H, W, 3) uint8, painted outside already.
        inside: (H, W) bool; None for anywhere.

    Returns:
        As ``synthesise``; the mask is empty where no try left a pixel inside, which takes a thin region.
    """
    if inside is None:
        return synthesise(image, rng)
    drawn, marked, most = image, np.zeros(inside.shape, np.uint8), 0.0
    for _ in range(TRIES):
        defective, mask = synthesise(image, rng, where=inside)
        kept = mask & inside
        share = float(kept.sum() / mask.sum())
        if share > most:
            drawn, marked, most = defective, kept, share
        if share >= 0.5:
            break
    return np.where(inside[..., None], drawn, image), marked


def highest(anomaly_map: NDArray[np.float32], inside: NDArray[np.bool_] | None) -> float:
    """The maximum of a map (H, W) where it counts."""
    return float((anomaly_map if inside is None else anomaly_map[inside]).max())


__all__ = ["TRIES", "draw_inside", "highest"]
