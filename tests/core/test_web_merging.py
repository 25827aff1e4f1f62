"""Areas that are merged block by block are those of one labelling, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.web.merging import Merger, under, united
from tests.core.web_support import Thresholds, labelled

LIMITS = Thresholds(score=0.9, pixel=0.5)


@pytest.mark.parametrize("density", [0.05, 0.3, 0.4, 0.5, 0.7])
@pytest.mark.parametrize("most", [1, 2, 9, 80])
def test_blocks_of_any_height_with_columns_that_are_missing(density: float, most: int) -> None:
    rng = np.random.default_rng([int(100 * density), most])
    for width in (1, 2, 3, 40):
        whole = np.where(rng.random((200, width)) < density, rng.uniform(0.51, 1, (200, width)), 0)
        whole = whole.astype(np.float32)
        unknown = np.zeros(whole.shape, bool)
        merger, found, at = Merger(width, LIMITS, lambda line: 10 * line), [], 0
        while at < len(whole):
            end = min(at + int(rng.integers(1, most + 1)), len(whole))
            missing = (rng.random(width) < 0.1) & (rng.random() < 0.3)
            unknown[at:end, missing] = True
            block = np.where(missing, np.float32(-np.inf), whole[at:end])
            found += merger.add(at, block, missing)
            assert len(merger.live) <= (width + 1) // 2
            at = end
        found += merger.end(is_gap=True)
        assert not merger.live
        defects = [blob for blob in found if blob.counts(LIMITS)]
        got = [(b.start, b.end, b.left, b.right, b.area, b.peak, b.is_cut) for b in defects]
        assert sorted(got) == sorted(labelled(whole, LIMITS, 0, False, True, unknown))
        assert all(blob.mark == 10 * blob.start for blob in defects)


def test_a_gap_parts_what_would_touch() -> None:
    merger = Merger(5, LIMITS, lambda line: None)
    ones, none = np.ones((2, 5), np.float32), np.zeros(5, bool)
    assert merger.add(0, ones, none) == []
    (before,) = merger.end(is_gap=True)
    assert merger.add(2, ones, none) == []
    (behind,) = merger.end(is_gap=False)
    assert (before.start, before.end, before.is_cut) == (0, 2, True)
    assert (behind.start, behind.end, behind.is_cut) == (2, 4, True)
    merger.add(4, ones, none)
    assert [blob.is_cut for blob in merger.end(is_gap=False)] == [False]


def test_union_find_finds_what_is_connected() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        count = int(rng.integers(1, 60))
        pairs = rng.integers(1, count + 1, (int(rng.integers(0, 60)), 2))
        reach = np.eye(count, dtype=int)
        for one, other in pairs - 1:
            reach[one, other] = reach[other, one] = 1
        for _ in range(7):
            reach = (reach @ reach > 0).astype(int)
        assert united(count, pairs) == reach.argmax(1).tolist()


def test_under_keeps_the_order_of_doubles() -> None:
    for limit in (0.1, 0.5, 1 / 3, 9.693, 0.0, 1e-30):
        below = under(limit)
        assert float(below) <= limit < float(np.nextafter(below, np.float32(np.inf)))
