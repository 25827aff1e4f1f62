"""The threshold's promise, checked by drawing from a known law."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edgead.conformal import between, expected_rate, rank, upper_rate
from edgead.device.calibrate import APART, LARGEST_SINGLE, Rate, calibrate, quantile, rate_at
from edgead.errors import DatasetError, OptionError
from edgead.notices import say
from edgead.tail import LEAST_RATIO

RATES = (0.001, 0.01, 0.03, 0.05, 0.1)


def test_the_rate_is_kept_on_average():
    """Uniform scores: the threshold itself is one minus its false-positive rate."""
    rng = np.random.default_rng(0)
    rates = [1 - quantile(rng.uniform(size=99).tolist(), 0.05).threshold for _ in range(4000)]
    assert abs(np.mean(rates) - 0.05) < 0.002
    found = quantile(rng.uniform(size=99).tolist(), 0.05)
    assert found.expected_rate == pytest.approx(0.05)
    assert found.rule == "split-conformal"
    assert abs(np.mean(np.array(rates) <= found.upper_rate) - 0.95) < 0.02


@pytest.mark.parametrize("n", [2, 20, 1000])
def test_the_upper_bound_covers_at_its_confidence(n):
    """Exact at one of the scores; more than that between two, and never less."""
    rng = np.random.default_rng(n)
    for over, low, high in ((1, 0.93, 0.97), (1.5, 0.95, 1.0)):
        rate, found = over / (n + 1), []
        for _ in range(2000):
            each = quantile(np.sort(rng.uniform(size=n)).tolist(), rate)
            found.append(1 - each.threshold <= each.upper_rate)
        assert low < np.mean(found) <= high


def drawn(kind: str, rng: np.random.Generator, n: int) -> np.ndarray:
    if kind == "light":
        return rng.normal(size=n)
    if kind == "heavy":
        return np.abs(rng.standard_t(3, n))
    if kind == "bimodal":
        return rng.normal(size=n) + 6 * (rng.uniform(size=n) < 0.15)
    levels, images = rng.normal(size=(n, 1)), rng.normal(size=(n, 4)) / 2
    return (levels + np.cumsum(images, 1)).max(1)  # of groups, whose images follow one another


@pytest.mark.parametrize("kind", ["light", "heavy", "bimodal", "groups"])
@pytest.mark.parametrize("n", [20, 50, 200, 1000])
def test_bound_and_mean_hold_whatever_the_law(kind, n):
    """A hundred sets a law: the share under the bound within three standard deviations of 95 %, or more.

    What the mean may be off is three of its own, the share of sets without a tail, and for a fitted one the
    factor that docs/thresholds.md tells of.
    """
    rng, draws = np.random.default_rng(n), 100
    known = np.sort(drawn(kind, rng, 500_000))
    for rate in RATES:
        true, stated, below, rules = [], [], [], set()
        for _ in range(draws):
            found = quantile(drawn(kind, rng, n).tolist(), rate)
            true.append(1 - np.searchsorted(known, found.threshold, "right") / len(known))
            stated.append(found.expected_rate)
            below.append(true[-1] <= found.upper_rate)
            rules.add(found.rule)
        assert np.mean(below) >= 0.95 - 3 * (0.95 * 0.05 / draws) ** 0.5
        noise = 3 * np.std(true) / draws**0.5
        if "generalised-pareto" in rules:
            assert np.mean(stated) / 4 - noise < np.mean(true) < 3 * np.mean(stated) + noise
        else:
            assert abs(np.mean(true) - np.mean(stated)) < noise
            assert np.mean(stated) == pytest.approx(max(rate, 1 / (n + 1)))


def test_between_two_scores_the_rate_is_kept_by_a_law_that_falls_off_exponentially():
    rng, rate, n = np.random.default_rng(1), 0.03, 49  # one and a half of fifty
    found = [quantile(rng.exponential(size=n).tolist(), rate) for _ in range(20_000)]
    assert {each.rule for each in found} == {"interpolated"}
    assert np.mean([np.exp(-each.threshold) for each in found]) == pytest.approx(rate, rel=0.02)
    assert found[0].upper_rate == upper_rate(n, n - 1)


@pytest.mark.parametrize("n", [1, 2, 7, 99])
def test_where_a_rate_lies_and_which_rate_lies_there_agree(n):
    for rate in np.linspace(0.001, 0.999, 97):
        k, share = between(n, rate)
        assert 1 <= k <= n and 0 <= share < 1 and (k < n or not share)
        held = min(max(rate, 1 / (n + 1)), n / (n + 1))
        assert expected_rate(n, k, share) == pytest.approx(held)
        assert k <= rank(n, rate) <= k + 1  # the order statistic that keeps the rate is one of the two
    assert [between(n, over / (n + 1)) for over in range(1, n + 1)] == [
        (n + 1 - i, 0) for i in range(1, n + 1)
    ]


@pytest.mark.parametrize("rate", [1e-6, 0.002, 0.004, 0.0099, 0.01, 0.015, 0.2, 0.77, 0.9999])
def test_a_threshold_s_rate_is_the_one_that_it_was_made_for(rate):
    scores = np.random.default_rng(2).gamma(9, size=100).tolist()
    made = quantile(scores, rate)
    found = rate_at(scores, made.threshold)
    assert found.expected == pytest.approx(made.expected_rate)
    assert (found.upper, found.rule) == (made.upper_rate, made.rule)


def test_the_threshold_falls_as_the_rate_grows_and_so_does_the_rate_with_the_threshold():
    scores = np.random.default_rng(2).gamma(9, size=100)
    thresholds = [quantile(scores.tolist(), rate).threshold for rate in np.geomspace(0.001, 0.9, 200)]
    assert all(a >= b for a, b in pairwise(thresholds))
    rates = [rate_at(scores.tolist(), each) for each in np.linspace(scores.min() - 1, 2 * scores.max(), 300)]
    assert all(a.expected >= b.expected and a.upper >= b.upper for a, b in pairwise(rates))
    assert rates[0] == Rate(1, 1, "split-conformal")
    assert rates[-1].expected == pytest.approx(LEAST_RATIO / 101)
    assert all(rate.expected <= rate.upper for rate in rates)


def test_without_a_tail_the_largest_score_is_the_last_word():
    scores = [float(score) for score in range(19)]
    assert rate_at(scores, 1e9) == rate_at(scores, 18) == Rate(1 / 20, upper_rate(19, 19), "split-conformal")
    assert quantile(scores, 0.01).threshold == 18


@pytest.mark.parametrize(
    "scores",
    [
        [3.0],
        [0.0] * 40,
        [5.0] * 39 + [6.0],
        [0.0] * 20 + [1.0] * 20,
        [1e308, -1e308] * 30,
        [0.0, 5e-324] * 30,
        (np.random.default_rng(0).exponential(size=60) * 5e37).tolist(),
        np.round(np.random.default_rng(0).exponential(size=300), 1).tolist(),
    ],
    ids=["one", "zeros", "ties", "two-values", "huge", "tiny", "near-the-largest", "rounded"],
)
def test_odd_scores_give_plain_numbers(scores):
    for rate in (1e-9, 0.001, 0.004, 0.02, 0.3, 0.5, 0.999):
        found = quantile(scores, rate)
        assert found.threshold >= min(scores)
        assert found.threshold <= max(*scores, LARGEST_SINGLE, found.threshold * (len(scores) == 1))
        assert 0 < found.expected_rate < found.upper_rate < 1
        given = rate_at(scores, found.threshold)
        assert 0 < given.expected <= given.upper <= 1


def test_twenty_images_cannot_show_a_tenth_of_a_percent_and_it_says_so():
    scores = np.arange(1, 21) / 20
    record = calibrate(scores.tolist(), scores.tolist(), 0.001)
    assert record.score == 1.0
    assert "20 held-out images can't show a rate of 0.10%, that takes 999, or 99 if" in say(record.notice())
    assert "4.76%" in say(record.notice()) and "13.91%" in say(record.notice())  # 1/21, and 1 - 0.05^(1/20)


def test_the_order_statistic_taken():
    scores = [float(v) for v in range(99)]
    assert quantile(scores, 0.05).threshold == 94.0  # k = ceil(100 * 0.95) = 95th smallest


def test_the_calibrating_image_is_not_over_its_own_threshold():
    score = 0.1  # not a float32
    record = calibrate([score], [score], 0.01)
    assert not np.float32(score) > record.score


def test_a_tail_answers_for_a_tenth_of_a_percent_and_says_what_it_rests_on():
    scores = np.random.default_rng(0).gamma(9, size=200)
    record = calibrate(scores.tolist(), scores.tolist(), 0.001)
    assert record.rule == "generalised-pareto" and record.score > scores.max()
    assert (record.expected_rate, record.upper_rate) == (0.001, pytest.approx(1 - 0.05 ** (1 / 200)))
    text = say(record.notice())
    assert text.startswith(
        "expect 0.10% of good images over the threshold, by the fitted tail of the scores of"
    )
    assert "none of these is over it, which shows under 1.49% with at least 95% confidence" in text
    assert "generalised Pareto tail" in say(record.how())


def test_which_kind_of_bound_it_is_is_said():
    scores = np.random.default_rng(0).gamma(9, size=99).tolist()
    exact, wider = calibrate(scores, scores, 0.02), calibrate(scores, scores, 0.025)
    assert (exact.rule, wider.rule) == ("split-conformal", "interpolated")
    assert "under 4.70% with 95% confidence" in say(exact.notice())
    assert "under 6.22% with at least 95% confidence" in say(wider.notice())
    assert "between two of their scores" in say(wider.how())
    assert say(calibrate(scores[:5], scores[:5], 0.1).notice()).startswith(
        "5 held-out images can't show a rate of 10.00%, that takes 9: "
    )


@pytest.mark.parametrize("scores", [[], [float("nan")], [float("inf")], [1.0, -float("inf")]])
def test_unusable_scores(scores):
    with pytest.raises(DatasetError):
        quantile(scores, 0.01)
    with pytest.raises(DatasetError):
        rate_at(scores, 1.0)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 2.0])
def test_unusable_rates(rate):
    with pytest.raises(OptionError):
        quantile([1.0], rate)


def test_a_threshold_that_is_no_number():
    with pytest.raises(OptionError, match="NaN"):
        rate_at([1.0], float("nan"))


@pytest.mark.parametrize("n", [1, 2, 19, 20, 99, 1000, 100_000])
def test_the_upper_rate_is_the_beta_quantile(n):
    beta = pytest.importorskip("scipy.stats").beta
    for k in sorted({1, 2, n // 2, n - 1, n} & set(range(1, n + 1))):
        assert upper_rate(n, k) == pytest.approx(beta.ppf(0.95, n + 1 - k, k), rel=1e-9)


def test_an_image_apart_is_in_the_rate_and_sets_no_threshold() -> None:
    scores = [float(i) for i in range(1, 31)]
    record = calibrate([*scores, 500.0], [*scores, 500.0], 0.05, [*range(30), APART])
    assert record.score == record.pixel == 30.0  # the largest of the others
    assert record.expected_rate == pytest.approx(2 / 32)  # it and the next new one
    assert record.n_counted == record.n_images == 31
    assert record.counted == "images"
    plenty = [float(i) for i in range(1, 401)]
    with_it = calibrate([*plenty, 999.0], [*plenty, 999.0], 0.05, [*range(400), APART])
    as_any = calibrate([*plenty, 999.0], [*plenty, 999.0], 0.05)
    assert with_it.score == as_any.score  # of many images, one over the threshold changes nothing
    rate = rate_at([1.0, 2.0, 3.0, float("inf")], 2.5)
    assert rate.expected == pytest.approx(rate_at([1.0, 2.0, 3.0, 99.0], 2.5).expected)
    assert rate_at([1.0, 2.0, 3.0, float("inf")], 77.0).expected == pytest.approx(2 / 5)


def test_scores_that_are_not_finite_calibrate_nothing() -> None:
    with pytest.raises(DatasetError, match="finite"):
        calibrate([1.0, float("inf")], [1.0, 1.0], 0.05)


@pytest.mark.parametrize("n", [20, 98, 99, 150, 400])
def test_a_smaller_rate_never_has_a_lower_threshold(n: int) -> None:
    scores = np.random.default_rng(n).gamma(9, size=n)
    rates = [0.0001, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.3]
    found = [quantile(scores, rate) for rate in rates]
    assert [f.threshold for f in found] == sorted((f.threshold for f in found), reverse=True)
    assert all(f.expected_rate >= rate * (1 - 1e-9) for f, rate in zip(found, rates, strict=True))
    if n < 99:  # on doubt the verdict is reject: never beyond the largest of so few
        assert found[0].threshold == scores.max()
