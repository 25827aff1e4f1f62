"""Images judged by a bundle's own detector for what a calibration needs: scores, maps' maxima, maps."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.device.near_copies import thumbnail
from edgead.errors import DatasetError, FrameError, ImageError
from edgead.files import sha256_of
from edgead.folders import GOOD_FOLDERS, list_images
from edgead.images import unusable
from edgead.names import shown
from edgead.resize import ResizeRule
from edgead.runtime.detector import Detector
from edgead.sampling import spread
from edgead.types import Image, Progress

MAP_BYTES = 1 << 29
"""Anomaly maps are kept up to this much; of more images, those of an even share."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Judged:
    """What a detector makes of some images.

    Attributes:
        paths: the images, in order.
        scores: (n,) float32 image scores.
        maxima: (n,) float32, the maxima of their maps where these show the frame.
        maps: by an image's index, (h, w) float32: the part of the map that shows the frame.
        thumbnails: (n, side, side) float32 for ``edgead.device.near_copies``; empty if none were asked for.
    """

    paths: tuple[Path, ...]
    scores: Floats
    maxima: Floats
    maps: Mapping[int, Floats]
    thumbnails: Floats


def judge(
    detector: Detector,
    paths: Sequence[Path],
    progress: Progress,
    what: str,
    *,
    thumbnails: bool = False,
    maps: bool = False,
) -> Judged:
    """Judge images, one at least.

    Args:
        what: they are, for the progress.
        thumbnails: keep those.
        maps: keep maps too, of an even share of the images where all would take more than ``MAP_BYTES``.

    Raises:
        ImageError: images can't be used; all of them are counted, the first few named.
        EngineError: as the detector raises it.
    """
    rule = detector.rule
    room = max(1, MAP_BYTES // (4 * math.prod(rule.size)))
    wanted = set(spread(len(paths), room)) if maps else set()
    scores: list[float] = []
    maxima: list[float] = []
    kept: dict[int, Floats] = {}
    thumbs: list[Floats] = []
    shapes: list[tuple[int, ...]] = []
    problems: dict[Path, str] = {}

    def frames() -> Iterator[Image]:
        with closing(detector.read_ahead(paths)) as read:
            for path, frame in zip(paths, read, strict=True):
                if isinstance(frame, ImageError):
                    problems[path] = str(frame)
                    continue
                try:
                    rule.check(frame.shape)
                except FrameError as error:  # of another aspect than the region of interest
                    problems[path] = f"{path}: {error}"
                    continue
                if thumbnails:
                    image = rule.apply(frame)
                    thumbs.append(thumbnail(image))
                    whole = isinstance(rule, ResizeRule) and rule.mode == "stretch"
                    if whole and rule.plain_size == rule.size:
                        frame = image  # the rule leaves such a one as it is
                shapes.append(frame.shape)
                yield frame

    with progress(f"judging {what}", len(paths)) as advance:
        for index, prediction in enumerate(detector.map(frames(), held=True)):
            showing = prediction.anomaly_map[rule.valid_area(shapes[index])]
            scores.append(prediction.score)
            maxima.append(float(showing.max()))
            if index in wanted:
                kept[index] = np.array(showing, np.float32)
                if sum(each.nbytes for each in kept.values()) > MAP_BYTES:  # frames in windows: of any size
                    wanted = set(sorted(wanted)[::2])
                    kept = {which: each for which, each in kept.items() if which in wanted}
            advance(1)
    if problems:
        raise unusable(problems, len(paths))
    stacked = np.stack(thumbs) if thumbs else np.zeros((0, 0, 0), np.float32)
    return Judged(tuple(paths), np.array(scores, np.float32), np.array(maxima, np.float32), kept, stacked)


def digest_of(paths: Sequence[Path]) -> str:
    """SHA-256 of the files' own, sorted: the same images have the same in any order and place."""
    each = sorted(sha256_of(path) for path in paths)
    return hashlib.sha256("\n".join(each).encode()).hexdigest()


def kinds_in(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """The images of defects by kind: a subfolder's name, or the folder's own of what lies in itself.

    Raises:
        DatasetError: there are none, a folder can't be read, or good images are among them.
    """
    found: dict[str, list[Path]] = {}
    for folder in folders:
        inside = sorted(path for path in _entries(folder) if path.is_dir() and path.name[0] != ".")
        for path in inside:
            if path.name.lower() in GOOD_FOLDERS:
                raise DatasetError(
                    f"{shown(folder)}: its subfolder '{shown(path.name)}' is of good images; give that with "
                    "--good, and the defects' own folders with --defects"
                )
        of_kinds = {path.name: images for path in inside if (images := _images(path))}
        if own := _images(folder):
            of_kinds[folder.absolute().name] = own
        if not of_kinds:
            list_images(folder)  # says what is there instead
        for kind, images in of_kinds.items():
            found.setdefault(shown(kind), []).extend(images)
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        raise DatasetError(f"{shown(folder)}: no such folder; give one that holds a folder a kind") from None
    except NotADirectoryError:
        raise DatasetError(f"{shown(folder)}: a file; give a folder that holds a folder a kind") from None
    except OSError as error:
        reason = error.strerror
        raise DatasetError(f"{shown(folder)}: can't be read ({reason}); check the path and rights") from None


def _images(folder: Path) -> list[Path]:
    _entries(folder)  # one that can't be read isn't an empty one
    try:
        return list_images(folder)
    except DatasetError:
        return []


__all__ = ["MAP_BYTES", "Judged", "digest_of", "judge", "kinds_in"]
