"""The threshold's promise, checked by drawing from a known law."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.conformal import upper_rate
from edgead.device.calibrate import calibrate, conformal_quantile
from edgead.errors import DatasetError, OptionError
from edgead.notices import say


def test_the_rate_is_kept_on_average():
    """Uniform scores: the threshold itself is one minus its false-positive rate."""
    rng = np.random.default_rng(0)
    rates = [1 - conformal_quantile(rng.uniform(size=99).tolist(), 0.05).threshold for _ in range(4000)]
    assert abs(np.mean(rates) - 0.05) < 0.002
    quantile = conformal_quantile(rng.uniform(size=99).tolist(), 0.05)
    assert quantile.expected_rate == pytest.approx(0.05)
    assert abs(np.mean(np.array(rates) <= quantile.upper_rate) - 0.95) < 0.02


@pytest.mark.parametrize("n", [1, 2, 20, 5000])
def test_the_upper_bound_covers_at_its_confidence(n):
    rng = np.random.default_rng(n)
    rates, bound = [], None
    for _ in range(2000):
        quantile = conformal_quantile(np.sort(rng.uniform(size=n)).tolist(), 0.3)
        rates.append(1 - quantile.threshold)
        bound = quantile.upper_rate
    assert abs(np.mean(np.array(rates) <= bound) - 0.95) < 0.025


def test_twenty_images_cannot_show_a_tenth_of_a_percent_and_it_says_so():
    scores = np.arange(1, 21) / 20
    record = calibrate(scores.tolist(), scores.tolist(), 0.001)
    assert record.score == 1.0
    assert "20 held-out images can't show a rate of 0.10%, that takes 999" in say(record.notice())
    assert "4.76%" in say(record.notice()) and "13.91%" in say(record.notice())  # 1/21, and 1 - 0.05^(1/20)


def test_the_order_statistic_taken():
    scores = [float(v) for v in range(99)]
    assert conformal_quantile(scores, 0.05).threshold == 94.0  # k = ceil(100 * 0.95) = 95th smallest


def test_the_calibrating_image_is_not_over_its_own_threshold():
    score = 0.1  # not a float32
    record = calibrate([score], [score], 0.01)
    assert not np.float32(score) > record.score


@pytest.mark.parametrize("scores", [[], [float("nan")], [1.0, float("inf")]])
def test_unusable_scores(scores):
    with pytest.raises(DatasetError):
        conformal_quantile(scores, 0.01)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 2.0])
def test_unusable_rates(rate):
    with pytest.raises(OptionError):
        conformal_quantile([1.0], rate)


@pytest.mark.parametrize("n", [1, 2, 19, 20, 99, 1000, 100_000])
def test_the_upper_rate_is_the_beta_quantile(n):
    beta = pytest.importorskip("scipy.stats").beta
    for k in sorted({1, 2, n // 2, n - 1, n} & set(range(1, n + 1))):
        assert upper_rate(n, k) == pytest.approx(beta.ppf(0.95, n + 1 - k, k), rel=1e-9)
