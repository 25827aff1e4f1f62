"""Good images as the model sees them: read, resized by the one rule, split into training and held-out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgead.errors import DatasetError
from edgead.images import list_images, read_image
from edgead.resize import ResizeRule, choose_resize
from edgead.types import Image, Progress, Size

CACHE_BYTES = 1 << 30
"""Resized images are kept in memory up to this much; beyond it they are read again on each pass."""
MIN_IMAGES = 2
MEASURED = 200


@dataclass(frozen=True)
class Frames:
    """A re-iterable sequence of images after the resize rule, (H, W, 3) uint8 BGR each.

    Attributes:
        paths: the image files, in the order they are read.
        rule: the resize rule.
    """

    paths: tuple[Path, ...]
    rule: ResizeRule
    _cache: dict[Path, Image] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Image]:
        height, width = self.rule.size
        limit = CACHE_BYTES // (height * width * 3)
        for path in self.paths:
            image = self._cache.get(path)
            if image is None:
                image = self.rule.apply(read_image(path))
                if len(self._cache) < limit:
                    self._cache[path] = image
            yield image

    def subset(self, indices: Sequence[int]) -> Frames:
        """The frames of these indices, in their order; read images are shared."""
        return Frames(tuple(self.paths[i] for i in indices), self.rule, self._cache)


def read_frames(
    images: Path | Sequence[Path], size: Size | None, multiple: int, progress: Progress
) -> tuple[Frames, str]:
    """Read good images, every one of them, so that a bad file is named before any work is lost.

    Args:
        images: a folder with images directly inside it, or the files themselves.
        size: (H, W) to stretch to, or None to choose from the images' aspect.
        multiple: what the chosen sides must be multiples of.

    Returns:
        The frames, and a sentence that says what input size was used and why.

    Raises:
        DatasetError: no such folder, or fewer than two images.
        ImageError: an image can't be used.
    """
    paths = list_images(images) if isinstance(images, Path) else list(images)
    if len(paths) < MIN_IMAGES:
        where = images if isinstance(images, Path) else "training images"
        raise DatasetError(
            f"{where}: only {len(paths)} image; give at least {MIN_IMAGES} good images, better 50"
        )
    if size is None:
        rule, why = choose_resize(_shapes(paths, progress), multiple=multiple)
    else:
        rule, why = ResizeRule(size), f"input {size[0]} x {size[1]} (height x width), stretched, as asked for"
    frames = Frames(tuple(paths), rule)
    with progress("reading images", len(paths)) as advance:
        for _ in frames:
            advance(1)
    return frames, why


def _shapes(paths: Sequence[Path], progress: Progress) -> list[Size]:
    """Sizes of up to ``MEASURED`` images, spread over the folder: the median needs no more."""
    shapes = []
    chosen = paths[:: -(-len(paths) // MEASURED)]
    with progress("measuring images", len(chosen)) as advance:
        for path in chosen:
            height, width = read_image(path).shape[:2]
            shapes.append((height, width))
            advance(1)
    return shapes


def split(frames: Frames, holdout: float, seed: int) -> tuple[Frames, Frames]:
    """Split at random into training and held-out frames, each in file order.

    Args:
        holdout: share held out, 0 < share < 1; at least one image lands on either side.
        seed: decides which.
    """
    held = min(max(1, round(len(frames) * holdout)), len(frames) - 1)
    order = np.random.default_rng(seed).permutation(len(frames))
    return (
        frames.subset(sorted(order[held:].tolist())),
        frames.subset(sorted(order[:held].tolist())),
    )
