"""The steps of long work in the log: each step that reports progress is a record, with how long it took."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgead.types import Progress


def logged(progress: Progress, log: logging.Logger) -> Progress:
    """The same progress, each of whose steps also goes to the log: its start at DEBUG, its end at INFO."""

    @contextmanager
    def step(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        log.debug("%s ...", description)
        began = time.perf_counter()
        with progress(description, total) as advance:
            yield advance
        log.info("%s: %.2f s", description, time.perf_counter() - began)

    return step


__all__ = ["logged"]
