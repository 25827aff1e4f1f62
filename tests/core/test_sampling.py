"""A few of many, evenly spread."""

from __future__ import annotations

from itertools import pairwise

import pytest

from edgead.sampling import spread


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 63, 200, 1001])
@pytest.mark.parametrize("limit", [1, 2, 8, 64])
def test_no_two_gaps_differ_by_more_than_one_and_the_tail_is_no_longer_than_a_gap(count, limit):
    found = spread(count, limit)
    assert len(found) == min(count, limit) and found == sorted(set(found))
    assert all(0 <= index < count for index in found)
    gaps = [b - a for a, b in pairwise([*found, count])] if found else [0]
    assert max(gaps) - min(gaps) <= 1
