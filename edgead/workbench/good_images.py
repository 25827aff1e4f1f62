"""Good images as the model sees them: read, resized by the one rule, split into training and held-out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.errors import DatasetError, FrameError, ImageError
from edgead.images import as_8_bits, check_depth, read_image, read_pixels, unusable
from edgead.notices import Notice, say
from edgead.resize import ResizeRule, choose_resize
from edgead.roi import Drawn
from edgead.sampling import spread
from edgead.types import Image, Progress, Size
from edgead.workbench.gather import gather
from edgead.workbench.roi_rule import with_roi
from edgead.workbench.size_choice import Need, Plan, plan
from edgead.workbench.survey import Survey

CACHE_BYTES = 1 << 30
"""Resized images are kept in memory up to this much; beyond it they are read again on each pass."""
MIN_IMAGES = 2
MEASURED = 200


@dataclass(frozen=True)
class GoodImages:
    """A re-iterable sequence of images after the resize rule, (H, W, 3) uint8 BGR each.

    Attributes:
        paths: the image files, in the order they are read.
        rule: the resize rule.
        depth: significant bits of those files that have 16; None for 16.
    """

    paths: tuple[Path, ...]
    rule: ResizeRule
    depth: int | None = None
    _cache: dict[Path, Image] = field(default_factory=dict, repr=False)

    @property
    def keys(self) -> tuple[Path, ...]:
        """What tells the images apart."""
        return self.paths

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Image]:
        for path in self.paths:
            image = self._cache.get(path)
            yield self.keep(path, read_image(path, self.depth)) if image is None else image

    def keep(self, path: Path, image: Image) -> Image:
        """Bring an image that was read to the model's size, and remember it while there's room."""
        height, width = self.rule.size
        image = self.rule.apply(image)
        if len(self._cache) < CACHE_BYTES // (height * width * 3):
            self._cache[path] = image
        return image

    def subset(self, indices: Sequence[int]) -> GoodImages:
        """The frames of these indices, in their order; read images are shared."""
        return GoodImages(tuple(self.paths[i] for i in indices), self.rule, self.depth, self._cache)


@dataclass(frozen=True)
class Reading:
    """Good images that were read, every one of them.

    Attributes:
        images: as the model sees them.
        why: what input size was chosen and why.
        depth: significant bits of the 16-bit images, 9 to 16; 8 where there are none.
        notices: what was left out, and which images are unlike the rest.
        shapes: (height, width) of each file's image, before it's brought to the model's size.
        plan: the choice by what is needed, where that was asked for.
    """

    images: GoodImages
    why: Notice
    depth: int
    notices: tuple[Notice, ...]
    shapes: Mapping[Path, Size]
    plan: Plan | None = None


def read_good(
    images: Path | Sequence[Path],
    size: Size | None,
    multiple: int,
    progress: Progress,
    depth: int | None = None,
    roi: Drawn | None = None,
    need: Need | None = None,
) -> Reading:
    """Read good images, every one of them, so that bad files are named before any work is lost.

    Args:
        images: their folder, a data set, the files, or several of these; see ``gather``.
        size: (H, W) to stretch to, or None to choose from the images' aspect.
        multiple: what the chosen sides must be multiples of.
        depth: significant bits of 16-bit files.
        roi: the region of interest, where not the whole of an image is to be learned.
        need: what the input must show, to choose it by where no size is given.

    Raises:
        DatasetError: no such folder, fewer than two images, masks among them, or 16-bit images of which it's
            doubtful how many bits they have.
        ImageError: images can't be used; all of them are counted, the first few named.
        OptionError: the depth is out of range.
        RoiError: the region is of another aspect than the images, or nothing of it is left at that size.
    """
    check_depth(depth)
    gathered = gather(images)
    paths = gathered.paths
    if len(paths) < MIN_IMAGES:
        where = images if isinstance(images, Path) else "training images"
        raise DatasetError(
            f"{where}: only {len(paths)} image; give at least {MIN_IMAGES} good images, better 50"
        )
    chosen: Plan | None = None
    if size is not None:
        rule, why = ResizeRule(size), Notice("input-asked", {"height": size[0], "width": size[1]})
    elif need is not None:
        shapes = _shapes(paths, progress)
        chosen = plan(shapes, need, multiple)
        rule, why = ResizeRule(chosen.size), chosen.why
        if chosen.windows:  # frames are looked over as a whole first
            rule = choose_resize(shapes, multiple=multiple)[0]
    else:
        rule, why = choose_resize(_shapes(paths, progress), multiple=multiple)
    if roi is not None:
        rule = with_roi(rule, roi, paths, depth, progress)
    frames = GoodImages(paths, rule, depth)
    survey = _read(frames, progress)
    _check_depth_of(survey, depth)
    return Reading(
        images=frames,
        why=why,
        depth=(depth or 16) if survey.depth.images else 8,
        notices=(*gathered.notices, *(() if roi is None else roi.notices), *survey.notices()),
        shapes={image.path: image.size for image in survey.images},
        plan=chosen,
    )


def read_known(
    images: Path | Sequence[Path], size: Size | None, multiple: int, progress: Progress
) -> tuple[GoodImages, Notice]:
    """Return frames and why of ``read_good``, for a caller who knows the images."""
    found = read_good(images, size, multiple, progress)
    return found.images, found.why


def _read(frames: GoodImages, progress: Progress) -> Survey:
    survey, problems = Survey(), {}
    with progress("reading images", len(frames)) as advance:
        for path in frames.paths:
            try:
                pixels = read_pixels(path)
                survey.see(path, pixels)
                if survey.depth.bits <= (frames.depth or 16):  # else it's told of them all, below
                    frames.keep(path, as_8_bits(path, pixels, frames.depth))
            except ImageError as error:
                problems[path] = str(error)
            except FrameError as error:  # of another aspect than the region of interest
                problems[path] = f"{path}: {error}"
            advance(1)
    if problems:
        raise unusable(problems, len(frames))
    return survey


def _check_depth_of(survey: Survey, depth: int | None) -> None:
    """Where the bits of the images and the stated depth don't go together, somebody must decide."""
    if depth is None and (doubt := survey.depth.notice()):
        raise DatasetError(say(doubt))
    if depth is not None and not survey.depth.images:
        raise DatasetError(f"depth {depth} is for 16-bit images, and none of these is one; leave --depth out")
    if depth is not None and survey.depth.bits > depth:
        over, names = survey.depth.over(depth)
        raise DatasetError(
            f"{over} of {survey.depth.images} 16-bit images hold values up to {survey.depth.largest}, over "
            f"{depth} bits ({names}); give their true --depth, or mend or remove those with hot pixels"
        )


def _shapes(paths: Sequence[Path], progress: Progress) -> list[Size]:
    """Sizes of up to ``MEASURED`` images, spread over the folder: the median needs no more.

    Images that can't be read are passed over here, and named when all are read.
    """
    shapes = []
    problems = {}
    chosen = [paths[i] for i in spread(len(paths), MEASURED)]
    with progress("measuring images", len(chosen)) as advance:
        for path in chosen:
            try:
                height, width = read_pixels(path).shape[:2]
                shapes.append((height, width))
            except ImageError as error:
                problems[path] = str(error)
            advance(1)
    if not shapes:
        raise unusable(problems, len(paths))
    return shapes


def split(
    frames: GoodImages, holdout: float, seed: int, labels: NDArray[np.int64] | None = None
) -> tuple[GoodImages, GoodImages]:
    """Split at random into training and held-out frames, each in file order; no group is torn.

    Groups are drawn whatever their size: a choice by size would favour parts that were photographed less.

    Args:
        holdout: share of the groups held out, 0 < share < 1; at least one lands on either side.
        seed: decides which.
        labels: (n,), equal for frames of one group; each frame is its own where they are not given, and where
            they are all of one.
    """
    of_one = labels is None or not np.ptp(labels)
    labels = np.arange(len(frames)) if labels is None or of_one else labels
    groups = np.unique(labels)
    held = min(max(1, round(len(groups) * holdout)), len(groups) - 1)
    order = np.random.default_rng(seed).permutation(len(groups))
    is_held = np.isin(labels, groups[order[:held]])
    return (
        frames.subset(np.flatnonzero(~is_held).tolist()),
        frames.subset(np.flatnonzero(is_held).tolist()),
    )
