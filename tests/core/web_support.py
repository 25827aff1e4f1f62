"""For the tests of webs: a judge whose map is known, and what must be reported by one labelling of it all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from edgead.web import NotInspected, Report, WebDefect

Row = tuple[int, int, int, int, int, float, bool]
"""start, end, left, right, area, peak, is_cut"""


@dataclass(frozen=True)
class Thresholds:
    score: float = 150.0
    pixel: float = 100.0
    smallest_area: int = 0


class Judge:
    """The map is the pixels' blue, but within the margin from a window's edges, where it's upside down."""

    def __init__(self, size=(32, 32), margin=4, limits: Thresholds = Thresholds()) -> None:
        self.size, self.margin, self.limits = size, margin, limits
        self.seen = 0

    def anomaly_maps(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for image in images:
            assert image.shape == (*self.size, 3) and image.dtype == np.uint8 and image.flags.c_contiguous
            self.seen += 1
            yield self.anomaly_map(image)

    def anomaly_map(self, image: np.ndarray) -> np.ndarray:
        found = image[..., 0].astype(np.float32)
        wrong = np.ones(found.shape, bool)
        wrong[self.margin : self.size[0] - self.margin, self.margin : self.size[1] - self.margin] = False
        found[wrong] = 255 - found[wrong]
        return found


def whole_map(segment: np.ndarray, judge: Judge) -> np.ndarray:
    """The map of a stretch (n, width) between two gaps: upside down at its own edges, and nowhere else."""
    found = segment.astype(np.float32)
    (height, width), margin = judge.size, judge.margin
    wrong = np.zeros(found.shape, bool)
    wrong[:margin], wrong[:, :margin] = True, True
    wrong[max(len(found), height) - margin :], wrong[:, max(found.shape[1], width) - margin :] = True, True
    found[wrong] = 255 - found[wrong]
    return found


def expected(web: np.ndarray, judge: Judge, gaps: Sequence[tuple[int, int]] = ()) -> list[Row]:
    """The defects of a web (n, width) with gaps, by labelling each stretch between them as a whole."""
    found: list[Row] = []
    edges = [(0, 0), *gaps, (len(web), len(web))]
    for number, ((_, start), (end, _)) in enumerate(pairwise(edges)):
        if end > start:
            after, before = number > 0, number < len(edges) - 2
            missing = np.zeros((end - start, web.shape[1]), bool)
            found += labelled(whole_map(web[start:end], judge), judge.limits, start, after, before, missing)
    return sorted(found)


def labelled(
    whole: np.ndarray, limits: Thresholds, line: int, after: bool, before: bool, missing: np.ndarray
) -> list[Row]:
    """The defects of a map (n, width) of which the pixels of ``missing`` are unknown.

    Args:
        line: of the first row.
        after, before: whether the map begins after, and ends before, what's unknown.
    """
    mask = (whole.astype(np.float64) > limits.pixel) & ~missing
    near = cv2.dilate(missing.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    near[0] |= after
    near[-1] |= before
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    rows: list[Row] = []
    for label in range(1, count):
        left, top, width, height, area = map(int, stats[label])
        inside = labels == label
        peak = float(whole[inside].max())
        if peak > limits.score and area >= limits.smallest_area:
            is_cut = bool(near[inside].any())
            rows.append((line + top, line + top + height, left, left + width, area, peak, is_cut))
    return rows


def row(defect: WebDefect) -> Row:
    return (
        *(defect.start, defect.end, defect.left, defect.right),
        *(defect.area, defect.peak, defect.is_cut),
    )


def rows(reports: Iterable[Report]) -> list[Row]:
    """The defects that ended, as ``expected`` has them; each must have a number of its own."""
    ended = [each for each in reports if isinstance(each, WebDefect) and not each.is_open]
    assert len({each.id for each in ended}) == len(ended)
    return sorted(row(each) for each in ended)


def gaps_in(reports: Iterable[Report]) -> list[tuple[int, int, str]]:
    return [(each.start, each.end, each.reason) for each in reports if isinstance(each, NotInspected)]


def pieces_of(web: np.ndarray, rng: np.random.Generator, most: int) -> Iterator[np.ndarray]:
    """A web (n, width) in pieces of random heights; each is overwritten as soon as the next is asked for."""
    at = 0
    while at < len(web):
        piece = web[at : at + int(rng.integers(1, most + 1))].copy()
        at += len(piece)
        yield piece
        piece[:] = 255


def drawn(rng: np.random.Generator, lines: int, width: int, count: int) -> np.ndarray:
    """A dark web (lines, width) uint8 with defects: strokes, rings, dust, steps that touch at corners."""
    web = rng.integers(0, 90, (lines, width), dtype=np.uint8)
    for _ in range(count):
        x, y = int(rng.integers(width)), int(rng.integers(lines))
        value = int(rng.integers(101, 256))
        kind = rng.integers(5)
        if kind == 0:
            end = (int(x + rng.integers(-40, 41)), int(y + rng.integers(-90, 91)))
            cv2.line(web, (x, y), end, value, int(rng.integers(1, 4)))
        elif kind == 1:
            axes = (int(rng.integers(2, 30)), int(rng.integers(2, 60)))
            cv2.ellipse(web, (x, y), axes, float(rng.integers(180)), 0, 300, value, 1)
        elif kind == 2:
            web[y, x] = value
        elif kind == 3:
            for step in range(int(rng.integers(2, 50))):
                if 0 <= y + step < lines and 0 <= x - step < width:
                    web[y + step, x - step] = value
        else:
            patch = web[y : y + 12, x : x + 12]
            patch[rng.random(patch.shape) < 0.4] = value
    return web
