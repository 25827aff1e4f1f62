"""What is wrong with the files of a test set, found before the first is judged and told of all of them.

Of an image its file is read and its structure checked, which is quick; masks are decoded and brought to the
model's size here, once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead import exif
from edgead.errors import DatasetError, FrameError, ImageError, InputError
from edgead.imagefile import DamagedFile, read_header
from edgead.images import MAX_PIXELS, MIN_IMAGE_SIDE
from edgead.masks import Doubts, read_marks, to_input
from edgead.masks.file import bytes_of
from edgead.names import shown
from edgead.notices import Notice
from edgead.resize import FrameRule
from edgead.types import Sample, Size

SHOWN = 10
"""How many files an error message names."""
ANY_SIZE: Size = (32, 32)
"""To check files by before a model's size is known."""


@dataclass(frozen=True)
class _Packed:
    """A mask, eight pixels a byte; one without bits marks nothing."""

    size: Size
    bits: NDArray[np.uint8] | None = None

    def mask(self) -> NDArray[np.bool_]:
        if self.bits is None:
            return np.zeros(self.size, bool)
        return np.unpackbits(self.bits, count=math.prod(self.size)).reshape(self.size).astype(bool)


@dataclass(frozen=True)
class Checked:
    """Test samples whose files can be used.

    Attributes:
        notices: what is doubtful about the masks.
    """

    notices: tuple[Notice, ...]
    _masks: tuple[_Packed | None, ...]

    def mask(self, index: int) -> NDArray[np.bool_] | None:
        """The mask of a sample at its map's size, (H, W) bool; None where nobody marked the defect.

        A good image's is empty. So may be that of a defective one as far as anybody knows: one whose masks
        mark nothing has None.
        """
        packed = self._masks[index]
        return None if packed is None else packed.mask()


def check(
    samples: Sequence[Sample], rule: FrameRule, advance: Callable[[int], None] = lambda done: None
) -> Checked:
    """Check every file.

    Args:
        advance: is called with 1 after each sample.

    Raises:
        InputError: of a single file that can't be used, that file's own error; of several, one that names
            them, ``SHOWN`` at most.
    """
    doubts = Doubts(rule.size)
    packed: list[_Packed | None] = []
    problems: list[InputError] = []
    for sample in samples:
        try:
            packed.append(_check(sample, rule, doubts))
        except InputError as error:
            problems.append(error)
        advance(1)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        named = " | ".join(str(problem) for problem in problems[:SHOWN])
        more = f" | and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DatasetError(f"{len(problems)} of {len(samples)} test images can't be used: {named}{more}")
    return Checked(doubts.notices(), tuple(packed))


def _check(sample: Sample, rule: FrameRule, doubts: Doubts) -> _Packed | None:
    shape, stated = _look(sample.image)
    try:
        rule.check(shape)
    except FrameError as error:  # of another aspect than the region of interest
        raise DatasetError(f"{shown(sample.image)}: {error}") from None
    nothing = _Packed(rule.map_size(shape))
    if not sample.masks:
        return nothing if sample.is_good else None
    marks = read_marks(sample.masks, shape, sample.image, stated)
    if sample.is_good:
        if marks.marked.any():
            raise DatasetError(
                f"{shown(sample.image)}: labelled good, but its mask {shown(sample.masks[0])} marks pixels; "
                "correct one of them"
            )
        return nothing
    scaled = to_input(marks.marked, rule)
    doubts.add(sample.image, marks, scaled)
    return _Packed(scaled.marked.shape, np.packbits(scaled.marked)) if scaled.regions else None


def _look(path: Path) -> tuple[Size, int]:
    """Return an image's (height, width) as it's shown, and the orientation that its file states."""
    data = bytes_of(path)
    try:
        height, width = read_header(data).size
    except DamagedFile as problem:
        advice = problem.advice or "replace or remove the file"
        raise ImageError(f"{shown(path)}: {problem}; {advice}") from None
    if height * width > MAX_PIXELS or min(height, width) < MIN_IMAGE_SIDE:
        raise ImageError(
            f"{shown(path)}: {width} x {height} pixels; {MIN_IMAGE_SIDE} a side is the least and "
            f"{MAX_PIXELS // 10**6} megapixels the limit"
        )
    stated = exif.orientation(data)
    return ((width, height) if stated >= 5 else (height, width)), stated


__all__ = ["ANY_SIZE", "SHOWN", "Checked", "check"]
