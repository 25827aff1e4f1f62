"""Groups of images of one part: the bound is one for parts, and it isn't stated where nothing carries it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgead.conformal import upper_rate
from edgead.device.calibrate import (
    APART,
    LEARNED,
    calibrate,
    largest_by_group,
    quantile,
    rate_at,
)
from edgead.notices import say


def test_a_part_counts_once_and_each_of_its_images_for_a_share():
    scores, groups = [1.0, 5.0, 3.0, 2.0], [7, 4, 7, 4]
    assert largest_by_group(scores, groups) == [3.0, 5.0]
    assert largest_by_group(scores, None) == scores
    record = calibrate(scores, [0.5, 0.25, 1.0, 2.0], 1 / 3, groups)
    assert (record.score, record.pixel) == (5.0, 2.0)  # none of two parts over it, and the new one: 1 in 3
    assert (record.n_images, record.n_counted) == (4, 2)
    assert record.expected_rate == pytest.approx(1 / 3)
    assert record.upper_rate == pytest.approx(1 - 0.05**0.5)  # both of two below it with 5 %
    half = quantile(scores, 0.5, groups)
    assert (half.threshold, half.rule) == (3.0, "split-conformal")  # half of one part over it: 1.5 in 3
    assert half.upper_rate == pytest.approx(upper_rate(2, 1))  # a part is over it where one image is


def by_hand(scores, groups, threshold):
    """The rate by the definition: one and the sum of the parts' shares, of one more than there are."""
    parts = {g: [s for s, other in zip(scores, groups, strict=True) if other == g] for g in set(groups)}
    over = sum(np.mean(np.array(images) > threshold) for images in parts.values())
    return (1 + over) / (len(parts) + 1)


def test_every_threshold_has_the_rate_of_the_definition_and_back():
    rng = np.random.default_rng(3)
    for _ in range(30):
        groups = rng.integers(0, 8, 25).tolist()
        scores = rng.integers(0, 30, 25).astype(float).tolist()  # with equal ones
        for score in sorted(set(scores)):
            assert rate_at(scores, score, groups).expected == pytest.approx(by_hand(scores, groups, score))
        rates = np.linspace(0.12, 0.95, 60)
        found = [quantile(scores, rate, groups) for rate in rates]
        assert all(a.threshold >= b.threshold for a, b in itertools.pairwise(found))
        for rate, each in zip(rates, found, strict=True):
            assert each.expected_rate <= max(rate, by_hand(scores, groups, max(scores))) * (1 + 1e-9)
            again = rate_at(scores, each.threshold, groups)
            assert again.expected == pytest.approx(each.expected_rate)
            assert again.upper == each.upper_rate


def test_parts_of_one_image_each_are_as_no_parts_at_all():
    scores = np.random.default_rng(1).gamma(9, size=150).tolist()
    for rate in (0.001, 0.01, 0.02, 0.3):
        assert quantile(scores, rate, list(range(150))) == quantile(scores, rate)
    doubled, groups = [*scores, *scores], [*range(150), *range(150)]
    for rate in (0.001, 0.01, 0.02, 0.3):  # each part's one picture twice says no more than once
        once, twice = quantile(scores, rate), quantile(doubled, rate, groups)
        assert twice.threshold == pytest.approx(once.threshold)
        assert (twice.expected_rate, twice.upper_rate) == pytest.approx((once.expected_rate, once.upper_rate))


def test_an_image_apart_with_a_score_among_the_others_is_a_part_like_any_other():
    scores, alone = [1.0, 2.0, 3.0, 2.5], [0, 1, 2, APART]
    assert largest_by_group(scores, alone) == scores
    assert quantile(scores, 0.4, alone) == quantile(scores, 0.4)
    assert rate_at(scores, 2.0, [0, 0, 1, APART]).expected == pytest.approx((1 + 2) / 4)
    assert largest_by_group([5.0, 2.0], [APART, APART]) == [float("inf")] * 2


def test_enough_images_that_cant_show_a_rate_for_one_unlike_all_others_are_told_why():
    scores = [*np.linspace(1, 2, 30).tolist(), 9.0]
    record = calibrate(scores, scores, 0.05, [*range(30), APART])
    assert record.expected_rate == pytest.approx(2 / 32)
    told = say(record.notice())
    assert "can't show a rate of 5.00%, since some are unlike all others" in told and "19" not in told


def test_an_image_apart_is_over_every_threshold_beside_parts_with_several_images():
    scores, groups = [1.0, 2.0, 3.0, 9.0], [0, 0, 1, APART]
    assert rate_at(scores, 2.0, groups).expected == pytest.approx((1 + 1 + 1) / 4)
    assert quantile(scores, 0.1, groups).threshold == 3.0
    assert quantile(scores, 0.1, groups).expected_rate == pytest.approx(2 / 4)


def test_the_stated_bound_holds_of_parts_photographed_several_times_and_would_not_without_groups():
    """Twelve parts of five images each; a part's level is its own, and its images differ little from it.

    What is checked is the true rate of a new part's single image, known since the law is: of the records that
    are made with groups, at most 5 % promise less than what comes; of those made without, most do.
    """
    rng = np.random.default_rng(0)
    new = np.sort(rng.normal(size=20_000) + rng.normal(0, 0.1, 20_000))
    broken = {"with": 0, "without": 0}
    means = []
    draws = 400
    for _ in range(draws):
        levels = rng.normal(size=12)
        scores = (levels[:, None] + rng.normal(0, 0.1, (12, 5))).ravel().tolist()
        for name, groups in (("with", np.repeat(np.arange(12), 5).tolist()), ("without", None)):
            record = calibrate(scores, scores, 0.1, groups)
            rate = 1 - np.searchsorted(new, record.score, "right") / len(new)
            broken[name] += rate > record.upper_rate
            if name == "with":
                means.append(rate)
                assert record.expected_rate == pytest.approx(0.1)
    assert broken["with"] <= 0.05 * draws
    assert np.mean(means) <= 0.1
    assert broken["without"] >= 0.2 * draws, "without groups the bound breaks, or this test shows nothing"


def test_the_sentence_says_what_it_counts_and_what_it_assumes():
    scores = np.linspace(1, 2, 20).tolist()
    alone = calibrate(scores, scores, 0.1)
    assert say(alone.notice()).endswith("if those images show different parts, drawn as the line's are")
    assert (alone.counted, alone.n_counted) == ("images", 20)
    assert "group" not in say(alone.notice()) and "group" not in say(alone.how())
    parts = calibrate(scores, scores, 0.01, np.repeat(np.arange(4), 5).tolist())
    text = say(parts.notice())
    assert text.startswith("4 different parts in 20 held-out images can't show a rate of 1.00%")
    assert "each group counted once" in say(parts.how())
    named = calibrate(scores, scores, 0.3, np.repeat(np.arange(4), 5).tolist(), by_user=True)
    assert "4 groups in 20 held-out images" in say(named.notice())
    assert say(named.notice()).endswith("if the groups are drawn as the line's are")
    assert say(calibrate([1.0], [1.0], 0.01).notice()).startswith("1 held-out image can't show")


def test_where_the_parts_were_learned_no_rate_is_stated():
    record = calibrate([1.0, 3.0, 2.0], [1.0, 1.0, 4.0], 0.5, [LEARNED] * 3)
    assert (record.score, record.pixel) == (3.0, 4.0)
    assert (record.expected_rate, record.upper_rate, record.n_images) == (1.0, 1.0, 3)
    text = say(record.notice())
    assert "no false-positive rate can be stated" in text and "expect" not in text
