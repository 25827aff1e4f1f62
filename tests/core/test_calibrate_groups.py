"""Groups of images of one part: the bound is one for parts, and it isn't stated where nothing carries it."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.device.calibrate import LEARNED, calibrate, largest_by_group
from edgead.notices import say


def test_a_part_counts_once_by_its_largest_score():
    scores, groups = [1.0, 5.0, 3.0, 2.0], [7, 4, 7, 4]
    assert largest_by_group(scores, groups) == [3.0, 5.0]
    assert largest_by_group(scores, None) == scores
    record = calibrate(scores, [0.5, 0.25, 1.0, 2.0], 1 / 3, groups)
    assert (record.score, record.pixel) == (5.0, 2.0)  # one of three is over the larger of two parts
    assert (record.n_images, record.n_counted) == (4, 2)
    assert record.expected_rate == pytest.approx(1 / 3)
    assert record.upper_rate == pytest.approx(1 - 0.05**0.5)  # both of two below it with 5 %


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
    assert "each group's largest" in say(parts.how())
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
