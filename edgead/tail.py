"""The tail of the good scores beyond the largest of them: a generalised Pareto law, where they support one.

Held-out scores show rates down to that of the largest, 1 / (n + 1), whatever their law, and there no fit does
better than they do themselves (``edgead.conformal``). Beyond the largest something must be assumed: that the
scores over a high one are generalised Pareto distributed, which is the limit for nearly every law (Pickands
1975). So a fit is used there alone, and what it says is a ratio: how much rarer than over the largest score.

* Exceedances: the 3 sqrt(n) largest scores, as many as Vehtari et al. (2024) take of a large set, at most
  half of all, counted from the next smaller one. Where these aren't generalised Pareto distributed, the
  larger half of them may be (Bader et al. 2018), and so on down to ``FEWEST``.
* Fit: a whole posterior, not one shape and scale. With shape and scale plugged in, by probability weighted
  moments (Hosking and Wallis 1987) or Zhang and Stephens' (2009) estimator, a threshold meant for a fifth of
  the largest's rate lets pass about twice that on the average: what is lost where the tail is estimated too
  light isn't won back where too heavy. The average over the posterior has no such bias (McRobie 2013): with
  the prior that belongs to a scale, uniform in its logarithm, it is exact for whatever scale (Severini et al.
  2002), and on the average over the prior of the shape.
* Prior of the shape: normal around 0, the exponential law, with a standard deviation of 0.2. Ten exceedances
  say little about a shape, and a light tail must not become a heavy one by chance; Martins and Stedinger
  (2000) chose 0.10 and 0.12 for the same reason.
* Check: Anderson and Darling's statistic of the exceedances under the posterior's mean, at most 0.8. Of sets
  that are generalised Pareto distributed with shapes of -0.2 to 0.2 it refuses one in ten to one in six,
  the more the smaller they are, and one in five with shapes of -0.4 and 0.4 (Choulakian and Stephens 2001
  have critical values for maximum likelihood). What fails it has no tail here.
* Limit: a tenth of the largest's rate.

``benchmarks/calibration.py`` prints these figures and how well rates are kept; docs/thresholds.md has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST = 10
"""Exceedances that a fit takes."""
MOST = 150
"""Exceedances that one uses: the grid of scales is as fine as these need."""
LEAST_RATIO = 0.1
"""Of a rate to that of the largest score: no fit answers for less."""
MOST_MISFIT = 0.8
"""Anderson-Darling statistic of exceedances that still count as generalised Pareto distributed."""
SHAPE_SPREAD = 0.2
"""Standard deviation of the shape's prior around 0."""

Floats = NDArray[np.float64]
SHAPES: Floats = np.arange(-0.775, 0.8, 0.05)[:, None]
"""(S, 1), without 0, where the law's formula is another."""
LOG_SCALES: Floats = np.linspace(-2, 2, 65)[None, :]
"""(1, L), in units of what an exponential law with the same median has."""


@dataclass(frozen=True)
class Tail:
    """How rare scores over the largest of a set are.

    Attributes:
        largest: the set's largest score.
        start: the score that the exceedances are counted from.
        unit: of the scales, in scores.
        shapes, scales, weights: (M,) float64, the points of the posterior that matter; the weights' sum is 1.
        exceedances: how many scores it was fitted to.
    """

    largest: float
    start: float
    unit: float
    shapes: Floats
    scales: Floats
    weights: Floats
    exceedances: int

    def ratio(self, score: float) -> float:
        """How much rarer a good score over this one is than one over the largest, 0 to 1; 1 up to there."""
        if score <= self.largest:
            return 1.0
        return min(1.0, self._survival(score) / self._survival(self.largest))

    def score(self, ratio: float) -> float:
        """The score over which good ones are rarer than over the largest by this ratio, over 0 to 1.

        Infinity where the scores are so large that there's no such number.
        """
        wanted = ratio * self._survival(self.largest)
        low, high = self.largest, self.start + 2 * (self.largest - self.start)
        while self._survival(high) > wanted:
            low, high = high, self.start + 2 * (high - self.start)
        for _ in range(60):
            middle = low + (high - low) / 2
            low, high = (middle, high) if self._survival(middle) > wanted else (low, middle)
        return high

    def _survival(self, score: float) -> float:
        """The probability that an exceedance exceeds this score too, averaged over the posterior."""
        excess = (score - self.start) / self.unit
        return float(self.weights @ np.exp(_log_survival(excess, self.shapes, self.scales)))


def fit_tail(scores: NDArray[np.floating[Any]]) -> Tail | None:
    """Fit the tail of one set of good scores.

    Args:
        scores: (n,) floats, finite, in any order.

    Returns:
        The tail, or None where the scores don't support one: fewer than 20, too many of them equal, or those
        over no high one look generalised Pareto distributed.
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    n = len(ordered)
    count = min(n // 2, round(3 * n**0.5), MOST)
    while count >= FEWEST:
        if tail := _fit(ordered[n - count - 1 :]):
            return tail
        count //= 2
    return None


def _fit(ordered: Floats) -> Tail | None:
    """Fit all scores but the first, which they're counted from; None where they don't look like that."""
    start, largest = float(ordered[0]), float(ordered[-1])
    with np.errstate(over="ignore"):
        excesses = ordered[1:] - start
    unit = float(np.median(excesses) / np.log(2))
    if not 0 < unit < np.inf or not np.isfinite(excesses[-1] / unit):
        return None
    excesses = excesses / unit
    shapes, scales, weights = _posterior(excesses)
    shape = float(weights @ shapes)
    scale = float(np.exp(weights @ np.log(scales)))
    if _misfit(-np.expm1(_log_survival(excesses, shape, scale))) > MOST_MISFIT:
        return None
    return Tail(largest, start, unit, shapes, scales, weights, len(excesses))


def _posterior(excesses: Floats) -> tuple[Floats, Floats, Floats]:
    """Shapes, scales and weights, (M,) each, of the grid's points that matter."""
    scales = np.exp(LOG_SCALES)
    steps = SHAPES / scales
    possible = 1 + steps * excesses[-1] > 0  # a negative shape has an end, and no score lies beyond it
    steps = np.where(possible, steps, 0)
    logs = np.zeros_like(steps)
    for excess in excesses:
        logs += np.log1p(steps * excess)
    density = -len(excesses) * LOG_SCALES - (1 + 1 / SHAPES) * logs - (SHAPES / SHAPE_SPREAD) ** 2 / 2
    density = np.where(possible, density, -np.inf)
    weights = np.exp(density - density.max())
    kept = weights > 1e-9
    shapes, scales = (np.broadcast_to(each, weights.shape)[kept] for each in (SHAPES, scales))
    return shapes, scales, weights[kept] / weights[kept].sum()


def _log_survival(excess: Any, shapes: Any, scales: Any) -> Any:
    """The logarithm of the probability to exceed an excess of 0 or more; -infinity beyond the law's end."""
    with np.errstate(divide="ignore", over="ignore"):
        return -np.log1p(np.maximum(shapes * (excess / scales), -1)) / shapes


def _misfit(shares: Floats) -> float:
    """Anderson and Darling's A^2 of (k,) ascending probabilities, which a law that fits makes uniform."""
    k = len(shares)
    inside = np.clip(shares, 1e-12, 1 - 1e-12)
    odd = 2 * np.arange(1, k + 1) - 1
    return float(-k - np.mean(odd * (np.log(inside) + np.log1p(-inside[::-1]))))


__all__ = ["FEWEST", "LEAST_RATIO", "MOST", "MOST_MISFIT", "SHAPE_SPREAD", "Tail", "fit_tail"]
