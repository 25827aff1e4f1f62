"""What a fit is given: settings, and good images that were read, grouped by what they show, and divided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.device.calibrate import APART, LEARNED
from edgead.errors import OptionError
from edgead.notices import Notice
from edgead.resize import ResizeRule
from edgead.roi import Roi, RoiRule, read_roi
from edgead.sampling import spread
from edgead.types import PRECISIONS, Backbone, Compute, Defect, InputSpec, Precision, Progress, Size
from edgead.window_rule import WindowRule
from edgead.windows import MAX_SCALE, STEP
from edgead.workbench.annotated import read_defects
from edgead.workbench.defects import MIN_DEFECT_SIDE
from edgead.workbench.edges import Edges, first_margin
from edgead.workbench.good_images import GoodImages, Reading, read_good, split
from edgead.workbench.groups import Grouping, group
from edgead.workbench.pieces import Pieces, cut_up
from edgead.workbench.size_choice import LARGEST, MAX_SIDE, WINDOW, Need, shrinking
from edgead.workbench.standouts import find_standouts

MAX_HELD_OUT = 500
MOST_MM = 1e6
"""Of a frame's pixel."""
FOLDS, MOST_FOLDS = 10, 100
"""Fits that judge in turn what they haven't learned; see ``edgead.workbench.folds``."""


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes:
        size: (H, W) of the model's input, or None to choose it from the images.
        seed: the only source of randomness.
        holdout: share of the good images held out for threshold and gates.
        false_positive_rate: the share of good images that may be called anomalous, 0 to 1.
        precisions: the forms to prepare; fp32 is always among them.
        final_fit: whether the forms that ship learn from the held-out images too; None: as the method
            prefers.
        depth: significant bits of 16-bit images, 9 to 16; None where there are none, or 16 is obvious.
        group: which images show one part and are held out together: ``parent`` or ``grandparent``, a folder's
            name, or a regular expression with one group, searched for in the file's name; None: near copies.
        folds: fits that judge, in turn, good images that they haven't learned; 0: the hold-out alone judges.
        windows: whether frames are judged in windows of ``size``, rather than resized to it.
        scale: of a frame's pixels a window's pixel stands for along each side; see ``edgead.windows``.
        roi: a file that says which region of interest is learned and judged; see ``edgead.roi.read_roi``.
        smallest_defect: size of the smallest defect that the input must show, in pixels of the frame; None:
            the input is chosen by the frames' aspect alone.
        mm_per_pixel: of the frame, to tell sizes by; None where it isn't known.
        compute: on what a network is trained, and how, where one is.
    """

    size: Size | None = None
    seed: int = 0
    holdout: float = 0.2
    false_positive_rate: float = 0.01
    precisions: Sequence[Precision] = PRECISIONS
    final_fit: bool | None = None
    depth: int | None = None
    group: str | None = None
    folds: int = FOLDS
    windows: bool = False
    scale: float = 1.0
    roi: Path | None = None
    smallest_defect: float | None = None
    mm_per_pixel: float | None = None
    compute: Compute = field(default_factory=Compute)

    def __post_init__(self) -> None:
        if self.size is not None and not all(1 <= side <= MAX_SIDE for side in self.size):
            height, width = self.size
            raise OptionError(f"size {height} x {width}: sides must be from 1 to {MAX_SIDE} pixels")
        if self.size is not None and self.smallest_defect is not None:
            raise OptionError(
                "--size and --smallest-defect both say how large the input is: give one of them"
            )
        if self.smallest_defect is not None and not 1 <= self.smallest_defect <= LARGEST:
            raise OptionError(f"smallest defect {self.smallest_defect} must be from 1 to {LARGEST} pixels")
        if self.smallest_defect is not None and self.scale != 1:
            raise OptionError("--scale and --smallest-defect both say how far frames are shrunk: give one")
        if self.mm_per_pixel is not None and not 0 < self.mm_per_pixel <= MOST_MM:
            raise OptionError(f"mm per pixel {self.mm_per_pixel} must be over 0, and {MOST_MM} at most")
        if not 0 <= self.seed < 1 << 63:  # what a manifest holds
            raise OptionError(f"seed {self.seed} must be from 0 to {(1 << 63) - 1}")
        if not 0 < self.holdout < 1:
            raise OptionError(f"holdout {self.holdout} must be between 0 and 1, 0.2 for instance")
        if self.folds != 0 and not 2 <= self.folds <= MOST_FOLDS:
            raise OptionError(f"folds {self.folds} must be 0, for the hold-out, or from 2 to {MOST_FOLDS}")
        if not (math.isfinite(self.scale) and 1 <= self.scale <= MAX_SCALE):
            raise OptionError(f"scale {self.scale} must be from 1 to {MAX_SCALE}")
        if self.scale != 1 and not self.windows:
            raise OptionError(
                f"scale {self.scale:g} is of frames that are judged in windows: ask for --windows"
            )
        if self.size is not None and min(self.size) < MIN_DEFECT_SIDE:
            height, width = self.size
            least = MIN_DEFECT_SIDE
            raise OptionError(
                f"size {height} x {width}: the synthetic defects that a model is judged by take sides of at "
                f"least {least} pixels: use {max(height, least)}x{max(width, least)}"
            )
        if not 0 < self.false_positive_rate < 1:
            raise OptionError(f"false-positive rate {self.false_positive_rate} must be between 0 and 1")


@dataclass(frozen=True)
class Given:
    """What one fit was given: the good images, read and divided, and what to do with them.

    Attributes:
        settings: how to fit.
        reading: the good images, all of them.
        training, held_out: the same, divided.
        grouping: which of them show one part.
        standouts: those unlike all others, by their index among all.
        groups: the held-out images' groups, or None where each is its own; ``APART`` of those that stand out.
        annotated: defects to learn from.
        pieces: the windows of all good images, where frames are judged in windows.
        edges: what their margin rests on.
        notices: what was noticed in all of them.
    """

    settings: Settings
    reading: Reading
    training: GoodImages
    held_out: GoodImages
    grouping: Grouping
    standouts: tuple[int, ...]
    groups: tuple[int, ...] | None
    annotated: tuple[Defect, ...]
    notices: tuple[Notice, ...]
    pieces: Pieces | None = None
    edges: Edges | None = None

    @property
    def rule(self) -> ResizeRule | WindowRule:
        """What frames go through."""
        return self.reading.images.rule if self.pieces is None else self.pieces.rule

    @property
    def input_size(self) -> Size:
        """(height, width) of the model's input."""
        return self.rule.size

    def to_judge(self, frames: GoodImages) -> GoodImages | Pieces:
        """What is judged of some good images: themselves, or all their windows."""
        return frames if self.pieces is None else self.pieces.of(frames.paths)

    def to_learn(self, frames: GoodImages) -> GoodImages | Pieces:
        """What is learned of some good images: themselves, or some of their windows."""
        return frames if self.pieces is None else self.pieces.of(frames.paths).to_learn()

    def groups_of(self, judged: GoodImages | Pieces, groups: Sequence[int] | None) -> tuple[int, ...] | None:
        """The groups of what is judged, for those of the held-out images; a frame's windows are of one."""
        if not isinstance(judged, Pieces):
            return None if groups is None else tuple(groups)
        place = {path: i for i, path in enumerate(self.held_out.paths)}
        of_frame = range(len(self.held_out)) if groups is None else groups
        return tuple(of_frame[place[key.path]] for key in judged.keys)


def check_defects(windows: bool) -> None:
    """Refuse annotated defects where frames are judged in windows.

    Raises:
        OptionError: they are.
    """
    if windows:
        raise OptionError("annotated defects and windows don't go together yet: leave --defects out")


def read_given(
    backbone: Backbone,
    images: Path | Sequence[Path],
    settings: Settings,
    defects: Sequence[Path],
    progress: Progress,
    need: Need | None = None,
) -> Given:
    """Read the images and annotated defects, look at what they show, and hold some of the good ones out.

    Args:
        backbone: for its input's multiple, and to see which images are unlike the others.
        images, defects: as ``edgead.workbench.fit.fit`` takes them.
        need: what the input must show, where ``settings`` name a smallest defect.

    Raises:
        InputError: as ``read_roi``, ``read_good``, ``read_defects`` and ``group`` raise.
    """
    drawn = None if settings.roi is None else read_roi(settings.roi, settings.windows)
    size = None if settings.windows else settings.size  # windows' is another: frames are looked over whole
    multiple = backbone.input.multiple
    needed = None if settings.windows else need
    reading = read_good(images, size, multiple, progress, settings.depth, drawn, needed)
    planned = reading.plan if reading.plan is not None and reading.plan.windows else None
    if defects:
        check_defects(settings.windows or planned is not None)
    frames = reading.images
    doubts: list[Notice] = []
    annotated = read_defects(defects, frames.rule, progress, depth=settings.depth, tell=doubts.append)
    share = min(settings.holdout, MAX_HELD_OUT / len(frames))
    grouping = group(frames, settings.group, progress)
    training, held_out = split(frames, share, settings.seed, grouping.labels)
    held_out = held_out.subset(spread(len(held_out), MAX_HELD_OUT))  # one group can be larger than all
    odd = find_standouts(frames, grouping.labels, backbone, settings.seed, progress)
    pieces: Pieces | None = None
    cut_notices: tuple[Notice, ...] = ()
    if settings.windows or planned is not None:
        roi = frames.rule.roi if isinstance(frames.rule, RoiRule) else None
        if planned is not None:
            rule = WindowRule(planned.size, first_margin(planned.size), planned.scale, roi)
        else:
            rule, why = _windows(settings, reading.why, backbone.input, roi, need)
            reading = replace(reading, why=why)
        pieces, cut_notices = cut_up(frames, rule, progress)
    return Given(
        settings=settings,
        reading=reading,
        training=training,
        held_out=held_out,
        grouping=grouping,
        standouts=odd.indices,
        groups=_groups_of(held_out, frames, grouping, odd.indices),
        annotated=annotated,
        notices=(*reading.notices, *doubts, *grouping.notices, *odd.notices, *cut_notices),
        pieces=pieces,
    )


def _windows(
    settings: Settings, seen: Notice, wanted: InputSpec, roi: Roi | None, need: Need | None
) -> tuple[WindowRule, Notice]:
    """Windows of the size asked for, or such as cover a frame's side where that's short; and why.

    Args:
        seen: the images' usual size, as ``choose_resize`` tells it.
        need: what windows must show, which says how far frames are shrunk.
    """
    scale = settings.scale if need is None else shrinking(need)
    if settings.size is not None:
        size, code = settings.size, "windows-asked"
    else:
        multiple = math.lcm(wanted.multiple, STEP)
        sides = (round(seen.values[f"image_{side}"] / scale) for side in ("height", "width"))
        most = WINDOW // multiple * multiple or multiple
        height, width = (min(max(-(-side // multiple), 1) * multiple, most) for side in sides)
        size, code = (height, width), "windows-chosen"
    rule = WindowRule(size, first_margin(size), scale, roi)
    values = {"height": size[0], "width": size[1], "image_height": seen.values["image_height"],
              "image_width": seen.values["image_width"]}  # fmt: skip
    return rule, Notice(code, values)


def _groups_of(
    held_out: GoodImages, frames: GoodImages, grouping: Grouping, standouts: Sequence[int]
) -> tuple[int, ...] | None:
    """The held-out images' groups; see ``groups_with``."""
    place = {path: i for i, path in enumerate(frames.paths)}
    marked = groups_with(grouping.labels, standouts)
    return None if marked is None else tuple(marked[place[path]] for path in held_out.paths)


def groups_with(labels: NDArray[np.int64], standouts: Sequence[int]) -> tuple[int, ...] | None:
    """The groups that images count in; None where each is its own and none stands out.

    ``APART`` are those that stand out; where all show one part, it's ``LEARNED`` whichever is held out.
    """
    groups = len(np.unique(labels))
    if groups == 1:
        return (LEARNED,) * len(labels)
    if groups == len(labels) and not standouts:
        return None
    marked = labels.copy()
    marked[list(standouts)] = APART
    return tuple(marked.tolist())


__all__ = ["MAX_HELD_OUT", "Given", "Settings", "check_defects", "groups_with", "read_given"]
