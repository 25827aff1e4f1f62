"""Two bundles' verdicts on the same images: against enumeration, SciPy, published figures and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgead.errors import InputError
from edgead.metrics.paired import paired_f1, paired_shares
from edgead.notices import Notice

NONE = Notice("no-bad-images")


def both(wrong_twice: int, gained: int, lost: int, right_twice: int):
    """Verdicts of a table as the papers print it."""
    counts = (wrong_twice, gained, lost, right_twice)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(("gained", "lost"), itertools.product(range(5), repeat=2))
def test_the_p_value_is_that_of_every_way_to_split_the_images_that_differ(gained: int, lost: int) -> None:
    found = paired_shares(*both(3, gained, lost, 4), NONE)
    far = abs(gained - lost)
    ways = list(itertools.product((0, 1), repeat=gained + lost))
    as_far = sum(abs(2 * sum(way) - len(way)) >= far for way in ways)
    assert found.p_value == pytest.approx(as_far / len(ways), abs=1e-12)
    assert found.value == pytest.approx((gained - lost) / (7 + gained + lost))


@pytest.mark.parametrize(("gained", "lost"), [(2, 14), (40, 61), (600, 500), (0, 3000)])
def test_the_p_value_is_scipys(gained: int, lost: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy isn't installed")
    known = stats.binomtest(gained, gained + lost).pvalue
    assert paired_shares(*both(5, gained, lost, 5), NONE).p_value == pytest.approx(
        known, rel=1e-9, abs=1e-300
    )


@pytest.mark.parametrize(
    ("counts", "interval"),
    [
        ((36, 12, 2, 0), (0.0569, 0.3404)),
        ((20, 12, 2, 16), (0.0562, 0.3292)),  # (0.0618, 0.3242) without the correction for continuity
        ((54, 0, 0, 0), (-0.0664, 0.0664)),
    ],
)
def test_the_interval_is_newcombes(counts, interval) -> None:
    """Statistics in Medicine 17, 1998, table III, method 10."""
    assert paired_shares(*both(*counts), NONE).interval == pytest.approx(interval, abs=5e-5)


def test_the_other_way_round_it_is_the_negative() -> None:
    new, old = both(4, 9, 2, 30)
    one, other = paired_shares(new, old, NONE), paired_shares(old, new, NONE)
    assert other.value == -one.value and other.p_value == one.p_value
    assert other.interval == pytest.approx((-one.interval[1], -one.interval[0]))


def test_the_interval_holds_the_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for n, p, shift in ((20, 0.3, 0.1), (60, 0.1, 0.05), (60, 0.5, 0.2)):
        held = []
        for _ in range(1500):
            shared = rng.random(n)  # an image that's hard for one is hard for the other
            alone = rng.random(n) < 0.2
            old, new = shared < p, np.where(alone, rng.random(n), shared) < p + shift
            low, high = paired_shares(new, old, NONE).interval
            held.append(low <= shift <= high)
        assert 0.93 <= np.mean(held) <= 0.995, (n, p, shift, np.mean(held))


def test_bundles_that_agree_do_not_differ_and_the_interval_says_how_far_that_is_known() -> None:
    for wrong in (0, 3, 10):
        verdicts = np.arange(10) < wrong
        found = paired_shares(verdicts, verdicts, NONE)
        assert (found.value, found.p_value, found.reason) == (0.0, 1.0, None)
        assert found.interval[0] <= 0 <= found.interval[1]
        assert wrong == 3 or found.interval[1] > 0.05, "ten images show little"


def f1_of(wrong, bad) -> float:
    found, alarms = (bad & ~wrong).sum(), (~bad & wrong).sum()
    return 2 * found / (2 * found + alarms + (bad & wrong).sum())


@pytest.mark.parametrize("seed", range(12))
def test_f1s_p_value_is_that_of_every_exchange_of_verdicts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bad = np.arange(24) < rng.integers(2, 20)
    old = rng.random(24) < 0.4
    new = np.where(np.arange(24) % 3 == 0, rng.random(24) < 0.2, old)  # eight at most differ
    seen = f1_of(new, bad) - f1_of(old, bad)
    differ = np.flatnonzero(new != old)
    as_far = 0
    for exchange in itertools.product((False, True), repeat=differ.size):
        one, other = new.copy(), old.copy()
        swapped = differ[list(exchange)]
        one[swapped], other[swapped] = old[swapped], new[swapped]
        as_far += abs(f1_of(one, bad) - f1_of(other, bad)) >= abs(seen) - 1e-12
    found = paired_f1(new, old, bad)
    assert found.value == pytest.approx(seen, abs=1e-12)
    assert found.p_value == pytest.approx(as_far / 2**differ.size, abs=1e-12)


def test_f1_agrees_with_the_shares_where_one_kind_alone_differs() -> None:
    """Four defects that one bundle alone lets through are no more than chance, whatever they do to F1."""
    bad = np.arange(60) < 30
    new, old = np.zeros(60, bool), np.zeros(60, bool)
    new[:4] = True
    found = paired_f1(new, old, bad)
    assert found.value < 0 and found.p_value == paired_shares(new[bad], old[bad], NONE).p_value == 0.125
    same = paired_f1(new, new, bad)
    assert (same.value, same.p_value) == (0.0, 1.0)


def test_f1_of_many_images_is_tested_too() -> None:
    rng = np.random.default_rng(1)
    bad = np.arange(6000) < 2000
    old = rng.random(6000) < 0.3
    found = paired_f1(rng.random(6000) < 0.3, old, bad), paired_f1(rng.random(6000) < 0.2, old, bad)
    assert found[0].p_value > 0.01 and found[1].p_value < 1e-6 and found[1].value > 0


def test_no_images_have_no_difference() -> None:
    assert paired_f1([True, False], [True, True], [False, False]).reason == Notice("no-bad-images")
    assert paired_f1([True, False], [True, True], [True, True]).reason == Notice("no-good-images")
    with pytest.raises(InputError, match="all for the same"):
        paired_f1([True], [True, False], [True, False])
    found = paired_shares([], [], NONE)
    assert (found.value, found.interval, found.p_value, found.reason) == (None, None, None, NONE)
    with pytest.raises(InputError, match="same images"):
        paired_shares([True], [True, False], NONE)
