"""How near to a window's edge its map can be trusted, measured: where the network sees its padding, it can't.

Two windows of one good image that lie half a window apart show the same pixels, near the edge of one and far
from that of the other. What their maps differ by there depends on where windows fall; the margin is where it
no longer matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from edgead.images import read_image
from edgead.notices import Notice
from edgead.sampling import spread
from edgead.types import Image, LearningData, Size
from edgead.window_rule import WindowRule
from edgead.windows import STEP
from edgead.workbench.features import fitting_data, opened
from edgead.workbench.good_images import GoodImages
from edgead.workbench.graph import compose
from edgead.workbench.pieces import Pieces
from edgead.workbench.recipe import Recipe

TOLERANCE = 0.05
"""How much of the highest values of good images a map's value may depend on where its window lies."""
PITCH = 8
"""Pixels between the distances that are looked at."""
LEARNED, PAIRS, FRAMES = 48, 24, 8
"""Windows that a scorer learns for this, and pairs of windows that it judges, of how many images."""
QUANTILE = 0.99

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Edges:
    """What was measured; see ``edgead.manifest.WindowsRecord``."""

    margin: int
    distances: tuple[int, ...]
    changes: tuple[float, ...]

    def notices(self) -> tuple[Notice, ...]:
        """What to know of it: nothing where the margin keeps the tolerance."""
        if not self.distances:
            return (Notice("edges-unmeasured", {"margin": self.margin, "least": STEP}),)
        change = dict(zip(self.distances, self.changes, strict=True)).get(self.margin, 0.0)
        if change <= TOLERANCE:
            return ()
        return (Notice("edges-reach-far", {"margin": self.margin, "change": change, "wanted": TOLERANCE}),)


def first_margin(size: Size) -> int:
    """A margin to cut windows of a size with before it's measured: an eighth of their side."""
    return min(size) // 8 // PITCH * PITCH


def measure_edges(
    recipe: Recipe, graph: onnx.ModelProto, frames: GoodImages, pieces: Pieces, data: LearningData
) -> Edges:
    """Fit a scorer on a few windows, and let it judge pairs of others.

    Args:
        recipe: its scorer trained already, where it trains.
        graph: the backbone in FP32.
        frames: good images.
        pieces: their windows.
        data: of these windows.
    """
    rule = pieces.rule
    few = pieces.subset([int(i) for i in spread(len(pieces), LEARNED)])
    small = replace(data, images=lambda: iter(few), n_images=len(few), backbone=recipe.backbone)
    with fitting_data(graph, recipe.scorer, small) as offer:
        fitted = recipe.scorer.fit(offer)
    model = compose(graph, recipe.scorer, fitted, recipe.postprocessor, rule.size, "fp32").model
    bins = range(0, min(rule.size) // 4, PITCH)
    found: list[list[Floats]] = [[] for _ in bins]
    highest: list[float] = []
    with (
        opened(model, throughput=True) as session,
        data.progress("measuring how far a window's edge reaches", PAIRS) as advance,
    ):
        pairs = _pairs(frames, rule, np.random.default_rng(data.seed))
        for one, other, length, down in pairs:
            first, second = (out["anomaly_map"][0, 0] for out in session.map([one[None], other[None]]))
            highest += [float(first.max()), float(second.max())]
            a, b = (first, second) if down else (first.T, second.T)
            apart = np.abs(a[length:] - b[: len(b) - length])
            at = np.arange(len(apart))
            distance = np.minimum(at, len(apart) - 1 - at)  # b's edge is at the first row, a's after the last
            for values, least in zip(found, bins, strict=True):
                values.append(apart[distance >= least].ravel())
            advance(1)
    if not highest:
        return Edges(first_margin(rule.size), (), ())
    level = max(float(np.quantile(highest, 0.9)), 1e-12)
    changes = [float(np.quantile(np.concatenate(each), QUANTILE)) / level for each in found]
    kept = [least for least, change in zip(bins, changes, strict=True) if change <= TOLERANCE]
    return Edges(kept[0] if kept else bins[-1], tuple(bins), tuple(round(each, 4) for each in changes))


def _pairs(
    frames: GoodImages, rule: WindowRule, rng: np.random.Generator
) -> Iterator[tuple[Image, Image, int, bool]]:
    """Two windows up to half a window apart, by how many pixels, and whether down or to the right."""
    (height, width) = rule.size
    for number, place in enumerate(spread(len(frames), FRAMES)):
        frame = rule.apply(read_image(frames.paths[place], frames.depth))
        missing = [(0, max(side - have, 0)) for side, have in zip(rule.size, frame.shape[:2], strict=True)]
        frame = np.pad(frame, [*missing, (0, 0)], "symmetric")
        shifts = [
            min(side // 2, have - side) // STEP * STEP
            for side, have in zip(rule.size, frame.shape[:2], strict=True)
        ]
        for turn in range(PAIRS // FRAMES if any(shifts) else 0):
            down = shifts[0] > 0 and ((turn + number) % 2 == 0 or not shifts[1])
            below, right = (shifts[0], 0) if down else (0, shifts[1])
            room = frame.shape[0] - height - below, frame.shape[1] - width - right
            y, x = (int(rng.integers(0, side // STEP + 1)) * STEP for side in room)
            one = frame[y : y + height, x : x + width]
            other = frame[y + below : y + below + height, x + right : x + right + width]
            yield np.ascontiguousarray(one), np.ascontiguousarray(other), below or right, down


__all__ = ["TOLERANCE", "Edges", "first_margin", "measure_edges"]
