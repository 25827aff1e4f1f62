"""The verdicts on a data set in figures: what was seen at the threshold, and what is stated of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgead.conformal import CONFIDENCE
from edgead.manifest import ThresholdRecord
from edgead.metrics.scores import Metric
from edgead.metrics.uncertainty import with_intervals
from edgead.metrics.verdicts import (
    Allowed,
    Best,
    Share,
    allowed,
    best,
    escapes,
    f1,
    f1_samples,
    false_alarms,
    threshold_share,
)
from edgead.names import shown
from edgead.notices import Notice, say

Source = Literal["bundle", "given"]
"""``bundle``: the calibrated threshold; ``given``: another that the caller chose."""
COSTLY = 0.5
"""Of what F1 lacks, a larger share that the threshold costs is told in a sentence."""
TOLD = ("alarms-over-stated", "threshold-too-high", "threshold-too-low")
"""Codes of the sentences on a threshold; the others are on images and masks."""


@dataclass(frozen=True)
class Stated:
    """What the threshold's calibration promises.

    Attributes:
        rate: of false alarms, as aimed at, 0 to 1.
        expected: the rate to expect.
        upper: the rate is below this with 95 % confidence.
    """

    rate: float
    expected: float
    upper: float


@dataclass(frozen=True)
class Verdicts:
    """The figures of one threshold on labelled images.

    Attributes:
        threshold: over it an image was called anomalous.
        source: whose threshold it is.
        escapes: of the defective images.
        false_alarms: of the good ones.
        kinds: defect to the escapes of its images.
        f1: at the threshold, with its interval; ``f1_of_kinds`` of a defect's images and all good ones.
        best: F1-max and its threshold, None where it's undefined.
        threshold_share: of what F1 lacks, 1 - F1, the share that the threshold costs, 0 to 1.
        stated: None where nothing is stated, and ``not_stated`` says why.
        allowed: what a threshold for the rate aimed at, read off these good images, would find; None where
            ``not_allowed`` says why.
    """

    threshold: float
    source: Source
    escapes: Share
    false_alarms: Share
    kinds: Mapping[str, Share]
    f1: Metric
    f1_of_kinds: Mapping[str, Metric]
    best: Best | None
    threshold_share: Metric
    stated: Stated | None
    not_stated: Notice | None
    allowed: Allowed | None
    not_allowed: Notice | None

    @property
    def found(self) -> Share:
        """The defective images that aren't escapes; their share is the recall."""
        return self.escapes.rest

    @property
    def scores_share(self) -> float | None:
        """Of what F1 lacks, the share that no threshold would bring."""
        return None if self.threshold_share.value is None else 1 - self.threshold_share.value

    def notices(self) -> tuple[Notice, ...]:
        """What is wrong with the threshold, and what to do about it; usually nothing."""
        told = []
        seen = self.false_alarms.interval
        if self.stated is not None and seen is not None and seen[0] > self.stated.upper:
            values = {"upper": self.stated.upper, "low": seen[0], "high": seen[1]}
            values |= {"alarms": self.false_alarms.count, "images": self.false_alarms.total}
            told.append(Notice("alarms-over-stated", values))
        share = self.threshold_share.value
        if self.best is not None and share is not None and share > COSTLY:
            code = "threshold-too-high" if self.best.threshold < self.threshold else "threshold-too-low"
            at_best = {"best": self.best.f1, "at": self.best.threshold}
            told.append(Notice(code, {"share": share, "f1": self.f1.value, **at_best}))
        return tuple(told)

    def record(self) -> dict[str, Any]:
        """One JSON object: shares as fractions, None where undefined and then with the reason."""
        why = {
            "f1": self.f1.reason,
            "threshold_share": self.threshold_share.reason,
            "stated": self.not_stated,
            "allowed": self.not_allowed,
        }
        undefined = {name: reason for name, reason in why.items() if reason is not None}
        return {
            "threshold": self.threshold,
            "threshold_source": self.source,
            "escapes": self.escapes.record(),
            "false_alarms": self.false_alarms.record(),
            "found": self.found.record(),
            "escapes_by_defect": {shown(kind): share.record() for kind, share in self.kinds.items()},
            "f1": self.f1.value,
            "f1_interval": None if self.f1.interval is None else list(self.f1.interval),
            "f1_by_defect": {shown(kind): metric.value for kind, metric in self.f1_of_kinds.items()},
            "f1_max": None if self.best is None else self.best.f1,
            "f1_max_threshold": None if self.best is None else self.best.threshold,
            "threshold_share": self.threshold_share.value,
            "scores_share": self.scores_share,
            "stated": None if self.stated is None else _stated_record(self.stated),
            "allowed": None if self.allowed is None else _allowed_record(self.allowed),
            "undefined": {name: say(reason) for name, reason in undefined.items()},
            "undefined_codes": {name: reason.code for name, reason in undefined.items()},
        }


def verdicts(
    scores: NDArray[np.float64],
    kinds: Sequence[str | None],
    threshold: float,
    own: ThresholdRecord,
    weights: NDArray[np.int64],
) -> Verdicts:
    """Count at a threshold.

    Args:
        scores: (images,) finite.
        kinds: (images,) the defect that each shows, None of a good one.
        own: the bundle's thresholds for this product, and what is stated of them.
        weights: (draws, images), of the bootstrap that gives F1's interval.
    """
    bad = np.array([kind is not None for kind in kinds], bool)
    source: Source = "bundle" if threshold == own.score else "given"
    missed, alarms = escapes(scores, bad, threshold), false_alarms(scores, bad, threshold)
    drawn = f1_samples(scores, bad, threshold, weights)
    at_threshold = with_intervals({"image_f1": f1(missed, alarms)}, {"image_f1": drawn}, bad)["image_f1"]
    at_best = best(scores, bad)
    names = dict.fromkeys(kind for kind in kinds if kind is not None)
    of_kinds = {
        name: escapes(scores, np.array([kind == name for kind in kinds], bool), threshold) for name in names
    }
    stated, not_stated = _stated(source, own)
    may, not_allowed = _allowed(source, own, scores, bad)
    return Verdicts(
        threshold=threshold,
        source=source,
        escapes=missed,
        false_alarms=alarms,
        kinds=of_kinds,
        f1=at_threshold,
        f1_of_kinds={name: f1(share, alarms) for name, share in of_kinds.items()},
        best=at_best,
        threshold_share=threshold_share(at_threshold, None if at_best is None else at_best.f1),
        stated=stated,
        not_stated=not_stated,
        allowed=may,
        not_allowed=not_allowed,
    )


def _stated(source: Source, own: ThresholdRecord) -> tuple[Stated | None, Notice | None]:
    if source == "given":
        return None, Notice("rate-of-another")
    if own.upper_rate >= 1:  # nothing is known
        return None, own.notice()
    return Stated(own.false_positive_rate, own.expected_rate, own.upper_rate), None


def _allowed(
    source: Source, own: ThresholdRecord, scores: NDArray[np.float64], bad: NDArray[np.bool_]
) -> tuple[Allowed | None, Notice | None]:
    """Of a threshold that aims at no rate there's nothing to compare with."""
    if source == "given":
        return None, Notice("rate-of-another")
    if own.rule == "given" or not 0 < own.false_positive_rate < 1:
        return None, Notice("rate-given")
    found = allowed(scores, bad, own.false_positive_rate)
    return (None, found) if isinstance(found, Notice) else (found, None)


def _stated_record(stated: Stated) -> dict[str, float]:
    return {
        "false_positive_rate": stated.rate,
        "expected_rate": stated.expected,
        "upper_rate": stated.upper,
        "confidence": CONFIDENCE,
    }


def _allowed_record(allowed: Allowed) -> dict[str, Any]:
    shares = {"false_alarms": allowed.false_alarms.record(), "found": allowed.found.record()}
    return {"rate": allowed.rate, "threshold": allowed.threshold, **shares}


__all__ = ["COSTLY", "TOLD", "Source", "Stated", "Verdicts", "verdicts"]
