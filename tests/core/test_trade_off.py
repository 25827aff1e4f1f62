"""Thresholds side by side, and those that defects choose, against counting and brute force."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.device.calibrate import rate_at
from edgead.device.choosing import Cost, Recall, on_other_kinds
from edgead.device.figure import write_figure
from edgead.device.trade_off import RATES, Found, row_at, row_for, sureness, trade_off
from edgead.errors import DatasetError, OptionError, OutputError

LEARNED = -1


@pytest.fixture
def drawn() -> tuple[list[float], dict[str, list[float]]]:
    rng = np.random.default_rng(3)
    good = rng.normal(10, 1, 99).astype(np.float32).tolist()
    kinds = {"crack": rng.normal(13, 1, 12), "stain": rng.normal(11.5, 1, 7)}
    return good, {kind: scores.astype(np.float32).tolist() for kind, scores in kinds.items()}


def test_each_row_counts(drawn) -> None:
    good, defects = drawn
    found = trade_off(good, None, defects, current=12.0)
    assert [row.rate for row in found.rows] == list(RATES) and found.n_good == 99
    for row in (*found.rows, found.current):
        for kind, scores in defects.items():
            assert row.found[kind].count == sum(s > row.threshold for s in scores)
            assert row.found[kind].total == len(scores)
        over = sum(s > row.threshold for s in good)
        assert over / 100 < row.expected_rate <= (over + 1) / 100
        assert row.upper_rate >= row.expected_rate
        assert row.all_found.total == 19
    assert found.current.threshold == 12.0 and found.current.rate is None
    assert [row.threshold for row in found.rows] == sorted((r.threshold for r in found.rows), reverse=True)
    # rank 100 * (1 - rate) of 99; 0.1 % lies beyond the largest
    ordered = sorted(good)
    wanted = [ordered[-1], ordered[96], ordered[94], ordered[89]]
    assert [row.threshold for row in found.rows[1:]] == wanted
    assert found.rows[0].threshold > ordered[-1]


def test_a_group_counts_once_and_learned_parts_say_nothing(drawn) -> None:
    good, defects = drawn
    groups = [i // 3 for i in range(99)]
    largest = [max(good[i : i + 3]) for i in range(0, 99, 3)]
    by_part, by_largest = (trade_off(*each, defects) for each in ((good, groups), (largest, None)))
    assert by_part.n_good == by_largest.n_good == 33
    for ours, stricter in zip(by_part.rows, by_largest.rows, strict=True):
        assert ours.threshold <= stricter.threshold  # one of a part's three images over it is a third
        assert ours == row_for(good, groups, defects, ours.rate)
    assert by_part.rows[0] == by_largest.rows[0]  # over the largest, no image or all of them
    unknown = trade_off(good, [LEARNED, *groups[1:]], defects, current=12.0)
    assert not any(row.is_known for row in (*unknown.rows, unknown.current)) and unknown.more is None
    assert all(row.threshold >= max(good) for row in unknown.rows) and unknown.notice() is None


def test_a_threshold_under_all_is_said_to_flag_all() -> None:
    row = row_at([1.0, 2.0], None, {}, 0.5)
    assert row.is_known and row.expected_rate == row.upper_rate == 1.0
    assert row_at([1.0, 2.0], [LEARNED, 0], {}, 0.5).is_known is False


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [float("inf")]])
def test_scores_that_are_none(bad, drawn) -> None:
    with pytest.raises(DatasetError):
        trade_off(bad, None, {})
    if bad:
        with pytest.raises(DatasetError, match="stain"):
            trade_off(drawn[0], None, {"stain": bad})
    else:
        assert trade_off(drawn[0], None, {"stain": bad}).rows[0].found == {}


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0])
def test_rates_out_of_range(rate) -> None:
    with pytest.raises(OptionError):
        trade_off([1.0], None, {}, rates=(rate,))


@pytest.mark.parametrize(("k", "n"), [(5, 5), (1, 1), (3, 7), (28, 29), (0, 4)])
def test_at_least_is_where_so_many_found_have_five_percent(k: int, n: int) -> None:
    """Clopper and Pearson's one-sided bound, by adding binomial probabilities."""
    least = Found(k, n).at_least
    if not k:
        assert least == 0
        return
    as_many = sum(math.comb(n, i) * least**i * (1 - least) ** (n - i) for i in range(k, n + 1))
    assert as_many == pytest.approx(0.05, abs=1e-6)


def test_what_few_defects_can_and_cannot_show_is_said() -> None:
    said = str(sureness(Found(5, 5)))
    assert said == (
        "5 of 5 defects found: that shows at least 55% of such defects, with 95% confidence; 29 that are all "
        "found would show 90%"
    )
    assert Found(28, 28).at_least < 0.9 <= Found(29, 29).at_least  # 29 is what it takes
    assert str(sureness(Found(1, 1))).startswith("1 of 1 defect found")
    assert "would show" not in str(sureness(Found(29, 30)))


# ---------------------------------------------------------------- half as much again


def test_a_percent_that_finds_half_as_much_again_is_said() -> None:
    good = [float(i) for i in range(999)]
    # now 1 in 1000 good ones; at 1.1 % the threshold is 988
    cheap = {"crack": [990.0] * 5 + [2000.0] * 8 + [1.0] * 7}
    notice = trade_off(good, None, cheap, current=998.0).notice()
    assert notice is not None and notice.values["found"] == 8 and notice.values["then"] == 13
    assert "13 instead of 8 of 20 defects would be found if 1.10% instead of 0.10%" in str(notice)
    rate = float(re.search(r"--fpr ([\d.]+)", str(notice))[1])
    assert trade_off(good, None, cheap, rates=(rate,)).rows[0].found["crack"].count == 13
    dear = {"crack": [990.0] * 3 + [2000.0] * 8 + [1.0] * 7}  # 11 of 18, under half as much again
    assert trade_off(good, None, dear, current=998.0).notice() is None
    one = {"crack": [990.0, 1.0]}  # a single one more is no evidence
    assert trade_off(good, None, one, current=998.5).notice() is None
    assert trade_off(good, None, {}, current=998.5).notice() is None
    assert trade_off(good, None, cheap).notice() is None


# ---------------------------------------------------------------- chosen by defects


def grid(good, defects) -> np.ndarray:
    """Thresholds between any two scores, and beyond them."""
    scores = np.unique(np.array([*good, *defects], np.float64))
    between = (scores[1:] + scores[:-1]) / 2
    return np.concatenate([[scores[0] - 1], between, [scores[-1] + 1]])


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 1.0])
def test_recall_is_the_highest_threshold_that_finds_the_share(share: float, drawn) -> None:
    good, kinds = drawn
    defects = [*kinds["crack"], *kinds["stain"]]
    chosen = Recall(share).threshold(good, defects)
    assert sum(s > chosen for s in defects) >= share * len(defects)
    enough = [t for t in grid(good, defects) if sum(s > t for s in defects) >= share * len(defects)]
    for scores in (good, defects):  # no image is judged otherwise than at the highest of all that are enough
        assert sum(s > chosen for s in scores) == sum(s > max(enough) for s in scores)


def test_recall_leaves_room_on_both_sides() -> None:
    assert Recall(1.0).threshold([1.0, 2.0], [6.0, 8.0]) == 4.0
    assert Recall(0.5).threshold([1.0, 2.0], [6.0, 8.0]) == 7.0
    alone = Recall(1.0).threshold([5.0], [3.0])
    assert alone < np.float32(3.0) and alone == np.nextafter(np.float32(3), np.float32(0))
    low = np.float32(1)
    near = float(np.nextafter(low, np.float32(2)))
    assert float(low) <= Recall(1.0).threshold([float(low)], [near]) < near


@pytest.mark.parametrize(("miss", "alarm"), [(100, 1), (1, 100), (1, 1), (5, 0.2)])
@pytest.mark.parametrize("share", [0.001, 0.05, 0.6])
def test_cost_is_the_least_of_all_thresholds(miss: float, alarm: float, share: float, drawn) -> None:
    good, kinds = drawn
    defects = [*kinds["crack"], *kinds["stain"]]

    def expected(t: float) -> float:
        missed = sum(s <= t for s in defects) / len(defects)
        flagged = rate_at(good, t).expected
        return share * missed * miss + (1 - share) * flagged * alarm

    cost = Cost(miss, alarm, share)
    chosen = cost.threshold(good, defects)
    assert cost.expected(good, defects, chosen) == pytest.approx(expected(chosen))
    assert expected(chosen) == pytest.approx(
        min(map(expected, [*grid(good, defects)[:-1], max(*good, *defects)]))
    )


def test_the_other_kinds_are_judged_without_their_own_say(drawn) -> None:
    good, kinds = drawn
    found = on_other_kinds(Recall(0.9), good, kinds)
    for kind, other in (("crack", "stain"), ("stain", "crack")):
        threshold = Recall(0.9).threshold(good, kinds[other])
        assert found[kind] == Found(sum(s > threshold for s in kinds[kind]), len(kinds[kind]))
    assert on_other_kinds(Recall(0.9), good, {"crack": kinds["crack"]}) == {}
    assert on_other_kinds(Recall(0.9), good, {**kinds, "none": []}).keys() == kinds.keys()


def test_a_rate_at_a_threshold_is_that_of_the_scores_over_it() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1000):  # uniform scores: the rate at 0.9 is 0.1
        covered.append(rate_at(rng.uniform(size=60).tolist(), 0.9).upper >= 0.1)
    assert np.mean(covered) > 0.93


# ---------------------------------------------------------------- the picture


@pytest.mark.parametrize("suffix", [".svg", ".png", ".jpg"])
def test_the_picture_is_whole_and_shows_the_thresholds(suffix: str, drawn, tmp_path: Path) -> None:
    good, defects = drawn
    file = tmp_path / f"trade-off{suffix}"
    write_figure(file, "a <b> & c", good, None, defects, {"so far": 13.0, "new": 11.5})
    if suffix != ".svg":
        picture = cv2.imread(str(file))
        assert picture.shape == (560, 880, 3) and 0.5 < (picture == 255).mean() < 0.99
        return
    root = ElementTree.fromstring(file.read_bytes())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a <b> & c", "so far: 13", "new: 11.5"} <= set(texts)
    dots = [e.attrib for e in root.iter("{http://www.w3.org/2000/svg}circle")]
    # The mark lies where counting says: escapes upward, false alarms to the right.
    now = row_at(good, None, defects, 11.5)
    escapes = 1 - now.all_found.share
    assert float(dots[1]["cy"]) == pytest.approx(560 - 60 - escapes * 450, abs=0.1)
    assert float(dots[0]["cx"]) < float(dots[1]["cx"])
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|<script|href", file.read_text())


def test_what_cannot_be_drawn_is_said(drawn, tmp_path: Path) -> None:
    good, defects = drawn
    for name in ("x", "x.gif", "x.pdf"):
        with pytest.raises(OutputError, match="ending"):
            write_figure(tmp_path / name, "", good, None, defects, {})
    for groups, kinds in (([LEARNED] * 99, defects), (None, {})):
        with pytest.raises(OptionError, match="defects and good images"):
            write_figure(tmp_path / "x.svg", "", good, groups, kinds, {})
    with pytest.raises(OutputError):
        write_figure(tmp_path / "nowhere" / "x.svg", "", good, None, defects, {})
    assert list(tmp_path.iterdir()) == []
