"""How far a metric may be off because the test images are few, and whether two bundles really differ.

Images are drawn again with replacement, whole images: the pixels of one image are far from independent. Good
and bad images are drawn apart, as many of each as there are, so that every draw has both. An interval is the
middle 95 % of the metric over the draws (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
section 13.3). It says nothing about defects of a kind that isn't among the images. Where every draw gives
the same, as images do that are separated perfectly, it says nothing at all: then image metrics have an
interval by ``edgead.metrics.perfect``, and others none, with the reason.

    weights = resample(bad)
    metrics = with_intervals(image_metrics(scores, bad), image_samples(scores, bad, weights), bad)

Two bundles are compared on the same images with the same draws, so that what makes an image hard for both
cancels out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgead.errors import InputError
from edgead.metrics.perfect import AT_LEAST
from edgead.metrics.scores import Metric
from edgead.notices import Notice

DRAWS = 1000
LEVEL = 0.95
Z = 1.959963984540054
"""Standard deviations on either side of its mean within which a normal value lies with that confidence."""
_SAME = 1e-12
_ENOUGH = 0.95
"""The share of draws in which a metric must be defined: masks may be empty in some."""


@dataclass(frozen=True)
class Difference:
    """A metric of one bundle less that of another, on the same images.

    Attributes:
        value: the difference, -1 to 1; None where either is undefined.
        interval: (low, high) that holds it with 95 % confidence; None where it isn't known.
        p_value: how likely a difference at least as large is if there's none (two-sided); None where it isn't
            known. Below 0.05 it's commonly called significant.
        reason: why ``value`` or ``p_value`` is None.
    """

    value: float | None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    reason: Notice | None = None


def resample(bad: ArrayLike, draws: int = DRAWS, seed: int = 0) -> NDArray[np.int64]:
    """Draw images with replacement, good and bad ones apart.

    Args:
        bad: (images,) bool.
        draws: how many times.
        seed: the same seed and labels give the same draws.

    Returns:
        (draws, images), how often each image was drawn; (0, images) where there's only one good or one bad
        image, since nothing shows how much such images differ.
    """
    labels = np.asarray(bad, bool)
    rng = np.random.default_rng(seed)
    weights = np.zeros((draws, labels.size), np.int64)
    for kind in (labels, ~labels):
        images = np.flatnonzero(kind)
        if images.size == 1 or not draws:
            return weights[:0]
        if images.size:
            picks = images[rng.integers(0, images.size, (draws, images.size))]
            weights += np.stack([np.bincount(pick, minlength=labels.size) for pick in picks])
    return weights


def with_intervals(
    metrics: Mapping[str, Metric], samples: Mapping[str, NDArray[np.float64]], bad: ArrayLike
) -> dict[str, Metric]:
    """Add the intervals to metrics, or the reason why there is none.

    Args:
        samples: name to the metric on each draw, from ``image_samples`` or ``PixelMetrics.samples``. Draws
            where it's NaN don't count; where more than 5 % are, or there are none, there's no interval.
        bad: (images,) bool, of the images that the draws are from.
    """
    labels = np.asarray(bad, bool)
    n_bad = int(labels.sum())
    return {
        name: _bounded(name, metric, samples.get(name), labels.size - n_bad, n_bad)
        for name, metric in metrics.items()
    }


def _bounded(name: str, metric: Metric, samples: NDArray[np.float64] | None, good: int, bad: int) -> Metric:
    if metric.value is None or samples is None:
        return metric
    interval = _middle(samples, metric.value)
    if interval is None:
        if min(good, bad) < 2:
            return replace(metric, no_interval=Notice("one-of-a-kind"))
        return replace(metric, no_interval=Notice("undefined-on-draws")) if samples.size else metric
    if interval[1] - interval[0] > _SAME:
        return replace(metric, interval=interval)
    if name in AT_LEAST and metric.value == 1:
        return replace(metric, interval=(AT_LEAST[name](good, bad), 1.0))
    if name == "image_auroc" and metric.value == 0:  # perfect, the wrong way round
        return replace(metric, interval=(0.0, 1 - AT_LEAST[name](good, bad)))
    return replace(metric, no_interval=Notice("no-spread"))


def share_interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share: Wilson's, which holds for few images and for none of them too.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22, 1927.

    Args:
        count, total: 0 <= count <= total, total over 0.
    """
    middle = (count + Z * Z / 2) / (total + Z * Z)
    half = Z / (total + Z * Z) * (count * (total - count) / total + Z * Z / 4) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def differences(
    a: Mapping[str, Metric],
    b: Mapping[str, Metric],
    samples_a: Mapping[str, NDArray[np.float64]],
    samples_b: Mapping[str, NDArray[np.float64]],
) -> dict[str, Difference]:
    """Return ``a`` less ``b`` for each metric that both have, by paired bootstrap.

    The p value is twice the smaller share of draws on one side of no difference, those at it included.

    Args:
        a, b: the metrics of two bundles on the same images.
        samples_a, samples_b: their metrics on the same draws, made with the same weights.
    """
    found = {}
    for name in [name for name in a if name in b]:
        one, two = a[name], b[name]
        if one.value is None or two.value is None:
            found[name] = Difference(None, reason=one.reason or two.reason)
            continue
        value = one.value - two.value
        if one.value == two.value == 1 and _middle(samples_a.get(name), 1) == _middle(samples_b.get(name), 1):
            found[name] = Difference(value, reason=Notice("both-perfect"))
            continue
        drawn = samples_a.get(name, np.empty(0)) - samples_b.get(name, np.empty(0))
        interval = _middle(drawn, value)
        if interval is None:
            found[name] = Difference(value, reason=Notice("too-few-to-draw"))
            continue
        drawn = drawn[~np.isnan(drawn)]
        smaller = min((drawn <= 0).sum(), (drawn >= 0).sum())
        p = min(1.0, 2 * (int(smaller) + 1) / (drawn.size + 1))
        found[name] = Difference(value, interval, p)
    return found


def delong(scores_a: ArrayLike, scores_b: ArrayLike, bad: ArrayLike) -> Difference:
    """Return the difference of two image AUROCs on the same images, by DeLong's test.

    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44, 1988: the difference is taken as normal with a variance known in
    closed form. It needs no draws and gives small p values that a thousand draws can't; it's for images only,
    since the pixels of an image aren't independent.

    Args:
        scores_a, scores_b: (images,) finite, each bundle's own; they needn't be on one scale.
        bad: (images,) bool.

    Raises:
        edgead.errors.InputError: the shapes differ, or a score isn't finite.
    """
    labels = np.asarray(bad, bool)
    both = [np.asarray(scores, np.float64) for scores in (scores_a, scores_b)]
    for scores in both:
        if scores.ndim != 1 or scores.shape != labels.shape or not np.isfinite(scores).all():
            raise InputError(
                f"scores of shape {scores.shape} for {labels.size} images: pass one finite score each"
            )
    if labels.all() or not labels.any():
        return Difference(None, reason=Notice("no-good-images" if labels.any() else "no-bad-images"))
    of_bad, of_good = zip(*(_placements(s[~labels], s[labels]) for s in both), strict=True)
    value = float(of_bad[0].mean() - of_bad[1].mean())
    if min(of_bad[0].size, of_good[0].size) < 2:
        return Difference(value, reason=Notice("too-few-to-test"))
    parts = (of_bad[0] - of_bad[1], of_good[0] - of_good[1])
    deviation = math.sqrt(sum(float(part.var(ddof=1)) / part.size for part in parts))
    if not deviation:
        if of_bad[0].min() == of_bad[1].min() == 1:
            return Difference(0.0, reason=Notice("both-perfect"))
        if value:
            return Difference(value, reason=Notice("differ-alike"))
        return Difference(0.0, (0.0, 0.0), 1.0)
    width = Z * deviation
    return Difference(value, (value - width, value + width), math.erfc(abs(value) / deviation / math.sqrt(2)))


def _placements(
    good: NDArray[np.float64], bad: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each bad score the share of good ones under it, for each good one that of bad ones over it."""

    def share_under(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
        ordered = np.sort(others)
        twice = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
        return np.asarray(twice / (2 * others.size), np.float64)

    return share_under(bad, good), 1 - share_under(good, bad)


def _middle(samples: NDArray[np.float64] | None, value: float | None) -> tuple[float, float] | None:
    if samples is None or value is None:
        return None
    defined = samples[~np.isnan(samples)]
    if not defined.size or defined.size < _ENOUGH * samples.size:
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


__all__ = [
    "DRAWS",
    "LEVEL",
    "Difference",
    "delong",
    "differences",
    "resample",
    "share_interval",
    "with_intervals",
]
