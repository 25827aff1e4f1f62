"""What a call doubts, told where nobody looks at the record: in the log, at WARNING."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgead.names import shown

if TYPE_CHECKING:
    from edgead.notices import Notice

log = logging.getLogger("edgead.notes")


def tell(notices: Iterable[Notice | str]) -> None:
    """Log each in one sentence; without a handler of the program's, Python prints it to stderr."""
    for notice in notices:
        log.warning("%s", shown(str(notice)))


@contextmanager
def untold() -> Iterator[None]:
    """Log nothing of the kind while the block runs: a verb prints it itself."""
    before = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before


__all__ = ["tell", "untold"]
