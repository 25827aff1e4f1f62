"""The rows of a benchmark's table: ratios taken within one run, with their spread, and what couldn't be had.

Milliseconds say more about a machine and its other work than about a program, so they are shown and never
compared. A ratio is taken of things that ran in turns, once for each turn; its row has the median and, of
the turns, the second lowest and second highest, or the extremes where there are few.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class Row:
    """One figure of a table.

    Attributes:
        part: the benchmark that it's of.
        name: what was measured; with ``part`` it's the row's name.
        of: what the ratio is, in a few words.
        ratio, low, high: the median, and the range that most turns are in; None where it couldn't be had.
        better: which way is better for edgead; empty where neither is, and nothing compares it.
        why: why it couldn't be had, in a sentence.
        shown: other columns for people, never compared.
    """

    part: str
    name: str
    of: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    better: Better = ""
    why: str = ""
    shown: Mapping[str, str] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As JSON, three significant digits and one: more would be the machine's noise."""
        rounded = {name: _rounded(getattr(self, name)) for name in ("ratio", "low", "high")}
        return {**asdict(self), **rounded, "shown": dict(self.shown)}


def of_turns(mine: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """The median ratio of two that ran in turns, and the range of most turns.

    Args:
        mine, other: of the same turns, positive.
    """
    ratios = sorted(a / b for a, b in zip(mine, other, strict=True))
    inside = ratios[1:-1] if len(ratios) >= 7 else ratios
    return float(np.median(ratios)), inside[0], inside[-1]


def missing(part: str, name: str, why: str) -> Row:
    """A row that couldn't be had."""
    return Row(part, name, why=" ".join(why.split()) or "it failed without a word")


def markdown(rows: Sequence[Row]) -> list[str]:
    """Lines of a table in Markdown, for rows of one part."""
    there = [row for row in rows if not row.why]
    columns = list(dict.fromkeys(name for row in there for name in row.shown))
    of = next((row.of for row in there if row.of), "ratio")
    lines = [f"| | {' | '.join([f'{of} (turns)', *columns])} |", f"|{' --- |' * (len(columns) + 2)}"]
    for row in rows:
        if row.why:
            lines.append(f"| {row.name} | not here: {row.why} |{' |' * len(columns)}")
            continue
        ratio = (row.ratio, row.low, row.high)
        told = "-" if None in ratio else spread(*ratio)
        cells = [told, *(row.shown.get(name, "-") for name in columns)]
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    return lines


def spread(ratio: float, low: float, high: float) -> str:
    """A ratio and the range of most turns, for people."""
    return f"{ratio:.3g}" if low == high else f"{ratio:.3g} ({low:.3g} to {high:.3g})"


def save_rows(rows: Sequence[Row], file: Path | None) -> None:
    """Write rows as JSON, for ``read_rows``; nothing where no file is given."""
    if file is not None:
        file.write_text(json.dumps([row.record() for row in rows], indent=1))


def read_rows(records: Any) -> list[Row]:
    """Rows from their JSON; raises ValueError where it's something else."""
    if not isinstance(records, list):
        raise ValueError("rows are a list")
    return [_row(record) for record in records]


def _row(record: Any) -> Row:
    if not isinstance(record, dict) or record.keys() - Row.__dataclass_fields__.keys():
        raise ValueError(f"not a row: {str(record)[:100]}")
    row = Row(**record)
    numbers = (row.ratio, row.low, row.high)
    if not (
        isinstance(row.part, str) and isinstance(row.name, str) and row.better in ("higher", "lower", "")
    ):
        raise ValueError(f"not a row: {str(record)[:100]}")
    for number in numbers:
        if number is not None and not (isinstance(number, int | float) and 0 < number < math.inf):
            raise ValueError(f"{row.part}, {row.name}: {number} isn't a ratio")
    if len({number is None for number in numbers}) != 1:
        raise ValueError(f"{row.part}, {row.name}: a ratio has its range")
    return row


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


__all__ = ["Better", "Row", "markdown", "missing", "of_turns", "read_rows", "save_rows", "spread"]
