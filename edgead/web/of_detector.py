"""A detector as a judge of windows: the one place that knows how a web asks a detector."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import NotFiniteError, OptionError
from edgead.manifest import ThresholdRecord
from edgead.notices import Notice
from edgead.runtime.detector import Detector
from edgead.runtime.lessons import Taught
from edgead.runtime.session import OwningSession
from edgead.types import Image, Size
from edgead.web.judge import WindowJudge

GUESSED = 8
"""Where nobody gave a margin, nor measured it while fitting, it's the shorter side of a window over this."""


class DetectorJudge:
    """A detector's maps of windows that have the model's size already, its lessons applied.

    Attributes:
        size, margin, limits: as ``WindowJudge`` has them.
        notices: what is to be known of them.
    """

    def __init__(self, detector: Detector, margin: int | None, product: str | None) -> None:
        self._detector = detector
        self.size: Size = detector.rule.size
        self.limits: ThresholdRecord = detector.limits(product)
        record = detector.bundle.manifest.windows
        if record is not None and record.scale != 1:
            raise OptionError(
                f"{detector.bundle.path.name} shrinks frames by {record.scale:g} before it judges them, and "
                "a web's lines aren't shrunk: fit one without --scale on pictures of the web as it comes"
            )
        if detector.bundle.manifest.roi is not None:
            raise OptionError(
                f"{detector.bundle.path.name} has a region of interest, drawn on a frame, and a web has no "
                "frames: fit one without --roi, or leave columns out of the lines"
            )
        measured = None if record is None else record.margin
        known = measured if margin is None else margin
        self.margin = min(self.size) // GUESSED if known is None else known
        self.notices: tuple[Notice, ...] = ()
        if record is None:
            height, width = self.size
            self.notices = (Notice("web-pixel-for-pixel", {"height": height, "width": width}),)
        if known is None:
            self.notices += (Notice("web-margin-guessed", {"margin": self.margin, "side": min(self.size)}),)

    def anomaly_maps(self, images: Iterable[Image]) -> Iterator[NDArray[np.float32]]:
        """As ``WindowJudge`` says."""
        state, tester = self._detector._state, self._detector._tester
        session = state.session
        run = session.map_owned if isinstance(session, OwningSession) else session.map
        with closing(run(image[None] for image in images)) as all_outputs:
            for outputs in all_outputs:
                tester.between_frames(session, self.limits)
                yield self._map(outputs, state.taught)

    def _map(self, outputs: Mapping[str, NDArray[Any]], lessons: Taught | None) -> NDArray[np.float32]:
        found: NDArray[np.float32] = outputs["anomaly_map"][0, 0]
        if not (math.isfinite(float(outputs["score"][0])) and np.isfinite(found).all()):
            name = self._detector.bundle.path.name
            raise NotFiniteError(f"{name}: the model yields NaN or infinity for this window")
        if lessons is None:
            return found
        judged = lessons.apply(outputs)
        if judged.seen is None:
            return judged.anomaly_map
        over = np.nextafter(np.float32(max(self.limits.score, self.limits.pixel)), np.float32(np.inf))
        raised: NDArray[np.float32] = np.where(
            judged.seen, np.maximum(judged.anomaly_map, over), judged.anomaly_map
        )
        return raised


def judge_of(
    detector: Detector | WindowJudge, margin: int | None, product: str | None
) -> tuple[WindowJudge, tuple[Notice, ...]]:
    """What judges the windows, and what is to be known of it.

    Raises:
        OptionError: it's neither, a judge that isn't a detector is told a margin or a product, or the
            detector shrinks frames.
        UnknownNameError: the bundle has no such product.
    """
    if isinstance(detector, Detector):
        judge = DetectorJudge(detector, margin, product)
        return judge, judge.notices
    if not isinstance(detector, WindowJudge):
        raise OptionError(f"{type(detector).__name__} is no detector: use what edgead.load returns")
    if margin is not None or product is not None:
        raise OptionError(f"margin and product are a detector's: {type(detector).__name__} has its own")
    return detector, ()


def depth_of(detector: Detector | WindowJudge, depth: int | None) -> int | None:
    """The significant bits of uint16 lines: the detector's own where it knows them.

    Raises:
        OptionError: the detector knows others.
    """
    known = detector.depth if isinstance(detector, Detector) else None
    if known is not None and depth not in (None, known):
        raise OptionError(f"depth {depth} isn't the {known} bits of the detector; leave depth out")
    return depth if known is None else known


__all__ = ["GUESSED", "DetectorJudge", "depth_of", "judge_of"]
