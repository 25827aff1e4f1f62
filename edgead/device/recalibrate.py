"""A new threshold for a bundle, from good images and perhaps defects: nothing is fitted or written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from edgead.bundle import Bundle
from edgead.conformal import images_needed
from edgead.device.calibrate import calibrate, quantile, round_up
from edgead.device.choosing import Aim, Cost, Recall, on_other_kinds
from edgead.device.false_regions import RegionRate, region_rate
from edgead.device.good_figures import GoodFigures
from edgead.device.rates import says_nothing
from edgead.device.trade_off import (
    Found,
    Scores,
    TradeOff,
    TradeOffRow,
    row_at,
    sureness,
    total,
    trade_off,
)
from edgead.errors import DatasetError, OptionError, UnknownNameError
from edgead.manifest import DEFAULT, ThresholdRecord, is_product
from edgead.notices import Notice, say
from edgead.runtime.regions import MIN_AREA

RATE = 0.01
"""Of false alarms, where none was ever aimed at."""
COST = ("before", "after", "defect_share")
"""What ``Recalibration.cost`` holds, in JSON's words."""
SMALLEST_AREA = MIN_AREA
"""Pixels of the anomaly map; see ``Wanted``."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of a calibration; at most one of ``rate``, ``aim`` and ``threshold``.

    Attributes:
        rate: of false alarms, between 0 and 1.
        aim: what the defects choose the threshold by.
        threshold: of the image score. With none of the three: the rate aimed at so far.
        product: whose thresholds.
        kinds: of defects, which alone choose the threshold; empty for all.
        pixel_regions: false regions a frame, over 0 and under 1, that the pixel threshold is set on; None for
            the rate of false alarms.
        smallest_area: pixels of the anomaly map that a region has at least, with ``pixel_regions``.
    """

    rate: float | None = None
    aim: Aim | None = None
    threshold: float | None = None
    product: str = DEFAULT
    kinds: tuple[str, ...] = ()
    pixel_regions: float | None = None
    smallest_area: int = SMALLEST_AREA


@dataclass(frozen=True)
class Recalibration:
    """A new threshold and what it does.

    Attributes:
        product: whose it is.
        is_new: whether it had no thresholds of its own.
        before: its thresholds so far; those of ``default`` where it had none.
        after: the new ones.
        trade_off: rates of false alarms against defects found, with the threshold so far.
        chosen: the new threshold's row.
        synthetic: whether the defects are those that edgead drew when the bundle was exported.
        other_kinds: of each kind, what is found at the threshold that the others choose; empty where defects
            choose none, or there's one kind.
        unchosen: of the kinds that had no say, what is found at the new threshold.
        regions: what the pixel threshold is set on; None where it's on the rate of false alarms.
        cost: expected cost of a part, so far and now, and the share of parts that are taken for defective;
            None where no cost was asked for.
        notices: what to know.
    """

    product: str
    is_new: bool
    before: ThresholdRecord
    after: ThresholdRecord
    trade_off: TradeOff
    chosen: TradeOffRow
    synthetic: bool
    other_kinds: Mapping[str, Found]
    unchosen: Mapping[str, Found]
    regions: RegionRate | None
    cost: tuple[float, float, float] | None
    notices: tuple[Notice, ...]

    def record(self) -> dict[str, Any]:
        """As JSON."""

        def by_kind(found: Mapping[str, Found]) -> dict[str, Any]:
            return {kind: each.record() for kind, each in found.items()}

        return {
            "product": self.product,
            "new_product": self.is_new,
            "before": figures_of(self.before),
            "after": figures_of(self.after),
            "trade_off": self.trade_off.record(),
            "chosen": self.chosen.record(),
            "synthetic_defects": self.synthetic,
            "other_kinds": by_kind(self.other_kinds),
            "unchosen": by_kind(self.unchosen),
            "regions": None if self.regions is None else asdict(self.regions),
            "cost": None if self.cost is None else dict(zip(COST, self.cost, strict=True)),
            "notices": [notice.record() for notice in self.notices],
        }


def figures_of(threshold: ThresholdRecord) -> dict[str, Any]:
    """A threshold's figures, with the sentence on them, as a JSON object."""
    return {**asdict(threshold), "note": say(threshold.notice())}


def recalibrate(
    bundle: Bundle, wanted: Wanted, good: GoodFigures, defects: Mapping[str, Scores], synthetic: bool = False
) -> Recalibration:
    """Calculate a product's new thresholds.

    Args:
        bundle: with the thresholds so far.
        good: figures of good images.
        defects: by kind, image scores of defects.
        synthetic: whether edgead drew them.

    Raises:
        OptionError: a value is out of range, or ``wanted`` needs defects or maps that aren't there.
        UnknownNameError: there are no defects of a kind in ``wanted.kinds``.
        DatasetError: a score isn't finite.
    """
    check(wanted)
    known = bundle.manifest.thresholds
    before = known.get(wanted.product, known[DEFAULT])
    choosing = _choosing(wanted, {} if synthetic else defects)
    rate = wanted.rate or before.false_positive_rate
    rate = rate if 0 < rate < 1 else RATE
    base = calibrate(good.scores, good.maxima, rate, good.groups, good.by_user)
    after = _image_threshold(wanted, base, good, choosing)
    after = replace(after, pixel=_pixel(wanted, after, before, good))
    regions = _regions(wanted, good)
    if regions is not None:
        after = replace(after, pixel=regions.threshold, smallest_area=regions.smallest_area)
    elif before.smallest_area:
        after = replace(after, pixel=before.pixel, smallest_area=before.smallest_area)
    chosen = row_at(good.scores, good.groups, defects, after.score)
    other_kinds = on_other_kinds(wanted.aim, good.scores, choosing, good.groups) if wanted.aim else {}
    found = Recalibration(
        product=wanted.product,
        is_new=wanted.product not in known,
        before=before,
        after=after,
        trade_off=trade_off(good.scores, good.groups, defects, current=before.score),
        chosen=chosen,
        synthetic=synthetic,
        other_kinds=other_kinds,
        unchosen={kind: each for kind, each in chosen.found.items() if wanted.kinds and kind not in choosing},
        regions=regions,
        cost=_cost(wanted.aim, good, choosing, before, after),
        notices=(),
    )
    return replace(found, notices=_notices(found, wanted, good, choosing))


def check(wanted: Wanted) -> None:
    """Raise OptionError where a value is out of range, before any image is judged."""
    if sum(each is not None for each in (wanted.rate, wanted.aim, wanted.threshold)) > 1:
        raise OptionError("rate, recall, cost and threshold exclude each other: give one of them")
    aim, regions = wanted.aim, wanted.pixel_regions
    if wanted.rate is not None and not 0 < wanted.rate < 1:
        raise OptionError(f"false-positive rate {wanted.rate} must be between 0 and 1, 0.01 for instance")
    if isinstance(aim, Recall) and not 0 < aim.share <= 1:
        raise OptionError(f"recall {aim.share} must be over 0 and up to 1, 0.9 for instance")
    if isinstance(aim, Cost):
        if not (0 < aim.miss < math.inf and 0 < aim.alarm < math.inf):
            raise OptionError(
                f"cost {aim.miss:g}:{aim.alarm:g} must be two numbers over 0, 100:1 for instance"
            )
        if not 0 < aim.defect_share < 1:
            raise OptionError(f"defect share {aim.defect_share} must be between 0 and 1, 0.01 for instance")
    if wanted.threshold is not None and not math.isfinite(wanted.threshold):
        raise OptionError(f"threshold {wanted.threshold} must be a finite number")
    if not is_product(wanted.product):
        raise OptionError(
            f"product {wanted.product!r} isn't a plain name: up to 64 letters, digits and . _ + -, as bolt-M8"
        )
    if regions is not None and not 0 < regions < 1:
        raise OptionError(f"{regions} regions a frame must be over 0 and under 1, 0.01 for instance")
    if wanted.smallest_area < MIN_AREA:
        raise OptionError(
            f"smallest area {wanted.smallest_area} must be at least {MIN_AREA} pixels of the anomaly map: "
            "smaller ones are never a region"
        )


def _choosing(wanted: Wanted, defects: Mapping[str, Scores]) -> dict[str, Scores]:
    """The defects that have a say."""
    for kind in wanted.kinds:
        if kind not in defects:
            raise UnknownNameError("kind of defect", kind, defects)
    chosen = {kind: scores for kind, scores in defects.items() if not wanted.kinds or kind in wanted.kinds}
    if wanted.aim is not None and not any(len(scores) for scores in chosen.values()):
        raise OptionError("recall and cost choose by defects: give some with --defects, one at least")
    return chosen


def _image_threshold(
    wanted: Wanted, base: ThresholdRecord, good: GoodFigures, choosing: Mapping[str, Scores]
) -> ThresholdRecord:
    rule: Literal["given", "recall", "cost"]
    if wanted.threshold is not None:
        score, rule = float(wanted.threshold), "given"
    elif wanted.aim is not None:
        if isinstance(wanted.aim, Cost) and says_nothing(good.groups):
            raise DatasetError(
                "the good images show parts that the model learned, so false alarms can't be weighed: give "
                "images of others with --good"
            )
        score = wanted.aim.threshold(good.scores, _all(choosing), good.groups)
        rule = "recall" if isinstance(wanted.aim, Recall) else "cost"
    else:
        return base
    row = row_at(good.scores, good.groups, {}, score)
    return replace(base, score=score, rule=rule, expected_rate=row.expected_rate, upper_rate=row.upper_rate)


def _pixel(wanted: Wanted, after: ThresholdRecord, before: ThresholdRecord, good: GoodFigures) -> float:
    """In step with the image threshold where that follows from images; as it was where it's set by hand."""
    if wanted.threshold is not None:
        return before.pixel
    if wanted.aim is None:
        return after.pixel
    if after.upper_rate >= 1:
        return before.pixel
    return round_up(quantile(good.maxima, after.expected_rate, good.groups).threshold)


def _regions(wanted: Wanted, good: GoodFigures) -> RegionRate | None:
    if wanted.pixel_regions is None:
        return None
    if not good.maps:
        raise OptionError("false regions are counted on good images' anomaly maps: give some with --good")
    largest = max(each.size for each in good.maps)
    if wanted.smallest_area > largest:
        raise OptionError(
            f"smallest area {wanted.smallest_area}: a whole map has {largest} pixels; give less"
        )
    return region_rate(good.maps, wanted.pixel_regions, wanted.smallest_area, good.map_groups)


def _cost(
    aim: Aim | None,
    good: GoodFigures,
    choosing: Mapping[str, Scores],
    before: ThresholdRecord,
    after: ThresholdRecord,
) -> tuple[float, float, float] | None:
    if not isinstance(aim, Cost):
        return None
    then, now = (
        aim.expected(good.scores, _all(choosing), each.score, good.groups) for each in (before, after)
    )
    return then, now, aim.defect_share


def _notices(
    found: Recalibration, wanted: Wanted, good: GoodFigures, choosing: Mapping[str, Scores]
) -> tuple[Notice, ...]:
    notices = list(good.notices)
    over = sum(score > found.before.score for score in good.scores)
    if good.source != "held-out" and over > len(good.scores) / 2:
        notices.append(Notice("good-over", {"over": over, "images": len(good.scores)}))
    if wanted.product != DEFAULT and good.source == "held-out":
        notices.append(Notice("product-of-default", {"product": wanted.product}))
    chosen = total({kind: each for kind, each in found.chosen.found.items() if kind in choosing})
    if chosen is not None:
        notices.append(sureness(chosen))
    if len(found.chosen.found) == 1 and not found.synthetic:
        notices.append(Notice("one-kind", {"kind": next(iter(found.chosen.found))}))
    regions = found.regions
    if regions is not None and not regions.is_shown:
        values = {"frames": regions.frames, "asked": regions.asked, "needed": images_needed(regions.asked)}
        notices.append(Notice("few-for-regions", {**values, "expected": regions.expected}))
    if regions is None and found.before.smallest_area:
        notices.append(Notice("pixel-kept"))
    if cheap := found.trade_off.notice():
        notices.append(cheap)
    return tuple(notices)


def _all(defects: Mapping[str, Scores]) -> list[float]:
    return [score for scores in defects.values() for score in scores]


__all__ = ["RATE", "SMALLEST_AREA", "Recalibration", "Wanted", "check", "figures_of", "recalibrate"]
