"""Where edgead keeps what it can make again, converted backbones and compiled graphs: deleting it is safe."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return ``$EDGEAD_CACHE``, else ``edgead`` in ``$XDG_CACHE_HOME`` or ``~/.cache``; it may not exist."""
    if chosen := os.environ.get("EDGEAD_CACHE"):
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118
    return Path(home) / "edgead"
