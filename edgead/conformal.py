"""Split conformal arithmetic: which of n held-out scores is the threshold, and what rate it stands for.

With n held-out scores, the k-th smallest, k = ceil((n + 1)(1 - rate)), is exceeded by a new good image with
probability at most ``rate`` (Vovk et al. 2005; Laxhammar and Falkman 2010 for anomalies). The rate at the
k-th smallest is Beta(n + 1 - k, k) distributed, whatever the scores' law.
"""

from __future__ import annotations

import functools
import math

CONFIDENCE = 0.95
"""Of the upper rate."""
MOST_STEPS = 20_000
"""Of the continued fraction; it takes about the root of n."""


def rank(n: int, rate: float) -> int:
    """k, 1 to n: the k-th smallest of n >= 1 scores is the threshold for a rate between 0 and 1.

    Where n scores can't show so small a rate, it's n, the largest.
    """
    return min(math.ceil((n + 1) * (1 - rate) - 1e-12), n)


def expected_rate(n: int, k: int) -> float:
    """The false-positive rate to expect at the k-th smallest of n scores, averaged over such sets; 0 to 1."""
    return (n + 1 - k) / (n + 1)


@functools.cache
def upper_rate(n: int, k: int) -> float:
    """The rate is below this with 95 % confidence: at it, n - k or fewer of n over the threshold has 5 %.

    Args:
        n: 1 to 1e9.
        k: 1 to n.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(n - k, n, middle) > 1 - CONFIDENCE else (low, middle)
    return high


def images_needed(rate: float) -> int:
    """How many held-out images, or groups of them, can show a rate between 0 and 1."""
    return math.ceil(1 / rate - 1e-9) - 1


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


__all__ = ["CONFIDENCE", "expected_rate", "images_needed", "rank", "upper_rate"]
