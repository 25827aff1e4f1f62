"""What a form would have scored, where FP32 judged: folds are judged once, in FP32, and forms are several.

Both score the gate's images with models that have learned the same. A form's scores follow a line over
FP32's, and scatter about it by what its arithmetic changes. The images judged in folds get the line, and the
scatter of the gate's good images in turn: what the form's rounding adds to the tail is in its threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgead.held_out import HeldOut
from edgead.workbench.precision import Trial

Scores = NDArray[np.float64]


def form_figures(
    known: HeldOut | None, trial: Trial, fp32: Trial, groups: tuple[int, ...], in_windows: bool = False
) -> HeldOut:
    """A form's figures of what wasn't learned.

    Args:
        known: FP32's, of the reference bundle; None where an older edgead wrote that.
        trial: the form's scores on the gate's images.
        fp32: FP32's on the same.
        groups: of the gate's good images; empty where each counts.
        in_windows: whether the gate's images are windows, and ``known`` has the scores of frames.
    """
    own = HeldOut(_single(trial.good), _single(trial.good_maxima), groups)
    if known is None:
        return own
    curve = Curve.between((fp32.good, fp32.bad), (trial.good, trial.bad))
    defects = _single(curve.at(known.defects.astype(np.float64)))
    if not known.folds and not in_windows:
        return replace(own, moments=known.moments, defects=defects, areas=known.areas)
    peaks = Curve.between((fp32.good_maxima, fp32.bad_maxima), (trial.good_maxima, trial.bad_maxima))
    scores, maxima = (
        _single(each.at(values.astype(np.float64), scattered=True))
        for each, values in ((curve, known.scores), (peaks, known.maxima))
    )
    return replace(known, scores=scores, maxima=maxima, defects=defects)


@dataclass(frozen=True)
class Curve:
    """A form's scores over FP32's: a line, and how the good images scatter about it."""

    slope: float
    intercept: float
    scatter: Scores

    @staticmethod
    def between(fp32: tuple[Scores, Scores], form: tuple[Scores, Scores]) -> Curve:
        """Of the same images in both: (g,) good ones and (b,) defects."""
        x, y = np.concatenate(fp32), np.concatenate(form)
        if np.array_equal(x, y) or not np.ptp(x):
            return Curve(1.0, 0.0, np.zeros(1))
        # Rounding errors grow with the distance, so an image weighs less the higher its score.
        slope, intercept = np.polyfit(x, y, 1, w=1 / np.maximum(x, np.median(fp32[0]) / 10 + 1e-12))
        if slope <= 0:  # nothing of FP32's order is left; the gate refuses such a form
            return Curve(1.0, 0.0, np.zeros(1))
        scatter = form[0] - (slope * fp32[0] + intercept)
        return Curve(float(slope), float(intercept), scatter - scatter.mean())

    def at(self, scores: Scores, scattered: bool = False) -> Scores:
        """The form's scores, at least 0, for FP32's; ``scattered`` as its good images are."""
        turn = np.resize(self.scatter, len(scores)) if scattered else 0.0
        carried: Scores = np.maximum(self.slope * scores + self.intercept + turn, 0)
        return carried


def _single(values: Scores) -> NDArray[np.float32]:
    return values.astype(np.float32)


__all__ = ["Curve", "form_figures"]
