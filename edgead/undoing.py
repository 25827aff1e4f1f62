"""A file's change that is taken back where what comes after it fails."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgead.files import output_errors, sync, written_beside


@contextmanager
def put_back(file: Path) -> Iterator[None]:
    """Where the block raises, a file is as it was before again, its rights too, or absent.

    What that needs is on the disk before the block begins, so that a disk that's full by then doesn't prevent
    it. Killed in the block, the copy lies beside the file as any leftover.

    Raises:
        edgead.errors.OutputError: the copy can't be written; the block isn't entered.
    """
    with contextlib.ExitStack() as stack:
        with output_errors(file):
            there = os.path.lexists(file)
            content, mode = (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) if there else (None, 0)
        copy = None if content is None else stack.enter_context(written_beside(file, content, mode))
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                if copy is None:
                    file.unlink(missing_ok=True)
                else:
                    copy.replace(file)
                sync(file.parent)
            raise


__all__ = ["put_back"]
