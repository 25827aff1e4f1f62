"""The precision gate: how well a form separates held-out good images from the same with synthetic defects.

A faster form has its own bank and threshold, so raw scores can't be compared, and labelled defects don't
exist yet. What can be compared is separation, as AUROC, on the same good and the same synthetically defective
images, with the FP32 form's on the same engine. Two figures, because held-out images are few:

*Expected loss.* A form's scores follow a curve over FP32's, plus what its arithmetic changes. How large that
remainder is among images of about the same score is added to FP32's scores as noise, many times: the mean
AUROC lost is what this form costs on images like these, whichever way the dice fell on these very ones. About
the same score, because rounding errors grow with the distance: those of clear defects say nothing about the
images that are hard to tell apart.
*Measured loss.* The AUROC lost on these images. It may exceed the allowed loss by as much as such noise
explains (two standard deviations), and no more: a form that fails in another way than by noise, one whose
scores saturate on defects say, shows here.

The held-out images are what there are fewest of, so most of the noise is theirs, and a third of the defects
judges nearly as well as all. A form far from the limit is judged by that third, a doubtful one by all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from edgead.metrics.scores import auroc
from edgead.runtime.session import Session
from edgead.types import Image
from edgead.workbench.judged_part import draw_inside, highest

DEFECTS = 240
"""Synthetic defects drawn for the gate, spread over the held-out images."""
FEW_DEFECTS = 80
"""As many of them judge a form that is clearly within what's allowed, or clearly not."""
DRAWS = 200
"""How often noise is drawn for the expected loss."""
NEAREST, FEWEST = 0.125, 15
"""The images of about the same score: a share of all, and at least so many."""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One form's scores on the gate's images.

    Attributes:
        good: image scores of the held-out good images.
        good_maxima: the maxima of their anomaly maps.
        bad: image scores of the synthetic defects.
        bad_maxima: the maxima of their maps.
    """

    good: Scores
    good_maxima: Scores
    bad: Scores
    bad_maxima: Scores

    @property
    def auroc(self) -> float:
        """0 to 1."""
        return _auroc(self.good, self.bad)


@dataclass(frozen=True)
class Separation:
    """What a form loses against FP32, in AUROC from 0 to 1; see the module's text.

    Attributes:
        auroc: the form's own.
        expected_loss: by noise of the size that its arithmetic makes.
        measured_loss: on the gate's images; negative where the form is better.
        noise: standard deviation of a measured loss by that noise.
        max_loss: what is allowed.
        defects: how many synthetic defects judged it.
    """

    auroc: float
    expected_loss: float
    measured_loss: float
    noise: float
    max_loss: float
    defects: int

    @property
    def passed(self) -> bool:
        """Both losses within what's allowed."""
        return self._within(self.max_loss)

    @property
    def clear(self) -> bool:
        """Within half of what's allowed, or beyond twice of it: more defects won't change the verdict."""
        return self._within(self.max_loss / 2) or not self._within(self.max_loss * 2)

    def _within(self, limit: float) -> bool:
        return self.expected_loss <= limit + 1e-12 and self.measured_loss <= limit + 2 * self.noise + 1e-12


class PrecisionGate:
    """Judges the forms of one model, FP32's given, on the same images.

    Args:
        fp32: the FP32 form on the target's engine.
        good: held-out good images.
        defects: the same with synthetic defects, ``DEFECTS`` of them, drawn as they are needed.
        max_loss: what a form may lose, in AUROC from 0 to 1.
        seed: of the noise drawn.
        inside: (H, W) bool, where maps count; None everywhere.
    """

    def __init__(
        self,
        fp32: Session,
        good: Sequence[Image],
        defects: Iterator[Image],
        max_loss: float,
        seed: int,
        inside: NDArray[np.bool_] | None = None,
    ) -> None:
        self._inside = inside
        self._good, self._defects, self._max_loss, self._seed = good, defects, max_loss, seed
        self._bad = list(islice(defects, FEW_DEFECTS))
        self._session = fp32
        self._fp32 = run_trial(fp32, good, self._bad, inside)

    def judge(self, form: Session) -> tuple[Trial, Separation]:
        """What the form scored, and what that costs; FP32 itself loses nothing."""
        if form is self._session:
            return self._fp32, self._compare(self._fp32)
        trial = run_trial(form, self._good, self._bad[:FEW_DEFECTS], self._inside)
        found = self._compare(trial)
        if found.clear:
            return trial, found
        self._bad += self._defects
        trial = self._with_all_defects(form, trial)
        self._fp32 = self._with_all_defects(self._session, self._fp32)
        return trial, self._compare(trial)

    def fp32(self, trial: Trial) -> Trial:
        """What FP32 scored on the images of a form's trial."""
        m = len(trial.bad)
        return replace(self._fp32, bad=self._fp32.bad[:m], bad_maxima=self._fp32.bad_maxima[:m])

    def _compare(self, trial: Trial) -> Separation:
        return compare(trial, self.fp32(trial), self._max_loss, self._seed)

    def _with_all_defects(self, session: Session, trial: Trial) -> Trial:
        rest = run_trial(session, (), self._bad[len(trial.bad) :], self._inside)
        return replace(
            trial,
            bad=np.concatenate([trial.bad, rest.bad]),
            bad_maxima=np.concatenate([trial.bad_maxima, rest.bad_maxima]),
        )


def defective_images(
    held_out: Sequence[Image], seed: int, count: int = DEFECTS, inside: NDArray[np.bool_] | None = None
) -> Iterator[Image]:
    """The held-out images in turn, each with one synthetic defect, where they're judged."""
    rng = np.random.default_rng(seed)
    return (draw_inside(held_out[i % len(held_out)], rng, inside)[0] for i in range(count))


def run_trial(
    session: Session, good: Sequence[Image], bad: Sequence[Image], inside: NDArray[np.bool_] | None = None
) -> Trial:
    """Score all images with one form; maps count ``inside``, (H, W) bool, alone where it's given."""
    outputs = [
        (float(o["score"][0]), highest(o["anomaly_map"][0, 0], inside))
        for o in session.map(image[None] for image in [*good, *bad])
    ]
    scores = np.array(outputs).reshape(-1, 2)
    n = len(good)
    return Trial(scores[:n, 0], scores[:n, 1], scores[n:, 0], scores[n:, 1])


def compare(form: Trial, fp32: Trial, max_loss: float, seed: int) -> Separation:
    """Judge a form's trial against FP32's on the same images."""
    spread = _remainder(form, fp32)
    good, bad = np.split(spread, [len(fp32.good)])
    rng = np.random.default_rng(seed)
    losses = [
        fp32.auroc - _auroc(fp32.good + rng.normal(0, good), fp32.bad + rng.normal(0, bad))
        for _ in range(DRAWS if spread.any() else 1)
    ]
    return Separation(
        auroc=form.auroc,
        expected_loss=float(np.mean(losses)),
        measured_loss=fp32.auroc - form.auroc,
        noise=float(np.std(losses)),
        max_loss=max_loss,
        defects=len(fp32.bad),
    )


def _remainder(form: Trial, fp32: Trial) -> Scores:
    """For each image, good ones first: how far the form's scores scatter about their curve over FP32's.

    In FP32's units, over the ``NEAREST`` of the images in FP32's order that are closest to it.
    """
    x = np.concatenate([fp32.good, fp32.bad])
    y = np.concatenate([form.good, form.bad])
    if not np.ptp(x):
        return np.zeros(len(x))
    slope, intercept = np.polyfit(x, y, 1)
    if slope <= 0:  # nothing of FP32's order is left: noise as large as the scores' own spread
        return np.full(len(x), x.std() * 10)
    order = np.argsort(x, kind="stable")
    off_line = (y - slope * x - intercept)[order] / slope
    curve = _moving_mean(off_line)
    spread = np.empty(len(x))
    spread[order] = np.sqrt(_moving_mean((off_line - curve) ** 2))
    return spread


def _moving_mean(values: Scores) -> Scores:
    """The mean of each value's surroundings, ``NEAREST`` of all, fewer at the ends."""
    half = max(FEWEST, int(len(values) * NEAREST)) // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    start, stop = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    means: Scores = (sums[stop] - sums[start]) / (stop - start)
    return means


def _auroc(good: Scores, bad: Scores) -> float:
    value = auroc(good, bad)
    if value is None:
        raise ValueError("a trial needs good and bad images")
    return value
