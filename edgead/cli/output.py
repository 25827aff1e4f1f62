"""What the verbs print with: tables for people, JSON for scripts, and commands to type next."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgead.names import json_text, shown

if TYPE_CHECKING:
    from edgead.notices import Notice
    from edgead.registry import Entry

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """Add ``--json``, passed on as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for scripts.")(
        function
    )


def quiet_option(function: F) -> F:
    """Add ``--quiet``: no progress. Notes stay: what is doubtful about a bundle is no progress report."""
    return click.option("-q", "--quiet", is_flag=True, help="Show no progress; notes still go to stderr.")(
        function
    )


def print_json(document: Any) -> None:
    """Print one JSON document with sorted keys and readable text."""
    click.echo(_encodable(json_text(document, indent=2, sort_keys=True)))


def json_line(document: Any) -> str:
    """Return a JSON document in one line, its keys in their order."""
    return _encodable(json_text(document))


def _encodable(text: str) -> str:
    """JSON text as it is where stdout takes every character, else with those that it may not take escaped."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    if encoding in ("utf8", "utf16"):
        return text
    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)


def typed(*words: str | os.PathLike[str]) -> str:
    """Return words as they'd be typed in a shell, those with spaces and such quoted.

    Example:
        >>> print(typed("edgead", "run", "my part.edgead", "IMAGES"))
        edgead run 'my part.edgead' IMAGES
    """
    return " ".join(_quoted(os.fspath(word)) for word in words)


def _quoted(word: str) -> str:
    if os.name == "nt":
        return f'"{word}"' if not word or set(word) & set(" &()^,;='%!`") else word
    if word.isprintable():
        return shlex.quote(word)
    # Bytes that aren't UTF-8 and control characters: bash, zsh and ksh read this.
    plain = (chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in os.fsencode(word))
    return f"$'{''.join(plain)}'"


def coloured(text: str, colour: str) -> str:
    """Return text in a colour, for ``click.echo``, which takes it out again off a terminal."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour)


def show_notices(notices: Iterable[Notice], name: str = "") -> None:
    """Print what a bundle's user should know, on stderr; ``name`` says of which bundle.

    That its manifest carries no digest isn't said again: reading it has logged that.
    """
    from edgead.notices import say

    for notice in notices:
        if notice.code == "no-digest":
            continue
        click.echo(shown(f"note: {name}{': ' if name else ''}{say(notice)}"), err=True)


def print_table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), indent: str = "") -> None:
    """Print columns, as wide as they need to be; a column whose cells are all numbers is set right.

    What a cell holds of control characters is escaped: a bundle's facts are a stranger's text.
    """
    rows = [[shown(cell) for cell in row] for row in rows]
    lines = [*([header] if header else []), *rows]
    if not lines:
        return
    columns = range(max(len(line) for line in lines))
    width = [max(len(line[c]) for line in lines if c < len(line)) for c in columns]
    right = [bool(rows) and all(_is_number(row[c]) for row in rows if c < len(row)) for c in columns]
    for line in lines:
        cells = [text.rjust(width[c]) if right[c] else text.ljust(width[c]) for c, text in enumerate(line)]
        click.echo((indent + "  ".join(cells)).rstrip())


def print_entries(entries: Iterable[Entry], as_json: bool) -> None:
    """Print what is registered: name, summary and whose it is."""
    if as_json:
        fields = ("name", "summary", "distribution", "version")
        print_json([{field: getattr(entry, field) for field in fields} for entry in entries])
    else:
        print_table([(entry.name, entry.summary, entry.distribution) for entry in entries])


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


__all__ = [
    "coloured",
    "json_line",
    "json_option",
    "print_entries",
    "print_json",
    "print_notes",
    "print_table",
    "quiet_option",
    "show_notices",
    "typed",
]
