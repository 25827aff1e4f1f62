"""What a manifest has of the sizes of defects that a model finds, and what that says."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgead.notices import Notice
from edgead.types import Size

HALF, NEARLY_ALL = 0.5, 0.9
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
MOST_ROWS, MOST = 64, 1 << 30
"""Rows, and of any number in them: beyond these a record is no work of edgead's."""


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
        half, most, short = self.smallest(HALF), self.smallest(NEARLY_ALL), min(self.frame)
        values = {
            "images": self.images,
            "largest": self.rows[-1].size,
            "share": HALF,
            "most_share": NEARLY_ALL,
        }
        asked = [Notice("size-asked", each) for each in self._asked()]
        if half is None:
            return Notice("sizes-none", values), *asked
        values |= {"half": half, "of_side": half / short}
        if most is None:
            return Notice("sizes-half", values), *asked
        return Notice("sizes-found", values | {"most": most}), *asked

    def _asked(self) -> list[dict[str, float]]:
        """What became of the size that was asked for."""
        return [
            {"size": row.size, "found": row.found, "drawn": row.drawn, "share": row.share}
            for row in self.rows
            if row.size == self.asked
        ]

    def doubts(self, size: Size, scale: float | None = None) -> tuple[Notice, ...]:
        """That few images were drawn on, and why only large defects are found.

        Args:
            size: (height, width) of the model's input.
            scale: how far frames are shrunk before they're cut into windows of that size; None without any.
        """
        told = [Notice("sizes-few", {"images": self.images})] if self.images < FEW_IMAGES else []
        told += [Notice("size-missed", values) for values in self._asked() if values["share"] < HALF]
        half, short = self.smallest(HALF), min(self.frame)
        shrunk = max(self.frame[0] / size[0], self.frame[1] / size[1]) if scale is None else scale
        shown = self.rows[-1].size if half is None else half
        values = {
            "size": shown, "of_side": shown / short, "patches": shown / max(shrunk, 1) / self.stride,
            "height": size[0], "width": size[1], "shrunk": shrunk,
        }  # fmt: skip
        none = "-none" if half is None else ""
        if half is not None and half <= LARGE * short:
            return tuple(told)
        if values["patches"] > RESOLVED:
            return *told, Notice(f"sizes-unlike{none}", values)
        if shrunk < SHRUNK:
            return tuple(told)
        if scale is not None:
            return *told, Notice(f"sizes-lost{none}-scale", values)
        larger = _larger(size[0], self.frame[0]), _larger(size[1], self.frame[1])
        values |= {
            "larger_height": larger[0], "larger_width": larger[1],
            "times": math.prod(larger) / math.prod(size),
        }  # fmt: skip
        where = "" if math.prod(larger) <= WHOLE else "-windows"
        return *told, Notice(f"sizes-lost{none}{where}", values)

    def checks(self) -> list[tuple[str, bool, str]]:
        """Ranges, as ``edgead.manifest.document`` checks them: a field, whether it holds, and what must."""
        sizes, scale, asked, at = (
            [row.size for row in self.rows],
            self.mm_per_pixel,
            self.asked,
            "sizes_found",
        )
        return [
            (f"{at}.frame", all(1 <= side <= MOST for side in self.frame), f"sides of 1 to {MOST}"),
            (f"{at}.images", 1 <= self.images <= MOST, f"1 to {MOST}"),
            (f"{at}.stride", 1 <= self.stride <= MOST, f"1 to {MOST}"),
            (f"{at}.rows", 1 <= len(sizes) <= MOST_ROWS, f"1 to {MOST_ROWS} rows"),
            (f"{at}.rows.size", all(0 < size <= MOST for size in sizes), f"over 0, and {MOST} at most"),
            (f"{at}.rows.size", sizes == sorted(set(sizes)), "ascending, each once"),
            (f"{at}.rows.drawn", all(1 <= row.drawn <= MOST for row in self.rows), f"1 to {MOST}"),
            (f"{at}.rows.found", all(0 <= row.found <= row.drawn for row in self.rows), "0 to drawn"),
            (f"{at}.asked", asked is None or 0 < asked <= MOST, f"over 0, and {MOST} at most"),
            (f"{at}.mm_per_pixel", scale is None or 0 < scale <= MOST, f"over 0, and {MOST} at most"),
        ]


def _larger(side: int, most: int) -> int:
    """Twice as large, or as large as the frame; a multiple of 32, which all backbones take."""
    return max(side, min(2 * side, most) // 32 * 32)


__all__ = ["HALF", "MOST_ROWS", "NEARLY_ALL", "WHOLE", "SizeFound", "SizesFoundRecord"]
