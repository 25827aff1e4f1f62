"""A trade-off for people: thresholds side by side, with the false alarms to expect and the defects found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.output import print_table

if TYPE_CHECKING:
    from edgead.bundle import Bundle
    from edgead.device.trade_off import Found, TradeOff, TradeOffRow

MOST_KINDS = 4
"""Kinds of defects that have a column of their own; of more, all together have one."""
LEGEND = (
    "expected: share of good images over the threshold, from {good} that count; under: with 95 % confidence",
    "found: of the defects, and in brackets the 95 % interval of the share",
)


def print_trade_off(
    trade_off: TradeOff,
    new: TradeOffRow | None = None,
    found: str = "found",
    current: str = "so far",
) -> None:
    """Print a row for each rate, and for the threshold that holds and a new one.

    Args:
        new: a threshold that was chosen now.
        found: the heading over the kinds of defects, ``found of synthetic`` for instance.
        current: what the threshold that holds is called.
    """
    marked = [(current, trade_off.current), ("new", new)]
    rows = [(_percent(row.rate), row) for row in trade_off.rows]
    rows += [(name, row) for name, row in marked if row is not None]
    kinds = list(rows[0][1].found)
    header = ["false alarms", "threshold", "expected", "under", *_headings(kinds, found)]
    print_table([[name, *_cells(row, kinds)] for name, row in rows], header)
    for line in LEGEND if kinds else LEGEND[:1]:
        click.echo(f"  {line.format(good=trade_off.n_good)}")


def print_kept(bundle: Bundle, heading: str = "") -> None:
    """What a bundle's own scores say of its threshold, and of others; nothing where it keeps none."""
    from edgead.device.kept_trade_off import kept_trade_off
    from edgead.notices import say

    told = kept_trade_off(bundle)
    if told is None:
        return
    if heading:
        click.echo(heading)
    print_trade_off(told, found="synthetic defects found", current="in force")
    if cheap := told.notice():
        click.echo(f"note: {say(cheap)}")


def kept_record(bundle: Bundle) -> dict[str, Any] | None:
    """The same as JSON; None where it keeps none."""
    from edgead.device.kept_trade_off import kept_trade_off

    told = kept_trade_off(bundle)
    return None if told is None else told.record()


def print_kinds(columns: Mapping[str, Mapping[str, Found]]) -> None:
    """Print a row for each kind of defect, and a column for each way to find it; nothing without kinds."""
    kinds = list(dict.fromkeys(kind for found in columns.values() for kind in found))
    rows = [[kind, *(_share(found.get(kind)) for found in columns.values())] for kind in kinds]
    if rows:
        print_table(rows, ["kind", *columns])


def _headings(kinds: Sequence[str], found: str) -> list[str]:
    if not kinds:
        return []
    if len(kinds) > MOST_KINDS:
        return [found]
    return [f"{found}: {kind}" for kind in kinds[:1]] + list(kinds[1:])


def _cells(row: TradeOffRow, kinds: Sequence[str]) -> list[str]:
    rates = [_percent(row.expected_rate), _percent(row.upper_rate)] if row.is_known else ["-", "-"]
    many = len(kinds) > MOST_KINDS
    found = [row.all_found] if many else [row.found.get(kind) for kind in kinds]
    return [f"{row.threshold:.4g}", *rates, *map(_share, found)]


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.2f} %"


def _share(found: Found | None) -> str:
    if found is None:
        return "-"
    low, high = found.interval
    return f"{found.count} of {found.total} ({100 * low:.0f}-{100 * high:.0f} %)"


__all__ = ["kept_record", "print_kept", "print_kinds", "print_trade_off"]
