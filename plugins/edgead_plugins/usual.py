"""What's usual of a map of errors: its mean and deviation on good images, at each position.

A network that was trained on good images is wrong at some positions more than at others, at the border of a
part or of the image above all. Measured against its own position, an error there hides no defect elsewhere.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BLUR = 1.0
"""Standard deviation in positions of the Gaussian that a position's moments are averaged with."""
PRIOR = 5
"""So many images more are taken to have had the whole map's mean and deviation everywhere, since a few good
images know little of a single position."""
LEAST = 0.1
"""A position's deviation is at least this share of the map's."""

Floats = NDArray[np.float64]


def whole(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation (1, 1) of all positions, of (h, w) means and means of squares over images."""
    mean = first.mean(keepdims=True)
    return mean, np.sqrt(np.maximum(second.mean(keepdims=True) - mean**2, 0.0))


def by_position(first: Floats, second: Floats, images: int) -> tuple[Floats, Floats]:
    """Mean and deviation (h, w) at each position, of (h, w) means and means of squares over the images."""
    mean, deviation = whole(first, second)
    near = _blurred(first)
    variance = np.maximum(_blurred(second) - near**2, 0.0)
    share = images / (images + PRIOR)
    varies = np.sqrt(share * variance + (1 - share) * deviation**2)
    return share * near + (1 - share) * mean, np.maximum(varies, LEAST * deviation)


def _blurred(values: Floats) -> Floats:
    found = cv2.GaussianBlur(values, (0, 0), BLUR, borderType=cv2.BORDER_REFLECT)
    return np.asarray(found, np.float64)


__all__ = ["BLUR", "LEAST", "PRIOR", "by_position", "whole"]
