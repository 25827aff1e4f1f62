"""What a web is judged by, as protocols: what gives anomaly maps of windows, and the limits on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgead.types import Image, Size


class Limits(Protocol):
    """The thresholds; a bundle's ``ThresholdRecord`` is one."""

    @property
    def score(self) -> float:
        """A defect's peak is over it."""
        ...

    @property
    def pixel(self) -> float:
        """Pixels of a defect are over it."""
        ...

    @property
    def smallest_area(self) -> int:
        """Smaller areas are no defects, in pixels."""
        ...


@runtime_checkable
class WindowJudge(Protocol):
    """Gives the anomaly maps of windows."""

    @property
    def size(self) -> Size:
        """(height, width) of a window, in pixels."""
        ...

    @property
    def margin(self) -> int:
        """Pixels from a window's edge where its map isn't to be used if a neighbour has them."""
        ...

    @property
    def limits(self) -> Limits:
        """The thresholds on the maps."""
        ...

    def anomaly_maps(self, images: Iterable[Image]) -> Iterator[NDArray[np.float32]]:
        """The maps (H, W) float32 of windows (H, W, 3) uint8 BGR, one of each, in their order.

        No window is changed before its map is yielded.

        Raises:
            InferenceError: there's no map of one (``NotFiniteError``: it holds no numbers); those of the
                windows before have been yielded, and the ones behind it are asked for again.
        """
        ...


__all__ = ["Limits", "WindowJudge"]
