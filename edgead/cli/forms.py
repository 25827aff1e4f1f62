"""What ``export`` says of the forms that it tried: a table of figures, and a sentence for each form.

Paces are compared in processor time on one core, as the choice is made by it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from edgead.cli.output import print_table
from edgead.notices import say

if TYPE_CHECKING:
    from edgead.api.records import Export
    from edgead.types import Precision
    from edgead.workbench.form_report import FormReport

SAME_SPEED = 1.1
"""As ``edgead.workbench.choose`` has it, which would bring numpy to a verb's help."""
HEADER = (
    "form",
    "ms a frame",
    "on one core",
    "MB",
    "separation %",
    "expected loss",
    "measured loss",
    "difference",
    "gates",
)
LEGEND = (
    "on one core: processor time in ms, which other work on this machine hardly changes; it decides",
    "separation: of held-out good images from those with synthetic defects (AUROC; 100 perfect, 50 a guess)",
    "loss: points of separation less than fp32's, expected on images like these, and measured on these",
    "difference: the largest from the same graph in exact arithmetic, of a score or of a map",
)


def print_forms(forms: Sequence[FormReport]) -> None:
    """Print every form with its figures, and what those that don't pass miss.

    How many layers run in which arithmetic is shown with ``--verbose``.
    """
    several = any(form.target for form in forms)
    rows = [_row(form) for form in forms]
    if several:
        rows = [(form.target, *row) for form, row in zip(forms, rows, strict=True)]
    print_table(rows, ("target", *HEADER) if several else HEADER)
    compared = any(form.cpu_ms is not None for form in forms)
    for line in LEGEND if compared else LEGEND[1:]:
        click.echo(f"  {line}")
    if logging.getLogger("edgead").isEnabledFor(logging.INFO):
        for form in forms:
            executed = ", ".join(f"{count} in {kind}" for kind, count in sorted(form.execution.items()))
            click.echo(f"  {_name(form)}: convolutions and matrix products: {executed or 'not known'}")
    for form in forms:
        if form.failure is not None:
            click.echo(f"{_name(form)} can't be used here: {form.failure}")
        elif form.misses:
            click.echo(f"{_name(form)} isn't used, it misses {'; '.join(map(say, form.misses))}")


def _name(form: FormReport) -> str:
    return f"{form.precision} for {form.target}" if form.target else form.precision


def _row(form: FormReport) -> tuple[str, ...]:
    measured = form.separation.measured_loss if form.separation else None
    return (
        form.precision,
        f"{form.p50_ms:.2f}" if form.p50_ms is not None else "-",
        f"{form.cpu_ms:.2f}" if form.cpu_ms is not None else "-",
        f"{form.model_bytes / 1e6:.1f}" if form.model_bytes else "-",
        f"{form.auroc:.2%}".removesuffix("%") if form.auroc is not None else "-",
        f"{form.loss * 100:.2f}" if form.loss is not None else "-",
        f"{measured * 100:.2f}" if measured is not None else "-",
        f"{max(form.parity.score, form.parity.map):.2%}" if form.parity else "-",
        "miss" if form.misses else "pass",
    )


def explain_choice(forms: Sequence[FormReport], chosen: Precision, asked: str) -> list[str]:
    """Say which form was taken and why, and of each other that passes why it wasn't.

    Args:
        asked: the precision that the user named, or ``auto``.
    """
    passing = [form for form in forms if not form.misses]
    taken = next(form for form in passing if form.precision == chosen)
    fastest = min(passing, key=lambda form: form.cpu_ms or 0.0)
    if asked != "auto":
        why = "as asked for"
    elif len(passing) == 1:
        why = "the only one that passes both gates"
    elif taken.cpu_ms is None:
        why = "the first in the target's order that passes both gates; they are timed on the device"
    elif taken is fastest:
        why = "the fastest that passes both gates"
    else:
        why = f"about as fast as {fastest.precision}, and more exact"
    told = [f"{chosen}: chosen, {why}{_against_fp32(taken, forms).replace(',', ';', 1)}"]
    for form in passing:
        if form is not taken:
            told.append(f"{form.precision}: passes too{_pace(form, taken)}{_against_fp32(form, forms)}")
    return told


def explain_targets(done: Export, asked: str) -> list[str]:
    """Say which target was taken of several and why, of each other why it wasn't.

    The taken one's forms have a sentence each, as with one target.

    Args:
        asked: the precision that the user named, or ``auto``.
    """
    taken = next(each for each in done.targets if each.target == done.bundle.manifest.target)
    rivals = [each for each in done.targets if each is not taken]
    timed = [each for each in rivals if each.cpu_ms is not None]
    why = "the fastest of what each target would ship" if timed else "the only target that ships anything"
    told = [f"{taken.target}, {taken.precision}: chosen, {why}"]
    for each in rivals:
        if each.precision is None:
            told.append(f"{each.target}: left out: {each.left_out}")
        else:
            ratio = (each.cpu_ms or 0.0) / (taken.cpu_ms or 1.0)
            pace = f"takes {ratio:.1f} times as long" if ratio >= 1.05 else "about as fast"
            told.append(f"{each.target}, {each.precision}: passes too, {pace}")
    mine = [form for form in done.forms if form.target == taken.target]
    return [*told, *(f"  {line}" for line in explain_choice(mine, done.chosen, asked))]


def _pace(form: FormReport, taken: FormReport) -> str:
    if form.cpu_ms is None or taken.cpu_ms is None:
        return ""
    ratio = form.cpu_ms / taken.cpu_ms
    if 1 / SAME_SPEED <= ratio <= SAME_SPEED:
        return f", about as fast as {taken.precision}"
    return f", takes {ratio:.1f} times as long as {taken.precision}"


def _against_fp32(form: FormReport, forms: Sequence[FormReport]) -> str:
    if form.precision == "fp32" or form.separation is None:
        return "; the others are compared with it" if len(forms) > 1 else ""
    loss = form.separation.expected_loss * 100
    lost = f"expected to lose {loss:.2f} points" if loss >= 0.005 else "expected to lose nothing"
    allowed = f"{form.separation.max_loss * 100:.2f} allowed"
    yardstick = next((f for f in forms if f.precision == "fp32"), None)
    faster = ""
    if yardstick and yardstick.cpu_ms and form.cpu_ms:
        faster = f", {yardstick.cpu_ms / form.cpu_ms:.1f} times as fast as fp32"
    return f"{faster}, {lost} against it ({allowed})" if faster else f", {lost} against fp32 ({allowed})"


__all__ = ["explain_choice", "explain_targets", "print_forms"]
