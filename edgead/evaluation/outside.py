"""Marked defects that lie where nothing is judged: wholly outside of a region of interest."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.areas import CONNECTIVITY
from edgead.names import shown
from edgead.notices import Notice


class Outside:
    """Counts them, image by image."""

    def __init__(self) -> None:
        self._masked = self._total = self._outside = 0
        self._images: list[str] = []

    def add(self, image: Path, mask: NDArray[np.bool_], inside: NDArray[np.bool_]) -> None:
        """Add an image's marks (H, W) bool, and where it's judged, (H, W) bool, both at the model's size."""
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=CONNECTIVITY)
        if count == 1:  # nothing is marked
            return
        judged = len(np.unique(labels[inside & mask]))
        self._masked += 1
        self._total += count - 1
        self._outside += count - 1 - judged
        if not judged:
            self._images.append(shown(Path(image.parent.name, image.name)))

    def notices(self) -> tuple[Notice, ...]:
        """How many they are; nothing where each defect is judged, in part at least."""
        if not self._outside:
            return ()
        values = {"count": self._outside, "total": self._total}
        if not self._images:
            return (Notice("roi-defects-partly", values),)
        own = {"images": len(self._images), "masked": self._masked, "example": self._images[0]}
        return (Notice("roi-defects", values | own),)


__all__ = ["Outside"]
