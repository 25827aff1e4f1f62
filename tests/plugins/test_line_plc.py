"""A PLC over Modbus TCP against a line whose sink and judges are killed: tools/line_plc.py, but short."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("pymodbus", reason="pymodbus, the PLC of this test, isn't installed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a line needs a POSIX system")

_spec = importlib.util.spec_from_file_location(
    "line_plc", Path(__file__).parents[2] / "tools" / "line_plc.py"
)
assert _spec is not None and _spec.loader is not None
line_plc = importlib.util.module_from_spec(_spec)
sys.modules["line_plc"] = line_plc
_spec.loader.exec_module(line_plc)


def test_whatever_is_killed_no_part_is_accepted_that_nobody_judged() -> None:
    outcome = line_plc.run(parts=50, rate=20, kills=4, seed=2, deadline_ms=300)
    assert outcome.wrong == []
    assert outcome.killed["sink"] and outcome.killed["judge"]
    assert outcome.seen.connections >= 2 and len(outcome.seen.told) > 10
    assert "accept" in outcome.seen.decisions.values()
