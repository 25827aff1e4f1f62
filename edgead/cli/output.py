"""What the verbs print with: tables for people, JSON for scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from edgead.names import json_text, shown

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """Add ``--json``, passed on as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for scripts.")(
        function
    )


def quiet_option(function: F) -> F:
    """Add ``--quiet``."""
    return click.option("-q", "--quiet", is_flag=True, help="Show no progress.")(function)


def print_json(document: Any) -> None:
    """Print one JSON document with sorted keys and readable text."""
    click.echo(json_text(document, indent=2, sort_keys=True))


def print_table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), indent: str = "") -> None:
    """Print columns, as wide as they need to be; a column whose cells are all numbers is set right."""
    lines = [*([header] if header else []), *rows]
    if not lines:
        return
    columns = range(max(len(line) for line in lines))
    width = [max(len(line[c]) for line in lines if c < len(line)) for c in columns]
    right = [bool(rows) and all(_is_number(row[c]) for row in rows if c < len(row)) for c in columns]
    for line in lines:
        cells = [text.rjust(width[c]) if right[c] else text.ljust(width[c]) for c, text in enumerate(line)]
        click.echo((indent + "  ".join(cells)).rstrip())


def print_notes(notes: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Print each note once, with whose it is where it isn't everyone's.

    Args:
        notes: whose, and their notes; a name may come several times.
    """
    about: dict[str, list[str]] = {}
    everyone: dict[str, None] = {}
    for name, lines in notes:
        everyone[name] = None
        for line in lines:
            whose = about.setdefault(line, [])
            if name not in whose:
                whose.append(name)
    for line, whose in about.items():
        told = "" if len(whose) == len(everyone) else f"{', '.join(whose)}: "
        click.echo(shown(f"note: {told}{line}"))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("", "-")
    return True


__all__ = ["json_option", "print_json", "print_notes", "print_table", "quiet_option"]
