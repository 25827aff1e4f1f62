"""From what a graph yields for a frame to the verdict: the thresholds, the mask and its regions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgead.areas import without_small
from edgead.errors import NotFiniteError
from edgead.manifest import ThresholdRecord
from edgead.resize import FrameRule
from edgead.runtime.lessons import Taught, as_judged
from edgead.runtime.regions import find_regions
from edgead.runtime.session import Outputs
from edgead.types import Placement, Prediction


def judge(
    outputs: Outputs,
    frame_shape: Sequence[int],
    rule: FrameRule,
    limits: ThresholdRecord,
    depth: int | None,
    name: str,
    lessons: Taught | None = None,
) -> Prediction:
    """The verdict on one frame.

    Args:
        outputs: ``score`` (1,) and ``anomaly_map`` (1, 1, H, W), float32, of the rule's ``map_size``.
        frame_shape: (height, width, ...) of the frame.
        rule: what made the graph's input of it.
        limits: the thresholds that hold.
        depth: significant bits of uint16 frames where they're known.
        name: the bundle's, for the message.
        lessons: what the bundle was taught; ``outputs`` have what these take. None: nothing, or they hold it.

    Raises:
        NotFiniteError: score or map hold no number.
    """
    score = float(outputs["score"][0])
    anomaly_map = outputs["anomaly_map"][0, 0]
    if not (math.isfinite(score) and np.isfinite(anomaly_map).all()):
        raise NotFiniteError(
            f"{name}: the model yields NaN or infinity for this frame, so there's no verdict: treat the part "
            "as rejected; run `edgead verify` on the bundle and export it again"
        )
    judged = as_judged(outputs) if lessons is None else lessons.apply(outputs)
    score, anomaly_map, lesson, seen = judged.score, judged.anomaly_map, judged.lesson, judged.seen
    inside = rule.inside(frame_shape)
    if inside is not None:  # what lies outside of a region of interest isn't judged
        anomaly_map = np.where(inside, anomaly_map, np.float32(0))
    is_anomalous = score > limits.score or lesson is not None
    mask = np.zeros(anomaly_map.shape, bool)
    if is_anomalous:
        area = rule.valid_area(frame_shape)
        mask[area] = without_small(anomaly_map[area] > limits.pixel, limits.smallest_area)
        if seen is not None:  # a taught defect is marked however small it is
            mask[area] |= seen[area]
        if inside is not None:
            mask &= inside
    return Prediction(
        score=score,
        is_anomalous=is_anomalous,
        threshold=limits.score,
        anomaly_map=anomaly_map,
        mask=mask,
        regions=find_regions(anomaly_map, mask, rule, frame_shape),
        placement=Placement(
            (frame_shape[0], frame_shape[1]),
            rule.valid_box(frame_shape),
            limits.pixel,
            depth,
            limits.smallest_area,
            inside,
        ),
        lesson=lesson,
    )


__all__ = ["judge"]
