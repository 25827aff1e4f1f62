"""A threshold's figures against plain counting and scikit-learn, and where there's nothing to count."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from edgead.conformal import expected_rate, images_needed, rank, upper_rate
from edgead.evaluation.figures import figures, kinds
from edgead.evaluation.verdicts import Verdicts, verdicts
from edgead.manifest import ThresholdRecord
from edgead.metrics.scores import Metric, image_metrics
from edgead.metrics.uncertainty import resample
from edgead.metrics.verdicts import (
    Allowed,
    Share,
    allowed,
    best,
    escapes,
    f1,
    f1_samples,
    false_alarms,
    threshold_share,
)
from edgead.notices import Notice, say

OWN = ThresholdRecord(3.0, 2.0, "split-conformal", 0.05, 40, "images", 40, 0.049, 0.12)


def draw(seed: int, good: int = 60, bad: int = 30, levels: float = 4.0):
    """Scores with ties, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(good + bad) < bad
    return np.round(rng.standard_normal(labels.size) * levels + 4 * labels) / levels, labels


def at(scores, bad, threshold: float) -> Metric:
    return f1(escapes(scores, bad, threshold), false_alarms(scores, bad, threshold))


def figured(scores, bad, threshold: float = 3.0, own: ThresholdRecord = OWN, draws: int = 50) -> Verdicts:
    scores, bad = np.asarray(scores, float), np.asarray(bad, bool)
    names = [("dent", "scratch")[i % 2] if is_bad else None for i, is_bad in enumerate(bad)]
    return verdicts(scores, names, threshold, own, resample(bad, draws))


# ---------------------------------------------------------------- counting


@pytest.mark.parametrize("seed", range(3))
def test_counts_and_f1_are_those_of_plain_counting_and_scikit_learn(seed: int) -> None:
    scores, bad = draw(seed)
    for threshold in [*np.unique(scores), scores.min() - 1, 0.1]:
        missed, alarms = escapes(scores, bad, threshold), false_alarms(scores, bad, threshold)
        assert missed.count == sum(s <= threshold for s, b in zip(scores, bad, strict=True) if b)
        assert alarms.count == sum(s > threshold for s, b in zip(scores, bad, strict=True) if not b)
        assert (missed.total, alarms.total) == (30, 60)
        known = f1_score(bad, scores > threshold, zero_division=0)
        assert at(scores, bad, threshold).value == pytest.approx(known, abs=1e-12)


def test_f1_on_the_draws_is_f1_of_the_images_drawn() -> None:
    scores, bad = draw(1, 20, 9)
    weights = resample(bad, 40)
    found = f1_samples(scores, bad, 0.5, weights)
    for value, taken in zip(found, weights, strict=True):
        again = f1_score(np.repeat(bad, taken), np.repeat(scores, taken) > 0.5, zero_division=0)
        assert value == pytest.approx(again, abs=1e-12)
    only_bad = np.where(bad, 1, 0)[None]
    assert math.isnan(f1_samples(scores, bad, 0.5, only_bad)[0])


def test_f1s_interval_is_the_middle_of_its_draws() -> None:
    scores, bad = draw(2)
    told, drawn = figured(scores, bad, 0.5, draws=400), f1_samples(scores, bad, 0.5, resample(bad, 400))
    assert told.f1.interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    assert told.f1.interval[0] < told.f1.value < told.f1.interval[1]


@pytest.mark.parametrize("seed", range(3))
def test_the_best_is_the_best_of_all_thresholds(seed: int) -> None:
    scores, bad = draw(seed, 25, 12)
    found = best(scores, bad)
    every = {t: f1_score(bad, scores > t, zero_division=0) for t in [*np.unique(scores), scores.min() - 1]}
    assert found.f1 == pytest.approx(max(every.values()), abs=1e-12)
    assert found.f1 == pytest.approx(image_metrics(scores, bad)["image_f1_max"].value, abs=1e-12)
    assert f1_score(bad, scores > found.threshold) == pytest.approx(found.f1, abs=1e-12)


# ---------------------------------------------------------------- what the threshold costs


def test_the_threshold_and_the_scores_cost_all_that_f1_lacks() -> None:
    # At 5: 1 of 4 found, no false alarm, F1 2 / 5. At 1.5 all are, with 1 false alarm: F1 8 / 9.
    scores, bad = [0.0, 1.0, 2.0, 2.5, 3.0, 4.0, 6.0], [0, 0, 0, 1, 1, 1, 1]
    found = figured(scores, bad, 5.0)
    assert found.f1.value == pytest.approx(2 / 5) and found.best.f1 == 1.0
    assert found.threshold_share.value == 1.0 and found.scores_share == 0.0
    scores[2] = 3.5
    found = figured(scores, bad, 5.0)
    assert found.best.f1 == pytest.approx(8 / 9)
    assert found.threshold_share.value == pytest.approx((8 / 9 - 2 / 5) / (3 / 5))
    assert found.scores_share == pytest.approx((1 / 9) / (3 / 5))
    gap = 1 - found.f1.value
    parts = found.threshold_share.value * gap + found.scores_share * gap
    assert parts + found.f1.value == pytest.approx(1)


def test_at_the_best_threshold_the_threshold_costs_nothing() -> None:
    scores, bad = draw(4)
    found = figured(scores, bad, best(scores, bad).threshold)
    assert found.threshold_share.value == 0 and found.scores_share == 1
    assert not any(notice.code.startswith("threshold-too") for notice in found.notices())


def test_where_f1_lacks_nothing_there_is_no_share() -> None:
    found = figured([0, 1, 5, 6], [0, 0, 1, 1])
    assert found.f1.value == 1 and found.threshold_share.value is None
    assert say(found.threshold_share.reason) == "F1 is 100 % at the threshold, so nothing is lost"
    assert threshold_share(Metric(0.5), None).value is None


@pytest.mark.parametrize(("threshold", "code"), [(9.0, "threshold-too-high"), (-9.0, "threshold-too-low")])
def test_a_threshold_that_costs_most_is_told_with_the_next_step(threshold: float, code: str) -> None:
    found = figured(np.arange(20.0) / 2.5, np.arange(20) >= 12, threshold)
    (notice,) = [n for n in found.notices() if n.code.startswith("threshold-too")]
    text = say(notice)
    assert notice.code == code and "edgead calibrate BUNDLE --good DIR --defects DIR" in text
    assert ("a lower one" if threshold > 0 else "a higher one") in text and "--fpr R" in text
    assert f"{found.threshold_share.value:.0%}" in text and f"{found.best.f1:.1%}" in text


def test_a_threshold_that_costs_half_at_most_is_not_told() -> None:
    # 10 good under, 6 bad over 3; 4 bad among the good cost the scores more than 1 bad at 2.9 the threshold.
    scores = [*np.linspace(0, 2, 10), *np.linspace(4, 6, 5), 2.9, *np.linspace(0.05, 0.4, 4)]
    found = figured(scores, [False] * 10 + [True] * 10)
    assert 0 < found.threshold_share.value <= 0.5 and found.notices() == ()


# ---------------------------------------------------------------- what is stated


def test_more_false_alarms_than_stated_are_told() -> None:
    own = replace(OWN, upper_rate=0.02)
    good = [*[1.0] * 32, *[4.0] * 9]
    found = figured([*good, 5.0, 6.0], [False] * 41 + [True] * 2, own=own)
    (notice,) = [n for n in found.notices() if n.code == "alarms-over-stated"]
    assert "under 2.00% of false alarms, and 9 of 41 good images were seen" in say(notice)
    assert "edgead calibrate BUNDLE --good DIR" in say(notice)
    low = found.false_alarms.interval[0]
    for upper, is_told in ((low * 0.999, True), (low, False), (low * 1.001, False)):
        again = figured([*good, 5.0, 6.0], [False] * 41 + [True] * 2, own=replace(OWN, upper_rate=upper))
        assert any(n.code == "alarms-over-stated" for n in again.notices()) is is_told, upper


def test_what_is_not_stated_says_why() -> None:
    scores, bad = draw(5)
    by_hand = figured(scores, bad, own=ThresholdRecord(3.0, 2.0, "given", 0.01, 0, "images", 0, 0.0, 1.0))
    assert by_hand.stated is None and "set by hand" in say(by_hand.not_stated)
    assert by_hand.allowed is None and "set by hand" in say(by_hand.not_allowed)
    another = figured(scores, bad, 2.5)
    assert another.source == "given" and another.stated is None
    assert "isn't the bundle's" in say(another.not_stated) and another.allowed is None
    learned = replace(OWN, rule="largest-of-learned", expected_rate=1.0, upper_rate=1.0)
    found = figured(scores, bad, own=learned)
    assert found.stated is None and "near copies of learned ones" in say(found.not_stated)
    assert found.allowed is not None, "it aims at a rate, whatever it can promise"
    own = figured(scores, bad).record()["stated"]
    assert own == {
        "false_positive_rate": 0.05,
        "expected_rate": 0.049,
        "upper_rate": 0.12,
        "confidence": 0.95,
    }


# ---------------------------------------------------------------- what the rate would allow


@pytest.mark.parametrize("rate", [0.02, 0.05, 1 / 3, 0.9])
@pytest.mark.parametrize("levels", [4.0, 0.5])
def test_allowed_is_the_lowest_threshold_that_keeps_the_rate_on_new_images(
    rate: float, levels: float
) -> None:
    for seed in range(5):
        scores, bad = draw(seed, 60, 30, levels)
        found = allowed(scores, bad, rate)
        good = np.sort(scores[~bad])  # a new one is over the k-th smallest with (n + 1 - k) / (n + 1)
        keeping = [t for k, t in enumerate(good, 1) if (60 + 1 - k) / (60 + 1) <= rate]
        assert isinstance(found, Allowed) and found.threshold == min(keeping)
        assert found.found.count == (scores[bad] > min(keeping)).sum()
        assert found.false_alarms == Share(int((scores[~bad] > min(keeping)).sum()), 60)
        assert found.false_alarms.value <= rate


def test_too_few_good_images_allow_nothing() -> None:
    bad = np.arange(40) < 20
    found = allowed(np.arange(40.0), bad, 0.01)
    assert isinstance(found, Notice)
    assert say(found) == "20 good test images can't show a rate of 1.00%, that takes 99"
    assert isinstance(allowed(np.arange(40.0), bad, 1 / 21), Allowed), "a new one is the largest of 21"
    assert isinstance(allowed(np.arange(40.0), bad, 1 / 21 - 1e-6), Notice)
    assert isinstance(allowed(np.arange(2.0), np.array([False, True]), 0.5), Allowed), "one image"
    assert isinstance(allowed(np.arange(2.0), np.array([False, True]), 0.49), Notice)
    assert allowed(np.arange(20.0), np.zeros(20, bool), 0.5) == Notice("no-bad-images")


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.1, 1 / 3, 0.5, 0.99])
def test_eval_and_fit_say_the_same_of_how_many_images_a_rate_takes(rate: float) -> None:
    smallest = next(n for n in range(1, 2000) if math.ceil((n + 1) * (1 - rate) - 1e-9) <= n)
    assert images_needed(rate) == smallest
    for n, shown in ((smallest, True), (smallest - 1, False)):
        if n:
            bad = np.arange(n + 1) == n
            assert isinstance(allowed(np.arange(n + 1.0), bad, rate), Allowed) is shown
            k = rank(n, rate)
            rates = {"expected_rate": expected_rate(n, k), "upper_rate": upper_rate(n, k)}
            fitted = replace(OWN, false_positive_rate=rate, n_images=n, n_counted=n, **rates)
            assert ("can't show" in say(fitted.notice())) is not shown


# ---------------------------------------------------------------- nothing to count

EDGES = {
    "no good images": ([1.0, 5.0], [1, 1]),
    "no bad images": ([1.0, 5.0], [0, 0]),
    "no images": ([], []),
    "one good image": ([5.0], [0]),
    "one bad image": ([5.0], [1]),
    "one of each": ([1.0, 5.0], [0, 1]),
    "all scores equal": ([2.0] * 6, [0, 0, 0, 1, 1, 1]),
    "all over": ([7.0, 8.0, 9.0], [0, 1, 1]),
    "all under": ([0.0, 1.0, 2.0], [0, 1, 1]),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edges_are_counted_or_say_why_not(edge: str) -> None:
    scores, bad = EDGES[edge]
    found = figured(scores, bad)
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert record["escapes"]["total"] == sum(bad)
    assert record["escapes"]["count"] == sum(s <= 3 for s, b in zip(scores, bad, strict=True) if b)
    assert record["false_alarms"]["total"] == len(bad) - sum(bad)
    for name in ("escapes", "false_alarms", "found"):
        share = record[name]
        assert (share["share"] is None) == (share["interval"] is None) == (share["total"] == 0)
    both = any(bad) and not all(bad)
    assert (record["f1"] is not None) == (record["f1_max"] is not None) == bool(both)
    for name in ("f1", "threshold_share", "allowed"):
        assert (record[name] is None) == (name in record["undefined"]), name
    assert all("\n" not in cell for row in figures(found) for cell in row)
    assert all(notice.record()["text"] for notice in found.notices())


def test_a_threshold_beyond_all_scores_finds_nothing_and_says_so() -> None:
    scores, bad = draw(6)
    found = figured(scores, bad, 1e9)
    assert (found.found.count, found.false_alarms.count, found.f1.value) == (0, 0, 0.0)
    assert found.threshold_share.value == pytest.approx(found.best.f1)
    assert figured(scores, bad, -1e9).escapes.count == 0


def test_equal_scores_cost_the_threshold_all_that_calling_them_anomalous_would_win() -> None:
    found = figured([2.0] * 6, [0, 0, 0, 1, 1, 1])
    assert found.f1.value == 0 and found.best.f1 == pytest.approx(2 / 3)
    assert found.best.threshold < 2 and found.threshold_share.value == pytest.approx(2 / 3)


# ---------------------------------------------------------------- for people


def test_the_rows_say_what_was_counted() -> None:
    found = figured([1.0] * 39 + [3.5] + [2.0, 5.0, 6.0, 7.0], [False] * 40 + [True] * 4)
    rows = {title: (counts, value, beside) for title, counts, value, _, beside in figures(found)}
    assert list(rows) == ["escapes", "false alarms", "recall", "image F1", "lost to the threshold"]
    assert rows["escapes"][:2] == ("1 of 4", "25.00")
    assert rows["false alarms"] == ("1 of 40", "2.50", "stated: 4.90 to expect, under 12.00")
    assert rows["recall"] == (
        "3 of 4",
        "75.00",
        "100.00 at 1, the 5 % aimed at, read off these images (1 of 40 good ones over it)",
    )
    assert rows["image F1"][1] == f"{100 * 6 / 8:.2f}"
    assert [row[:4] for row in kinds(found)] == [
        ("dent", "2", "1", "50.00"),
        ("scratch", "2", "0", "0.00"),
    ], "the worst first"
