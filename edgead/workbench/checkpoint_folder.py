"""The folder beside a bundle in which a training keeps what it needs to go on after a kill."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)


def clear_checkpoint(folder: Path, began: int) -> None:
    """Remove what a fit that is done has written or used; what is older is another training's, and stays.

    Args:
        began: when the fit did, in nanoseconds as ``time.time_ns`` gives them.
    """
    others = 0
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            file = Path(place, name)
            try:
                if file.lstat().st_mtime_ns >= began:
                    file.unlink()
                else:
                    others += 1
            except OSError:
                pass  # what can't be removed costs room, and nothing else
        with suppress(OSError):
            Path(place).rmdir()
    if others:
        log.warning(
            "%s: what another training kept there, to go on from, stays: remove it if it's needed no more",
            folder,
        )


__all__ = ["clear_checkpoint"]
