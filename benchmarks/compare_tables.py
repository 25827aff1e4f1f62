"""Has anything become slower? A table of ``table.py`` against an older one: ratios alone, never milliseconds.

    python benchmarks/compare_tables.py OLD.json NEW.json [--tolerance 0.15] [--allow-missing]

``make bench-compare TABLE=OLD.json`` compares what ``make bench`` wrote. A row is worse where its ratio is
worse by more than the tolerance and the two runs' ranges don't touch: on a busy machine ratios wander, too. A
row that the older table has and the newer couldn't measure counts as worse, unless ``--allow-missing`` is
given, on a machine without the peers for instance. Rows of which neither way is better are left aside.

Exit code 0: nothing is worse; 1: the rows printed are; 2: the tables can't be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rows import Row, read_rows

FORMAT = 1
TOLERANCE = 0.15


@dataclass(frozen=True)
class Table:
    """A stored table.

    Attributes:
        kind: the processor's class that it was measured on.
        rows: by part and name.
    """

    kind: str
    rows: dict[tuple[str, str], Row]


def read_table(file: Path) -> Table:
    """A table of ``table.py``; raises ValueError, with a sentence, where it's something else."""
    try:
        found: Any = json.loads(file.read_text())
    except OSError as error:
        raise ValueError(f"{file}: can't be read ({error.strerror}); `make bench` writes one") from error
    except ValueError as error:
        raise ValueError(f"{file}: isn't JSON ({error})") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{file}: isn't a table of this version's `make bench`")
    try:
        rows = read_rows(found["rows"])
        kind = found["machine"]["processor"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
    return Table(str(kind), {(row.part, row.name): row for row in rows})


def worse(old: Row, new: Row, tolerance: float) -> bool:
    """Whether the ratio is worse by more than the tolerance, and out of the older run's range."""
    if not (old.better and old.ratio and new.ratio and old.low and old.high and new.low and new.high):
        return False
    if old.better == "lower":
        return new.ratio > old.ratio * (1 + tolerance) and new.low > old.high
    return new.ratio < old.ratio / (1 + tolerance) and new.high < old.low


def compare(old: Table, new: Table, tolerance: float, allow_missing: bool) -> tuple[list[str], list[str]]:
    """A sentence for each row that is worse, and for each that wasn't compared."""
    slower: list[str] = []
    aside: list[str] = []
    for key, before in old.rows.items():
        if not before.better or before.ratio is None:
            continue
        name, after = ", ".join(key), new.rows.get(key)
        if after is None or after.ratio is None:
            why = after.why if after is not None else "the row isn't there"
            (aside if allow_missing else slower).append(f"{name}: couldn't be measured: {why}")
        elif worse(before, after, tolerance):
            change = max(after.ratio / before.ratio, before.ratio / after.ratio)
            slower.append(
                f"{name}: {after.ratio:.3g} instead of {before.ratio:.3g} {before.of} ({before.better} is "
                f"better): {change:.2f} times worse"
            )
    return slower, aside


def compared(old: Table, new: Table) -> int:
    """How many rows both have a ratio of that is better one way."""
    there = (new.rows.get(key) for key, row in old.rows.items() if row.better and row.ratio)
    return sum(1 for row in there if row is not None and row.ratio is not None)


def main(words: Sequence[str] | None = None) -> int:
    arguments = _arguments(words)
    try:
        old, new = read_table(arguments.old), read_table(arguments.new)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if old.kind != new.kind:
        told = f"measured on {old.kind} and on {new.kind}: ratios of different classes don't compare"
        print(told, file=sys.stderr)
        return 2
    slower, aside = compare(old, new, arguments.tolerance, arguments.allow_missing)
    count = compared(old, new)
    for line in aside:
        print(f"not compared: {line}")
    for line in slower:
        print(f"worse: {line}")
    allowed = f"{arguments.tolerance:.0%}"
    print(f"{count} rows compared, {len(slower)} worse by more than {allowed} and out of the older range")
    if not count and not slower:
        print("nothing could be compared", file=sys.stderr)
        return 2
    return 1 if slower else 0


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="default %(default)s, a share")
    parser.add_argument("--allow-missing", action="store_true")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
