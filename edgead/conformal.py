"""Split conformal arithmetic: where among n held-out scores a threshold lies, and what rate it stands for.

A new good image exceeds the k-th smallest of n held-out scores with probability (n + 1 - k) / (n + 1),
averaged over such sets (Vovk et al. 2005; Laxhammar and Falkman 2010 for anomalies); its rate there is
Beta(n + 1 - k, k) distributed, whatever the scores' law. A rate between two of these lies between the two
scores. Where in between is exact for scores that fall off exponentially from one to the other; the even
spread, another that is plausible, has an eighth more at most, between the two largest, and less elsewhere.
"""

from __future__ import annotations

import functools
import math

FEWEST_FOR_TAIL = 99
"""Scores beyond whose largest a threshold may lie. They show 1 % by themselves; of fewer, what is over the
largest is mostly a prior's word, and a threshold that goes there passes defects on doubt."""
CONFIDENCE = 0.95
"""Of the upper rate."""
MOST_STEPS = 20_000
"""Of the continued fraction; it takes about the root of n."""


def rank(n: int, rate: float) -> int:
    """k, 1 to n: at the k-th smallest of n >= 1 scores the rate, between 0 and 1, is kept and not exceeded.

    Where n scores can't show so small a rate, it's n, the largest.
    """
    return min(math.ceil((n + 1) * (1 - rate) - 1e-12), n)


def between(n: int, rate: float) -> tuple[int, float]:
    """Where a rate between 0 and 1 lies among n >= 1 scores.

    Returns:
        k, 1 to n, and how far it is from the k-th smallest to the next, 0 to 1 (not included). The largest,
        n and 0, where n scores can't show so small a rate; the smallest for one that is larger than theirs.
    """
    over = rate * (n + 1)
    whole = math.floor(over * (1 + 1e-12))
    if whole < 1 or whole >= n:
        return (n if whole < 1 else 1), 0.0
    if over <= whole * (1 + 1e-12):
        return n + 1 - whole, 0.0
    return n - whole, whole * ((whole + 1) / over - 1)


def expected_rate(n: int, k: int, share: float = 0.0) -> float:
    """The false-positive rate to expect, 0 to 1, averaged over sets of n scores.

    Args:
        n: 1 or more.
        k: the k-th smallest score is the threshold, or the one just under it: 1 to n, 0 for under all.
        share: how far the threshold is from there to the next score, 0 to 1.
    """
    over = n - k
    at = (over + 1) / (n + 1)
    return at * over / (over + share) if share else at


@functools.cache
def upper_rate(n: int, k: int) -> float:
    """The rate is below this with 95 % confidence: at it, n - k or fewer of n over the threshold has 5 %.

    Args:
        n: 1 to 1e9.
        k: 1 to n: the k-th smallest score is the threshold. Of a threshold between two, the lower one, and
            of one that was set without looking at the scores, how many don't exceed it: then the rate is
            below with 95 % or more.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(n - k, n, middle) > 1 - CONFIDENCE else (low, middle)
    return high


def images_needed(rate: float, share: float = 1.0) -> int:
    """The fewest good images, or groups of them, that can show a rate: from there on ``rank`` keeps it.

    Args:
        rate: over 0; or a number of regions a frame.
        share: a rate of this share of the largest score's own is shown.
    """
    return max(math.ceil(share / rate - 1e-9) - 1, 1)


def _at_most(m: int, n: int, p: float) -> float:
    """The probability of m or fewer of n, each with probability p: the regularised incomplete beta function.

    By its continued fraction (DiDonato and Morris 1992), so that its cost hardly grows with n.
    """
    a, b, x = n - m, m + 1, 1 - p
    if x > (a + 1) / (a + b + 2):  # where the fraction converges fast
        return 1 - _beta_fraction(b, a, p)
    return _beta_fraction(a, b, x)


def _beta_fraction(a: int, b: int, x: float) -> float:
    """I_x(a, b) for x up to its mean, by Lentz's method."""
    if x <= 0:
        return 0.0
    size = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    tiny = 1e-300
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1), tiny)
    fraction = d
    for m in range(1, MOST_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _not_zero(1 + even * d, tiny)
        c = _not_zero(1 + even / c, tiny)
        fraction *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _not_zero(1 + odd * d, tiny)
        c = _not_zero(1 + odd / c, tiny)
        step = d * c
        fraction *= step
        if abs(step - 1) < 1e-15:
            break
    return min(1.0, math.exp(size) * fraction / a)


def _not_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


__all__ = ["CONFIDENCE", "FEWEST_FOR_TAIL", "between", "expected_rate", "images_needed", "rank", "upper_rate"]
