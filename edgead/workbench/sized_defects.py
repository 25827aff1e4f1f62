"""Synthetic defects of a stated size on frames of any size, to measure what a model can still show.

Place, kind and visibility are drawn before the size counts, so that equal generators give the same defect in
several sizes. Only the frame's part around it is touched, which keeps large frames quick.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import OptionError, UnknownNameError
from edgead.types import Image
from edgead.workbench.defects import MIN_DEFECT_SIDE, paint
from edgead.workbench.painters import PAINTERS, Scene
from edgead.workbench.shapes import log_uniform

SIZED_KINDS = ("scratch", "crack", "stain", "spot")
"""Kinds that show in any size and on any ground. Texture that's moved, bent, wiped or foreign may be hard to
see however large it is."""
SIZED_VISIBILITY = (1.0, 5.0)
"""Ends of the log-uniform draw of their visibility: visible, and clear."""
ROOM = 6
"""Sides of the part that's worked on, in sizes of the defect: it fades out well within."""
LEAST_ROOM = 48


class Ground:
    """A good frame to draw on, and what must be known of it whatever is drawn.

    Args:
        frame: (H, W, 3) uint8 BGR, both sides at least ``MIN_DEFECT_SIDE``; it isn't changed.
        where: (H, W) bool, where a defect's middle may lie, at least somewhere; None for anywhere.

    Raises:
        OptionError: the frame is smaller.
    """

    def __init__(self, frame: Image, where: NDArray[np.bool_] | None = None) -> None:
        height, width = frame.shape[:2]
        if min(height, width) < MIN_DEFECT_SIDE:
            raise OptionError(
                f"a frame of {height} x {width} pixels can't take a defect: give {MIN_DEFECT_SIDE} a side"
            )
        self._frame = frame
        self._places = None if where is None else np.flatnonzero(where)
        unit = min(float(np.sqrt(height * width)), 2.0 * min(height, width))
        self._window = max(3, round(unit / 10))
        step = max(1, min(height, width) // 512)
        self._overall = float(frame[::step, ::step].mean(axis=2).std())

    def draw(self, size: float, rng: np.random.Generator, kind: str) -> Image:
        """Draw a defect.

        Args:
            size: in pixels of the frame: the diameter of a circle of a spot's area, or a line's length, which
                is up to a third as wide; 1 or more, and a quarter of the frame's shorter side at most.
            rng: the only source of randomness.
            kind: one of ``SIZED_KINDS``.

        Returns:
            The defective frame, a copy.

        Raises:
            OptionError: the size is out of range.
            UnknownNameError: the kind is unknown.
        """
        frame = self._frame
        height, width = frame.shape[:2]
        if not 1 <= size <= min(height, width) / 4:
            raise OptionError(
                f"a defect of {size} pixels on a frame of {height} x {width}: 1 to a quarter of it"
            )
        if kind not in SIZED_KINDS:
            raise UnknownNameError("defect kind", kind, SIZED_KINDS)
        y, x = self._place(rng)
        visibility = log_uniform(rng, *SIZED_VISIBILITY)
        near = frame[_around(y, self._window, height), _around(x, self._window, width)].astype(np.float32)
        side = max(LEAST_ROOM, round(ROOM * size))
        rows, columns = _around(y, side, height), _around(x, side, width)
        part = frame[rows, columns].astype(np.float32)
        scene = Scene(
            image=part,
            y=float(y - rows.start),
            x=float(x - columns.start),
            unit=10.0 * size,
            contrast=float(np.clip(1.2 * near.mean(axis=2).std() + 0.3 * self._overall, 6, 45)),
            saturation=float((near.max(axis=2) - near.min(axis=2)).mean()),
            noise=float(np.clip(np.median(np.abs(cv2.Laplacian(part.mean(axis=2), cv2.CV_32F))) / 3, 0.3, 6)),
            extent=float(size),
        )
        defective = frame.copy()
        defective[rows, columns] = paint(PAINTERS[kind], scene, rng, visibility)[0]
        return defective

    def _place(self, rng: np.random.Generator) -> tuple[int, int]:
        """A place, rather on texture than on an empty ground, as ``synthesise`` chooses one."""
        height, width = self._frame.shape[:2]
        if self._places is None:
            points = (rng.uniform(0.08, 0.92, (4, 2)) * (height, width)).astype(int).tolist()
        else:
            chosen = self._places[rng.integers(len(self._places), size=4)]
            points = np.stack([chosen // width, chosen % width], 1).tolist()
        ranked = sorted(points, key=self._texture)
        y, x = ranked[int(rng.integers(1, 4))]  # any but the flattest
        return y, x

    def _texture(self, point: list[int]) -> float:
        height, width = self._frame.shape[:2]
        near = self._frame[_around(point[0], self._window, height), _around(point[1], self._window, width)]
        return float(near.mean(axis=2).std())


def _around(middle: int, side: int, length: int) -> slice:
    """``side`` pixels about a place, or as many as there are."""
    start = min(max(middle - side // 2, 0), max(length - side, 0))
    return slice(start, min(start + side, length))


__all__ = ["SIZED_KINDS", "SIZED_VISIBILITY", "Ground"]
