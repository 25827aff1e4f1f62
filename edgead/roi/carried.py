"""The region in a bundle: a PNG of one channel, 255 inside and 0 outside, and a record in the manifest."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgead.bundle import Bundle
from edgead.errors import CarriedImageError, ImageError
from edgead.images import decode_image
from edgead.manifest import RoiRecord
from edgead.resize import ResizeRule
from edgead.roi.roi import Roi
from edgead.roi.rule import RoiRule

FILE = "roi.png"
_ROUNDING = 1e-9


def write_roi(folder: Path, rule: ResizeRule) -> RoiRecord | None:
    """Write a rule's region into a bundle in the making; None, and nothing written, where it has none."""
    if not isinstance(rule, RoiRule):
        return None
    roi = rule.roi
    image = roi.mask.astype(np.uint8) * np.uint8(255)
    (folder / FILE).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return RoiRecord(FILE, *roi.size, roi.share, roi.fill)


def roi_of(bundle: Bundle) -> Roi | None:
    """The region of interest of a bundle, where it has one.

    Raises:
        CarriedImageError: the region's file is damaged, or not what the manifest says.
        BundleError: as ``Bundle.read``.
    """
    record = bundle.manifest.roi
    if record is None:
        return None
    file = bundle.path / record.file
    try:
        channels = decode_image(bundle.read(record.file), file)
    except ImageError as error:
        reason = str(error).removeprefix(f"{file}: ").partition(";")[0]
        raise _wrong(bundle, record, reason) from None
    if channels.shape[:2] != (record.height, record.width):
        raise _wrong(
            bundle, record, f"{channels.shape[0]} x {channels.shape[1]} pixels, and another size is recorded"
        )
    level = channels[..., 0]
    if not ((channels == level[..., None]).all() and ((level == 0) | (level == 255)).all()):
        raise _wrong(bundle, record, "values between outside and inside")
    mask = level == 255
    if abs(float(mask.mean()) - record.share) > _ROUNDING:
        raise _wrong(bundle, record, f"{mask.mean():.2%} inside, and {record.share:.2%} is recorded")
    roi = Roi(mask, record.fill)
    if bundle.manifest.windows is None and not roi.inside(bundle.manifest.input.size).any():
        raise _wrong(bundle, record, "nothing is left of it at the model's size")
    return roi


def _wrong(bundle: Bundle, record: RoiRecord, reason: str) -> CarriedImageError:
    return CarriedImageError(
        f"{bundle.path}: '{record.file}', its region of interest: {reason}; export the bundle again"
    )


__all__ = ["FILE", "roi_of", "write_roi"]
