"""How long work is reported: not at all, or as a bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it would bring numpy
    from edgead.types import Progress


@contextmanager
def silent(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Report nothing; an ``edgead.types.Progress``."""
    yield lambda steps: None


@contextmanager
def bar(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Report as a bar on stderr that vanishes when done; an ``edgead.types.Progress``.

    It takes a terminal, and rich of the extra ``fit``: without either nothing is shown.
    """
    with make_progress()(description, total) as advance:
        yield advance


def make_progress(quiet: bool = False) -> Progress:
    """Return what reports progress: a bar on stderr that vanishes when done, or ``silent``.

    Args:
        quiet: no bar, whatever stderr is.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        return silent
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
    except ModuleNotFoundError:
        return silent

    @contextmanager
    def shown_bar(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bar(*columns, console=Console(stderr=True), transient=True) as shown:
            task = shown.add_task(description, total=total)
            yield lambda steps: shown.advance(task, steps)

    return shown_bar


__all__ = ["bar", "make_progress", "silent"]
