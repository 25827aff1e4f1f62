"""Keep other packages' prints off stdout, one thread at a time: Python has one stdout for all of them."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator

_stdout = threading.RLock()


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Drop what is printed within the block.

    Two blocks that overlapped in time would each restore what the other had put there, and the program's own
    stdout would be lost; so the second thread waits for the first.
    """
    with _stdout, contextlib.redirect_stdout(io.StringIO()):
        yield


__all__ = ["quiet_stdout"]
