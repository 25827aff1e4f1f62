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
    """The rate is below this with 95 % confidence: at it, n - k or fewer of n over the threshold has 5 %."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        tail = sum(math.exp(_log_binomial(n, i, middle)) for i in range(n - k + 1))
        low, high = (middle, high) if tail > 1 - CONFIDENCE else (low, middle)
    return high


def images_needed(rate: float) -> int:
    """How many held-out images, or groups of them, can show a rate between 0 and 1."""
    return math.ceil(1 / rate - 1e-9) - 1


def _log_binomial(n: int, i: int, p: float) -> float:
    choices = math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
    return choices + i * math.log(p) + (n - i) * math.log1p(-p)


__all__ = ["CONFIDENCE", "expected_rate", "images_needed", "rank", "upper_rate"]
