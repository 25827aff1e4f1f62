"""docs/thresholds.md: its code prints what the page says, and its rules are those of a manifest."""

from __future__ import annotations

import re
import typing
from pathlib import Path

from edgead.manifest import Rule

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "thresholds.md").read_text("utf-8")


def test_the_code_prints_what_the_page_says(capsys) -> None:
    code, printed = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL).groups()
    exec(code, {})
    assert capsys.readouterr().out == printed


def test_every_rule_is_there() -> None:
    assert all(f"`{rule}`" in PAGE for rule in typing.get_args(Rule))
