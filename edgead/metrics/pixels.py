"""Pixel and region metrics of any number of anomaly maps, fed one at a time, exact in bounded memory.

``edgead.metrics.curves`` has the definitions. Every pixel of every image counts, those of good images too;
a defective region is an 8-connected component of an image's mask.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.errors import InputError
from edgead.metrics.counting import Keys, PixelCounts, keys_of
from edgead.metrics.curves import Curve, Values
from edgead.metrics.histograms import ImageHistograms
from edgead.metrics.scores import Metric
from edgead.notices import Notice

MEMORY = 800 << 20
"""Bytes for counters and histograms of one set of maps; what few or alike scores don't need isn't taken."""

NAMES = {"auroc": "pixel_auroc", "ap": "pixel_ap", "f1_max": "pixel_f1_max"}
"""What a curve's metric is called of pixels; the others keep their names."""


class PixelMetrics:
    """Collects anomaly maps with their masks and computes the metrics over all their pixels.

    Example:
        >>> pixels = PixelMetrics()
        >>> pixels.add(np.float32([[0, 1], [2, 9]]), np.array([[False, False], [False, True]]))
        >>> pixels.metrics()["pixel_auroc"].value
        1.0

    Args:
        memory: bytes for counters and histograms; the counters take 32 MiB of it whatever is given. 800 MiB
            keep every figure exact, however many maps there are, where good pixels' scores spread over a
            factor of 128 and defective ones' over a factor of 8, and further where they leave gaps.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._counts = PixelCounts(memory * 3 // 4)
        self._histograms = ImageHistograms(memory // 4)
        self._found: list[Keys] = []
        self._images = self._bad_images = self._without_mask = 0

    @property
    def bits(self) -> int:
        """Significant bits of a score that are told apart at least: 24 is all, and the metrics are exact."""
        return self._counts.bits

    def add(
        self,
        anomaly_map: NDArray[np.float32],
        mask: NDArray[np.bool_] | None = None,
        *,
        bad: bool | None = None,
        inside: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add an image.

        Args:
            anomaly_map: (H, W) float32, finite, without a letterbox's border; sizes may differ from image to
                image.
            mask: (H, W) bool, True where defective; None for a good image, and for a bad one of which nobody
                drew a mask: then no pixel metric is defined.
            bad: whether the image is labelled bad; without it, it is where the mask marks a pixel.
            inside: (H, W) bool, the pixels that count, and what the mask marks of them; None for all.

        Raises:
            edgead.errors.InputError: a wrong type or shape, a value that isn't finite, or a good image whose
                mask marks pixels. Nothing was added then.
        """
        marked = _check(anomaly_map, mask, inside, self._images)
        if bad is None:
            bad = marked
        if marked and not bad:
            raise InputError(
                f"image {self._images} is labelled good but its mask marks pixels: correct one of them"
            )
        keys = keys_of(np.ascontiguousarray(anomaly_map))
        empty = np.empty(0, np.uint32)
        judged = mask if mask is None or inside is None else mask & inside
        if judged is not None and judged.any():
            defective, weights, found = _regions(keys, judged)
            good = keys[~judged if inside is None else inside & ~judged]
            self._counts.add_bad(defective, weights)
        else:
            good = keys.ravel() if inside is None else keys[inside]
            defective, weights, found = empty, np.empty(0), empty
        self._counts.add_good(good)
        self._histograms.add(good, defective, weights, found)
        self._found.append(found)
        self._images += 1
        self._bad_images += bad
        self._without_mask += bad and mask is None

    def metrics(self) -> dict[str, Metric]:
        """Return pixel_auroc, pixel_ap, pixel_f1_max, aupro_30, aupro_5, iap and iap_90.

        All are undefined, with the reason, where a bad image has no mask or there are no good or no defective
        pixels.
        """
        reason = self._why_undefined()
        found = np.concatenate(self._found) if self._found else np.empty(0, np.uint32)
        curve = Curve(self._counts.good, self._counts.bad, found.size)
        if not reason:
            own = np.sort(self._counts.shorten(found))
            for block in self._counts.blocks():
                regions = np.searchsorted(own, block.keys, "right") - np.searchsorted(own, block.keys, "left")
                curve.extend(block.good, block.bad, block.overlap, regions.astype(np.float64))
        return {
            NAMES.get(name, name): Metric(None, reason) if reason else Metric(float(value))
            for name, value in curve.values().items()
        }

    def samples(self, weights: NDArray[np.int64]) -> dict[str, Values]:
        """Compute the pixel metrics once for each row of weights, approximately.

        They're read off at about a thousand scores instead of at all (``edgead.metrics.histograms``):
        within 0.002 of the exact values in the tests.

        Args:
            weights: (n, images) in the order of ``add``, how often each image is taken; rows of
                ``edgead.metrics.uncertainty.resample``, or ones and zeros for a part of the images.

        Returns:
            The names of ``metrics`` to (n,) float64; NaN where a row is undefined.

        Raises:
            edgead.errors.InputError: the weights are for another number of images.
        """
        if weights.ndim != 2 or weights.shape[1] != self._images:
            raise InputError(
                f"weights of shape {weights.shape} for {self._images} images: pass a column for each"
            )
        if self._why_undefined() or not len(weights):
            return {name: np.full(len(weights), np.nan) for name in self.metrics()}
        sampled = self._histograms.samples(weights, self._counts, np.concatenate(self._found))
        return {NAMES.get(name, name): values for name, values in sampled.items()}

    def _why_undefined(self) -> Notice | None:
        if not self._images:
            return Notice("no-images")
        if self._without_mask:
            return Notice("defective-unmasked", {"images": int(self._without_mask)})
        if not self._bad_images:
            return Notice("no-bad-images")
        if not self._counts.bad:
            return Notice("masks-mark-nothing")
        return None if self._counts.good else Notice("masks-mark-all")


def _check(
    anomaly_map: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    inside: NDArray[np.bool_] | None,
    index: int,
) -> bool:
    """Return whether the mask marks a pixel; raises InputError for what can't be added."""
    if anomaly_map.ndim != 2 or not anomaly_map.size or anomaly_map.dtype != np.float32:
        raise InputError(
            f"the anomaly map of image {index} is {anomaly_map.dtype} {anomaly_map.shape}: "
            "pass float32 (H, W)"
        )
    if not np.isfinite(anomaly_map).all():
        raise InputError(
            f"the anomaly map of image {index} holds values that aren't finite: fit the bundle again, "
            "or leave the image out"
        )
    if inside is not None and (inside.dtype != np.bool_ or inside.shape != anomaly_map.shape):
        raise InputError(
            f"what counts of image {index} is {inside.dtype} {inside.shape}: "
            f"pass bool of the map's {anomaly_map.shape}"
        )
    if mask is None:
        return False
    if mask.dtype != np.bool_ or mask.shape != anomaly_map.shape:
        raise InputError(
            f"the mask of image {index} is {mask.dtype} {mask.shape}: "
            f"pass bool of the map's {anomaly_map.shape}"
        )
    return bool(mask.any())


def _regions(keys: Keys, mask: NDArray[np.bool_]) -> tuple[Keys, Values, Keys]:
    """Return the defective pixels' keys, 1 / size of each one's region, and each region's own key.

    A region's own key is the largest at which more than half of its pixels are predicted: the pixel of rank
    size // 2 + 1 from the highest.
    """
    labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1][mask]
    # Sorted by region, then by key, in one go: a region's number above a pixel's 32 bits.
    joined = np.sort(labels.astype(np.uint64) << np.uint64(32) | keys[mask])
    sizes = np.bincount(labels)[1:]
    ends = np.cumsum(sizes)
    inside = joined.astype(np.uint32)
    return inside, np.repeat(1 / sizes, sizes), inside[ends - 1 - sizes // 2]


__all__ = ["MEMORY", "PixelMetrics"]
