"""edgead's own checks, over everything that edgead-kmeans registers."""

from __future__ import annotations

import pytest
from edgead.testing import Check, checks


@pytest.mark.parametrize("check", checks("edgead-kmeans"), ids=str)
def test_it_behaves_like_a_built_in_one(check: Check) -> None:
    check()
