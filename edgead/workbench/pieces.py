"""Good images in windows: what is learned and judged where frames are larger than the model's input.

Every window of a frame is judged, as on the camera. Not every one is learned: near-empty ones are alike, and
more than ``MOST_LEARNED`` would take their time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.errors import DatasetError
from edgead.images import read_image
from edgead.notices import Notice
from edgead.sampling import spread
from edgead.types import Image, Progress, Size
from edgead.window_rule import WindowRule
from edgead.windows import Window, cut
from edgead.workbench.good_images import CACHE_BYTES, GoodImages

MOST_LEARNED = 1000
"""Windows that are learned."""
EMPTY, KEPT_OF_EMPTY = 0.1, 8
"""A window is near-empty where its contrast is under this share of that of the richest tenth; of so many of
them one is learned."""


@dataclass(frozen=True)
class Piece:
    """A window of a frame, by its file; ``frame`` is the scaled frame's (height, width)."""

    path: Path
    window: Window
    frame: Size


@dataclass(frozen=True)
class Pieces:
    """A re-iterable sequence of windows, (H, W, 3) uint8 BGR each; those of a frame follow each other.

    Attributes:
        keys: which.
        rule: how frames are cut.
        depth: significant bits of those files that have 16; None for 16.
        learned: for each, whether it's among those to learn from.
        areas: for each, its share of its frame.
    """

    keys: tuple[Piece, ...]
    rule: WindowRule
    depth: int | None
    learned: tuple[bool, ...]
    areas: tuple[float, ...]
    _cache: dict[Piece, Image] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Image]:
        read: tuple[Path, Image] | None = None
        for key in self.keys:
            image = self._cache.get(key)
            if image is None:
                if read is None or read[0] != key.path:
                    read = key.path, self.rule.apply(read_image(key.path, self.depth))
                image = cut(read[1], key.window, self.rule.size)
            yield image

    def subset(self, indices: Sequence[int]) -> Pieces:
        """The windows of these indices, in their order."""
        return replace(
            self,
            keys=tuple(self.keys[i] for i in indices),
            learned=tuple(self.learned[i] for i in indices),
            areas=tuple(self.areas[i] for i in indices),
        )

    def of(self, paths: Collection[Path]) -> Pieces:
        """The windows of these files."""
        wanted = set(paths)
        return self.subset([i for i, key in enumerate(self.keys) if key.path in wanted])

    def to_learn(self) -> Pieces:
        """Those to learn from."""
        return self.subset(np.flatnonzero(self.learned).tolist())

    def core(self, index: int) -> tuple[slice, slice]:
        """The part of a window's map that counts."""
        return self.keys[index].window.core_inside

    def inside_core(self, index: int) -> NDArray[np.bool_] | None:
        """Which pixels of a window's core are of the region of interest; None where all are."""
        key, roi = self.keys[index], self.rule.roi
        return None if roi is None else roi.inside(key.frame)[key.window.core]

    def frame_of(self) -> NDArray[np.int64]:
        """(n,) each window's frame, counted from 0 in their order."""
        place: dict[Path, int] = {}
        return np.array([place.setdefault(key.path, len(place)) for key in self.keys], np.int64)

    def highest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Each frame's highest value, of one or of several a window: (n, ...) to (frames, ...)."""
        frame_of = self.frame_of()
        found = np.full((int(frame_of.max()) + 1, *values.shape[1:]), -np.inf)
        np.maximum.at(found, frame_of, values)
        return found


def cut_up(frames: GoodImages, rule: WindowRule, progress: Progress) -> tuple[Pieces, tuple[Notice, ...]]:
    """Cut good images into windows, and choose those to learn from.

    Raises:
        DatasetError: no image is larger than a window.
        ImageError: an image can't be read.
    """
    keys: list[Piece] = []
    contrasts: list[float] = []
    areas: list[float] = []
    cache: dict[Piece, Image] = {}
    room = CACHE_BYTES // (rule.size[0] * rule.size[1] * 3)
    with progress("cutting good images into windows", len(frames)) as advance:
        for path in frames.paths:
            frame = read_image(path, frames.depth)
            scaled = rule.apply(frame)
            places = rule.places(scaled.shape)
            size = scaled.shape[0], scaled.shape[1]
            for window in places:
                image = cut(scaled, window, rule.size)
                keys.append(Piece(path, window, size))
                contrasts.append(float(image[..., 1].std()))
                areas.append(rule.size[0] * rule.size[1] / (scaled.shape[0] * scaled.shape[1]))
                if len(cache) < room:
                    cache[keys[-1]] = image
            advance(1)
    if len(keys) == len(frames):
        height, width = rule.size
        raise DatasetError(
            f"no image is larger than a window of {height} x {width} pixels (at scale {rule.scale:g}): leave "
            "windows out, or give a smaller --size"
        )
    learned = _chosen(np.array(contrasts))
    values = {"images": len(frames), "windows": len(keys), "learned": int(learned.sum()),
              "height": rule.size[0], "width": rule.size[1]}  # fmt: skip
    pieces = Pieces(tuple(keys), rule, frames.depth, tuple(learned.tolist()), tuple(areas), cache)
    return pieces, (Notice("windows-learned", values),)


def _chosen(contrasts: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which windows are learned, by their contrast: spread over the images."""
    empty = contrasts < EMPTY * np.quantile(contrasts, 0.9)
    kept = ~empty
    kept[np.flatnonzero(empty)[::KEPT_OF_EMPTY]] = True
    indices = np.flatnonzero(kept)
    chosen = np.zeros(len(contrasts), bool)
    chosen[indices[spread(len(indices), MOST_LEARNED)]] = True
    return chosen


__all__ = ["MOST_LEARNED", "Piece", "Pieces", "cut_up"]
