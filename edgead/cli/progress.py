"""The progress bar of long work: on a terminal with rich, and silence everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgead.progress import silent

if TYPE_CHECKING:  # it would bring numpy, and a verb's help needs none
    from edgead.types import Progress


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
    def bar(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bar(*columns, console=Console(stderr=True), transient=True) as shown:
            task = shown.add_task(description, total=total)
            yield lambda steps: shown.advance(task, steps)

    return bar


__all__ = ["make_progress"]
