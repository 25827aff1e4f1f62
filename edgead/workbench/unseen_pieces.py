"""What is drawn on windows and read off them, where frames are judged in windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgead.workbench.good_images import GoodImages
from edgead.workbench.pieces import Pieces
from edgead.workbench.unseen import Drawn, Unseen, draw

INSIDE = 0.5
"""Share of a drawn defect that lies in its window's core; of the others a neighbour would see more."""


def core_of(frames: GoodImages | Pieces, index: int) -> tuple[slice, slice] | None:
    """The part of a map that counts; None for all of it."""
    return frames.core(index) if isinstance(frames, Pieces) else None


def drawn_on(frames: GoodImages | Pieces, indices: NDArray[np.int64], n: int, seed: int) -> list[Drawn]:
    """Synthetic defects on some of n good images, by index; of windows those that lie in their cores.

    A defect's area is its share of the frame.
    """
    given = zip(indices.tolist(), frames.subset(indices.tolist()), strict=True)
    drawn = list(draw(given, n, seed))
    if not isinstance(frames, Pieces):
        return drawn
    return [
        replace(each, area=each.area * frames.areas[each.base])
        for each in drawn
        if each.mask[frames.core(each.base)].sum() >= INSIDE * each.mask.sum()
    ]


def areas_of(drawn: Sequence[Drawn]) -> NDArray[np.float64]:
    """(m,) each defect's share of its frame, 0 to 1."""
    return np.array([each.area for each in drawn])


def of_frames(frames: GoodImages | Pieces, drawn: Sequence[Drawn], unseen: Unseen) -> Unseen:
    """The same figures of frames, where they are of windows: each frame's highest.

    A frame with a defect scores as the window that shows it, or as the good frame does elsewhere.
    """
    if not isinstance(frames, Pieces):
        return unseen
    good, frame_of = frames.highest(unseen.good), frames.frame_of()
    base = frame_of[[each.base for each in drawn]]
    return replace(
        unseen, good=good, maxima=frames.highest(unseen.maxima), bad=np.maximum(unseen.bad, good[base])
    )


__all__ = ["INSIDE", "areas_of", "core_of", "drawn_on", "of_frames"]
