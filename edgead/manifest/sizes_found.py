"""What a manifest has of the sizes of defects that a model finds, and what that says."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgead.notices import Notice
from edgead.types import Size

HALF, MOST = 0.5, 0.9
"""Shares of the defects that are told of."""
LARGE = 1 / 32
"""Of a frame's shorter side: where fewer than half of the defects of this size are found, that's told."""
SHRUNK = 1.25
"""Pixels of the frame for one of the input, along a side, from which on a larger input shows more."""
WHOLE = 1 << 20
"""Pixels of an input that shows a frame as a whole; what takes more is better judged in windows."""
RESOLVED = 3.0
"""Patches of the finest feature map; what covers more and isn't found isn't lost to the input's size."""
FEW_IMAGES = 10
"""Held-out images, of fewer of which the figures say little of other parts."""
MOST_ROWS = 64


@dataclass(frozen=True)
class SizeFound:
    """Synthetic defects of one size.

    Attributes:
        size: in pixels of the frame: the diameter of a circle of a spot's area, or a line's length.
        drawn: how many.
        found: how many of them brought the image score over the threshold.
        rise: the median of how far they raised it, as a share of the way from the undamaged image's score to
            the threshold: 0 is not at all, and where it's 1 half are found.
    """

    size: float
    drawn: int
    found: int
    rise: float

    @property
    def share(self) -> float:
        """How many are found, 0 to 1."""
        return self.found / self.drawn


@dataclass(frozen=True)
class SizesFoundRecord:
    """What sizes of defects the input still shows: measured by the fit, in FP32, on held-out images.

    Synthetic defects were drawn in the images' own pixels, and the images then went the way of any frame.

    Attributes:
        frame: (height, width) of the images, their medians.
        images: that were drawn on.
        threshold: of the image score; a defect over it counts as found.
        stride: of the finest feature map, in pixels of the input.
        rows: by size, ascending.
        asked: the size, in pixels of the frame, that the input was chosen for; None where none was named.
        mm_per_pixel: of the frame; None where nobody said.
    """

    frame: Size
    images: int
    threshold: float
    stride: int
    rows: tuple[SizeFound, ...]
    asked: float | None = None
    mm_per_pixel: float | None = None

    def smallest(self, share: float) -> float | None:
        """The smallest size of which, as of all larger ones, such a share is found; None where none is."""
        found = None
        for row in reversed(self.rows):
            if row.share < share:
                break
            found = row.size
        return found

    def summary(self) -> tuple[Notice, ...]:
        """What is found, for ``edgead.notices.say``."""
        half, most, short = self.smallest(HALF), self.smallest(MOST), min(self.frame)
        values = {"images": self.images, "largest": self.rows[-1].size, "share": HALF, "most_share": MOST}
        if half is None:
            return Notice("sizes-none", values), *self._asked()
        values |= {"half": half, "of_side": half / short}
        if most is None:
            return Notice("sizes-half", values), *self._asked()
        return Notice("sizes-found", values | {"most": most}), *self._asked()

    def _asked(self) -> tuple[Notice, ...]:
        return tuple(
            Notice("size-asked", {"size": row.size, "found": row.found, "drawn": row.drawn})
            for row in self.rows
            if row.size == self.asked
        )

    def doubts(self, size: Size) -> tuple[Notice, ...]:
        """That few images were drawn on, and why only large defects are found.

        Args:
            size: (height, width) of the model's input.
        """
        few = [Notice("sizes-few", {"images": self.images})] if self.images < FEW_IMAGES else []
        half, short = self.smallest(HALF), min(self.frame)
        shrunk = max(self.frame[0] / size[0], self.frame[1] / size[1])
        if shrunk < SHRUNK or (half is not None and half <= LARGE * short):
            return tuple(few)
        shown = self.rows[-1].size if half is None else half
        values = {
            "size": shown, "of_side": shown / short, "patches": shown / shrunk / self.stride, "share": HALF,
            "height": size[0], "width": size[1], "shrunk": shrunk,
        }  # fmt: skip
        none = "-none" if half is None else ""
        if values["patches"] > RESOLVED:
            return *few, Notice(f"sizes-unlike{none}", values)
        larger = _larger(size[0], self.frame[0]), _larger(size[1], self.frame[1])
        values |= {
            "larger_height": larger[0], "larger_width": larger[1],
            "times": math.prod(larger) / math.prod(size),
        }  # fmt: skip
        where = "" if math.prod(larger) <= WHOLE else "-windows"
        return *few, Notice(f"sizes-lost{none}{where}", values)


def _larger(side: int, most: int) -> int:
    """Twice as large, or as large as the frame; a multiple of 32, which all backbones take."""
    return max(side, min(2 * side, most) // 32 * 32)


__all__ = ["MOST_ROWS", "WHOLE", "SizeFound", "SizesFoundRecord"]
