"""Progress that reports nothing: for callers who show none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def silent(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Report nothing; an ``edgead.types.Progress``."""
    yield lambda steps: None


__all__ = ["silent"]
