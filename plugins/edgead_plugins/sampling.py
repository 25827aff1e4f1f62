"""A few of many, spread evenly to both ends; ``edgead.sampling.spread`` leaves the last one out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def evenly_spread(n: int, most: int) -> NDArray[np.int64]:
    """Indices of at most so many of ``n`` things, first and last among them, ascending."""
    return np.linspace(0, n - 1, min(most, n)).round().astype(np.int64)


__all__ = ["evenly_spread"]
