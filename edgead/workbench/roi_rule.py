"""The region of interest at a fit: whether it's of these images, and what all else is painted in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgead.errors import ImageError, RoiError
from edgead.images import read_image
from edgead.resize import ResizeRule
from edgead.roi import Drawn, Roi, RoiRule
from edgead.sampling import spread
from edgead.types import Progress

LOOKED_AT = 50
"""Images, spread over all, whose mean colour inside is the fill: any neutral colour would do."""


def with_roi(
    rule: ResizeRule, drawn: Drawn, paths: Sequence[Path], depth: int | None, progress: Progress
) -> RoiRule:
    """The rule with a region of interest, filled outside with the mean colour of the images' inside.

    Images that can't be read are passed over here, and so are those of another aspect where others have the
    region's: both are named when all are read.

    Raises:
        RoiError: no image has the region's aspect, or nothing of it is left at the model's size.
    """
    roi = Roi(drawn.mask, (0, 0, 0))
    if not roi.inside(rule.size).any():
        raise RoiError(
            f"the region of interest, drawn on {_told(roi.size)}, is so thin that nothing of it is left at "
            f"the model's input of {_told(rule.size)} (height x width): draw it larger, or give a larger size"
        )
    means, others = [], []
    chosen = [paths[i] for i in spread(len(paths), LOOKED_AT)]
    with progress("measuring the region of interest", len(chosen)) as advance:
        for path in chosen:
            try:
                image = read_image(path, depth)
                if roi.fits(image.shape):
                    means.append(cv2.mean(image, roi.inside(image.shape).view(np.uint8))[:3])
                else:
                    others.append((image.shape[0], image.shape[1]))
            except ImageError:
                pass
            advance(1)
    if others and not means:
        raise RoiError(
            f"the region of interest was drawn on {_told(roi.size)}, and the images are {_told(others[0])} "
            "(height x width), of another aspect: draw it on one of the images"
        )
    blue, green, red = np.round(np.mean(means or [(0, 0, 0)], axis=0)).astype(int).tolist()
    return RoiRule(rule.size, rule.mode, roi=Roi(drawn.mask, (blue, green, red)))


def _told(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"


__all__ = ["with_roi"]
