"""The threshold-free metrics as running sums down the scores: the one place where their formulas are.

A ``Curve`` is fed how many good and defective things have each score, from the highest score down, in as many
pieces as suits the caller: all at once for images, block by block for a billion pixels, a thousand resamples
side by side for intervals. "Predicted" at a threshold is everything of that score or over it; things of equal
score are predicted together, so ties need no rule of their own.

- AUROC: the trapezoids under true-positive over false-positive rate; a tie counts half.
- AP, average precision: the sum of precision times the recall gained at each score, no interpolation (what
  scikit-learn's ``average_precision_score`` computes).
- F1-max: the largest 2 TP / (2 TP + FP + FN) over all scores.
- AUPRO: per-region overlap is the share of a defective region's pixels that are predicted, averaged over
  all regions, each counting the same whatever its size. The area under it over the false-positive rate of
  all good pixels of all images, from 0 to a limit and divided by the limit; the curve is linear between
  neighbouring scores, also where the limit falls between two (Bergmann et al., "The MVTec Anomaly Detection
  Dataset", IJCV 129, 2021; limit 0.3 there, 0.05 for MVTec AD 2). No thresholds are sampled, and the divisor
  is the limit, not the last false-positive rate met.
- IAP, instance average precision: a region is found once more than half of its pixels are predicted; the
  sum of pixel precision times the share of regions newly found, as AP. IAP@90 is the pixel precision at the
  highest threshold that finds at least 90 % of the regions (Zhang et al., "DeSTSeg", CVPR 2023, section 4.2).
  The authors' published code lifts each precision to the best at any lower threshold first, which the text
  doesn't say: its values are never lower than these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LIMITS = {"aupro_30": 0.30, "aupro_5": 0.05}
"""Name of the metric to its false-positive-rate limit."""


class Curve:
    """Running sums over descending scores; see the module's text.

    Args:
        good, bad: how many there are in all, shape S (a scalar, or one for each resample).
        regions: number of defective regions, shape S; without it there is no AUPRO and no IAP.
    """

    def __init__(self, good: Values | float, bad: Values | float, regions: Values | float | None = None):
        self._good, self._bad = np.asarray(good, np.float64), np.asarray(bad, np.float64)
        self._regions = None if regions is None else np.asarray(regions, np.float64)
        zero = np.zeros_like(self._good)
        self._fp, self._tp, self._overlap, self._found = zero, zero, zero, zero
        self._roc, self._ap, self._f1, self._iap = zero, zero, zero, zero
        self._pro = {name: zero for name in LIMITS}
        self._iap_90 = np.full_like(zero, np.nan)

    def extend(
        self, good: Values, bad: Values, overlap: Values | None = None, found: Values | None = None
    ) -> None:
        """Go on down the curve.

        Args:
            good, bad: how many have each score, the highest score first; whole numbers, shape (*S, scores).
            overlap: sum of 1 / (size of its region) over those defective pixels.
            found: number of regions of which more than half of the pixels have this score or more, and not
                the one before it.
        """
        fp = self._fp[..., None] + np.cumsum(good, axis=-1)
        tp = self._tp[..., None] + np.cumsum(bad, axis=-1)
        precision = tp / np.maximum(tp + fp, 1)  # counts are whole: the 1 only keeps 0/0 out
        self._roc = self._roc + ((tp - bad / 2) * good).sum(axis=-1)
        self._ap = self._ap + (bad * precision).sum(axis=-1)
        f1 = 2 * tp / np.maximum(tp + fp + self._bad[..., None], 1)
        self._f1 = np.maximum(self._f1, f1.max(axis=-1, initial=0))
        if self._regions is not None and overlap is not None and found is not None:
            self._extend_pro(fp, good, overlap)
            self._extend_iap(precision, found)
        self._fp, self._tp = self._fp + good.sum(axis=-1), self._tp + bad.sum(axis=-1)

    def _extend_pro(self, fp: Values, good: Values, overlap: Values) -> None:
        """Add overlap times false positives; both are divided by their totals in ``values``."""
        end = self._overlap[..., None] + np.cumsum(overlap, axis=-1)
        for name, limit in LIMITS.items():
            room = limit * self._good[..., None] - (fp - good)
            inside = np.clip(room / np.maximum(good, 1), 0, 1)  # the share of the step before the limit
            area = inside * good * (end - overlap + inside * overlap / 2)
            self._pro[name] = self._pro[name] + area.sum(axis=-1)
        self._overlap = self._overlap + overlap.sum(axis=-1)

    def _extend_iap(self, precision: Values, found: Values) -> None:
        assert self._regions is not None
        self._iap = self._iap + (found * precision).sum(axis=-1)
        # In whole numbers: 0.9 * 10 regions must be 9.
        reached = 10 * (self._found[..., None] + np.cumsum(found, axis=-1)) >= 9 * self._regions[..., None]
        if reached.shape[-1]:
            first = reached.argmax(axis=-1)[..., None]
            here = np.take_along_axis(precision, first, axis=-1)[..., 0]
            new = np.isnan(self._iap_90) & reached.any(axis=-1)
            self._iap_90 = np.where(new, here, self._iap_90)
        self._found = self._found + found.sum(axis=-1)

    def values(self) -> dict[str, Values]:
        """Return name to values of shape S, NaN where there's nothing good or nothing defective."""
        with np.errstate(divide="ignore", invalid="ignore"):
            undefined = np.where((self._good > 0) & (self._bad > 0), 0.0, np.nan)
            found = {
                "auroc": self._roc / (self._good * self._bad),
                "ap": self._ap / self._bad,
                "f1_max": self._f1,
            }
            if self._regions is not None:
                for name, limit in LIMITS.items():
                    found[name] = self._pro[name] / (limit * self._good * self._regions)
                found["iap"] = self._iap / self._regions
                found["iap_90"] = self._iap_90
            return {name: value + undefined for name, value in found.items()}


__all__ = ["LIMITS", "Curve"]
