"""A bundle's facts, provenance and gate reports for people; ``--json`` has all of them as they are.

A bundle may be a stranger's or another version's, so nothing here relies on what a value should be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

from edgead.cli.output import print_table
from edgead.names import shown
from edgead.notices import recorded

ONE_LINE = 4
"""A group of more entries gets a line for each."""
HASH = re.compile(r"[0-9a-f]{64}")
FORMS = ("form", "gates", "score %", "map %", "flips", "separation %", "expected loss", "measured loss", "MB")


def print_facts(title: str, facts: Mapping[str, Any]) -> None:
    """Print a nested mapping: what belongs together on one line, or indented below its name."""
    click.echo(f"\n{title}")
    _print_group(facts, "  ")


def print_reports(reports: Mapping[str, Any]) -> None:
    """Print what the gates found, a row for each form; other reports as facts are."""
    rest = dict(reports)
    try:
        forms = reports["forms"]
        rows = [_form_row(form) for form in forms]
        misses = [(_form_name(form), recorded(miss)) for form in forms for miss in form["misses"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    else:
        del rest["forms"]
        click.echo("\nGates, at export")
        print_table(rows, FORMS, indent="  ")
        click.echo("  score, map: the largest difference from exact arithmetic; flips: verdicts that differ")
        for form, why in misses:
            click.echo(
                click.wrap_text(shown(why if why.startswith(form) else f"{form}: {why}"), 110, "  ", "    ")
            )
    if rest:
        print_facts("Reports", rest)


def _form_name(form: Mapping[str, Any]) -> str:
    """The form, and of several targets whose."""
    return f"{form['precision']} for {form['target']}" if form.get("target") else str(form["precision"])


def _form_row(form: Mapping[str, Any]) -> tuple[str, ...]:
    parity, separation = form["parity"] or {}, form["separation"] or {}
    return (
        _form_name(form),
        "miss" if form["misses"] else "pass",
        *(f"{100 * parity[name]:.2f}" if parity else "-" for name in ("score", "map")),
        str(parity.get("flips", "-")),
        *(
            f"{100 * separation[name]:.2f}" if separation else "-"
            for name in ("auroc", "expected_loss", "measured_loss")
        ),
        f"{form['model_bytes'] / 1e6:.1f}" if form["model_bytes"] else "-",
    )


def _print_group(facts: Mapping[str, Any], indent: str) -> None:
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        if isinstance(value, Mapping) and not _fits_a_line(value):
            _print_rows(rows, indent)
            rows = []
            click.echo(shown(f"{indent}{_name(name)}"))
            _print_group(value, f"{indent}  ")
        else:
            rows.append((_name(name), readable(value)))
    _print_rows(rows, indent)


def _print_rows(rows: list[tuple[str, str]], indent: str) -> None:
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        first = f"{indent}{name.ljust(width)}  "
        click.echo(click.wrap_text(shown(text), 110, shown(first), " " * len(first)))


def _fits_a_line(value: Mapping[str, Any]) -> bool:
    return len(value) <= ONE_LINE and not any(isinstance(inner, Mapping) for inner in value.values())


def readable(value: Any) -> str:
    """A JSON value in a few characters: four digits of a fraction, a hash's beginning, yes and no."""
    if value is None or (isinstance(value, list | tuple | Mapping) and not value):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, str):
        return value[:16] if HASH.fullmatch(value) else value
    if isinstance(value, Mapping):
        return ", ".join(f"{_name(name)} {readable(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(readable, value))
    return str(value)


def _name(key: str) -> str:
    return str(key).replace("_", " ")


__all__ = ["print_facts", "print_reports", "readable"]
