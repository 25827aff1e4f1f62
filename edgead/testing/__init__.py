"""The conformance kit: small named checks over anything that a plugin registers.

    import pytest
    from edgead.testing import checks

    @pytest.mark.parametrize("check", checks("edgead-mine"), ids=str)
    def test_it_behaves_like_a_built_in_one(check):
        check()

``edgead plugins check NAME`` prints the same as a table. What the checks need is imported when they run.
"""

from __future__ import annotations

from edgead.testing.catalogue import checks
from edgead.testing.check import Check, CheckFailed, Result
from edgead.testing.parts import run_part

__all__ = ["Check", "CheckFailed", "Result", "checks", "run_part"]
