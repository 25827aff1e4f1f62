"""What is drawn on windows and read off them, where frames are judged in windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgead.workbench.good_images import GoodImages
from edgead.workbench.pieces import Pieces
from edgead.workbench.unseen import Counted, Drawn, Unseen, draw

INSIDE = 0.5
"""Share of a drawn defect that lies in its window's core; of the others a neighbour would see more."""


def counted(frames: GoodImages | Pieces, index: int) -> Counted:
    """The part of an image's map, or a window's, that counts."""
    if isinstance(frames, Pieces):
        return Counted(frames.core(index), frames.inside_core(index), is_window=True)
    return Counted(inside=frames.rule.inside(frames.rule.size))


def drawn_on(frames: GoodImages | Pieces, indices: NDArray[np.int64], n: int, seed: int) -> list[Drawn]:
    """Synthetic defects on some of n good images, by index; of windows those that lie where it counts.

    A defect's area is its share of the frame.
    """
    given = zip(indices.tolist(), frames.subset(indices.tolist()), strict=True)
    if not isinstance(frames, Pieces):
        inside = frames.rule.inside(frames.rule.size)
        return list(draw(given, n, seed, lambda _: inside))

    def judged_part(index: int) -> NDArray[np.bool_] | None:
        """Of a window, where there's a region of interest: what's drawn anywhere may miss a small one."""
        inside = frames.inside_core(index)
        if inside is None:
            return None
        whole = np.zeros(frames.rule.size, bool)
        whole[frames.core(index)] = inside
        return whole

    found = []
    for each in draw(given, n, seed, judged_part):
        mask, inside = each.mask[frames.core(each.base)], frames.inside_core(each.base)
        shown = mask.sum() if inside is None else mask[inside].sum()
        if shown >= INSIDE * each.mask.sum():
            found.append(replace(each, area=each.area * frames.areas[each.base]))
    return found


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


__all__ = ["INSIDE", "areas_of", "counted", "drawn_on", "of_frames"]
