"""What sizes of defects the chosen input still shows: measured after every fit.

Synthetic defects of several sizes are drawn on held-out images in the images' own pixels, before anything is
resized, and the images judged by the FP32 form that hasn't learned them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgead.device.calibrate import APART
from edgead.images import read_image
from edgead.manifest import SizeFound, SizesFoundRecord
from edgead.resize import ResizeRule
from edgead.roi import Roi, RoiRule
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_as_honoured
from edgead.runtime.in_windows import judged_in_windows
from edgead.sampling import spread
from edgead.types import Image, Progress
from edgead.window_rule import WindowRule
from edgead.workbench.defects import MIN_DEFECT_SIDE
from edgead.workbench.given import Given
from edgead.workbench.sized_defects import SIZED_KINDS, Ground

STEPS, SMALLEST, LARGEST = 7, 2, 0.1
"""Sizes on the ladder, the smallest in pixels, the largest as a share of the frame's shorter side."""
ROOM = 0.25
"""Share of a frame's shorter side that a defect may have."""
DRAWN, LEAST_DRAWN = 34, 10
"""Defects of each size; the least, where inputs are so large that they take long."""
PIXELS = 1 << 26
"""Of all judged inputs together, about, up to which ``DRAWN`` are drawn: 512 x 512 of each."""
MOST_RISE = 100.0
"""What a median rise is told up to: an image may be next to the threshold undamaged."""

Judge = Callable[[Iterable[Image]], Iterator[float]]
"""Frames (H, W, 3) uint8 BGR of any size to their image scores, in order."""


def measure_sizes(
    model: Path, stride: int, given: Given, threshold: float, progress: Progress
) -> SizesFoundRecord | None:
    """Measure what a form finds; None where no held-out image can be drawn on.

    Args:
        model: the form's graph, which hasn't learned the held-out images.
        stride: of its finest feature map.
        threshold: of the image score.

    Raises:
        ImageError: an image can't be read any more.
    """
    rule, shapes, settings = given.rule, given.reading.shapes, given.settings
    height, width = (round(statistics.median(shape[side] for shape in shapes.values())) for side in (0, 1))
    sizes = ladder(min(height, width), settings.smallest_defect)
    fits = [i for i, path in enumerate(given.held_out.paths) if _has_room(shapes[path], sizes)]
    if not fits:
        return None
    drawn = min(DRAWN, max(LEAST_DRAWN, PIXELS // (len(sizes) * math.prod(rule.map_size((height, width))))))
    frames = [given.held_out.paths[i] for i in drawn_on(fits, given.groups, drawn)]
    read = (read_image(path, given.held_out.depth) for path in frames)
    judge = judge_of(model, rule)
    found = drawn_and_judged(judge, read, len(frames), sizes, drawn, settings.seed, progress, roi_in(rule))
    found = [each for each in found if each.own < threshold]  # others say nothing of what is drawn on them
    if not found:
        return None
    return SizesFoundRecord(
        frame=(height, width),
        images=len({each.frame for each in found}),
        threshold=threshold,
        stride=stride,
        rows=tuple(_row(size, [each for each in found if each.size == size], threshold) for size in sizes),
        asked=_float(settings.smallest_defect),
        mm_per_pixel=_float(settings.mm_per_pixel),
    )


def roi_in(rule: ResizeRule | WindowRule) -> Roi | None:
    """A rule's region of interest, where it has one."""
    return rule.roi if isinstance(rule, RoiRule | WindowRule) else None


def _float(value: float | None) -> float | None:
    """What JSON shows as a number with a point."""
    return None if value is None else float(value)


def judge_of(model: Path, rule: ResizeRule | WindowRule) -> Judge:
    """What brings frames to a graph's input and runs it."""
    session = open_as_honoured(model, "auto", EngineOptions(throughput=True))

    def judge(frames: Iterable[Image]) -> Iterator[float]:
        images = (rule.apply(frame) for frame in frames)
        if isinstance(rule, WindowRule):
            every = judged_in_windows(session, images, rule)
        else:
            every = session.map(image[None] for image in images)
        for outputs in every:
            yield float(outputs["score"][0])

    return judge


def ladder(short: int, asked: float | None = None) -> tuple[float, ...]:
    """Sizes to draw, in pixels, ascending: evenly on a logarithmic scale, whole where they are drawn freely.

    Args:
        short: the frame's shorter side in pixels.
        asked: a size that takes the nearest one's place, where a frame has room for it.
    """
    steps = np.geomspace(SMALLEST, max(SMALLEST + 1, LARGEST * short), STEPS)
    sizes = sorted({float(round(step)) for step in steps.tolist()})
    if asked is not None and asked <= ROOM * short:
        nearest = min(sizes, key=lambda size: abs(math.log(size / asked)))
        sizes = sorted({float(asked), *(size for size in sizes if size != nearest)})
    return tuple(sizes)


def _has_room(shape: Sequence[int], sizes: Sequence[float]) -> bool:
    return min(shape[:2]) >= MIN_DEFECT_SIDE and sizes[-1] <= ROOM * min(shape[:2])


def drawn_on(images: Sequence[int], groups: Sequence[int] | None, most: int) -> list[int]:
    """Which images to draw on: one of each group before any has two, none that is unlike all others.

    Args:
        images: indices that come into question.
        groups: of all images, None where each is its own.
    """
    if groups is None:
        return [images[i] for i in spread(len(images), most)] if images else []
    turns: dict[int, int] = {}
    ranked = []
    for index in images:
        if (group := groups[index]) != APART:
            turns[group] = turns.get(group, 0) + 1
            ranked.append((turns[group], index))
    first = [index for turn, index in ranked if turn == 1]
    if len(first) > most:
        return [first[i] for i in spread(len(first), most)]
    return sorted(index for _, index in sorted(ranked)[:most])


@dataclass(frozen=True)
class Judged:
    """One drawn defect: its size in pixels, the frame's number and its image score with and without it."""

    size: float
    frame: int
    own: float
    score: float


def drawn_and_judged(
    judge: Judge,
    frames: Iterable[Image],
    n_frames: int,
    sizes: Sequence[float],
    drawn: int,
    seed: int,
    progress: Progress,
    roi: Roi | None = None,
) -> list[Judged]:
    """Draw defects on good frames, in all sizes alike, and judge them.

    Args:
        frames: as many as ``n_frames``, each at least four times as large as the largest size.
        sizes: in pixels of the frames.
        drawn: defects of each size, spread evenly over the frames.
        roi: the region of interest that their middles lie in.
    """
    found = []
    with progress("drawing defects of several sizes", n_frames + drawn * len(sizes)) as advance:
        scores = judge(_drawings(frames, n_frames, sizes, drawn, seed, roi))
        for number in range(n_frames):
            own = next(scores)
            advance(1)
            for _ in range(number, drawn, n_frames):
                for size in sizes:
                    found.append(Judged(size, number, own, next(scores)))
                    advance(1)
    return found


def _drawings(
    frames: Iterable[Image], n_frames: int, sizes: Sequence[float], drawn: int, seed: int, roi: Roi | None
) -> Iterator[Image]:
    """Each frame, and then its defects: one of each size, all alike, before the next."""
    for index, frame in enumerate(frames):
        yield frame
        ground = Ground(frame, None if roi is None else roi.inside(frame.shape))
        for place in range(index, drawn, n_frames):
            kind = SIZED_KINDS[(place + place // n_frames) % len(SIZED_KINDS)]
            for size in sizes:
                yield ground.draw(size, np.random.default_rng([seed, place]), kind)


def _row(size: float, found: Sequence[Judged], threshold: float) -> SizeFound:
    rises = [(each.score - each.own) / (threshold - each.own) for each in found]
    rise = min(max(statistics.median(rises), -MOST_RISE), MOST_RISE)
    return SizeFound(size, len(found), sum(each.score > threshold for each in found), rise)


__all__ = ["Judge", "Judged", "drawn_and_judged", "drawn_on", "judge_of", "ladder", "measure_sizes", "roi_in"]
