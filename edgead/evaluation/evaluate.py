"""A bundle on labelled images: threshold-free metrics, and the verdicts at the bundle's own threshold.

Nothing is tuned on the test images. Pixel metrics are at the model's input size; ``edgead.masks`` says how
masks are read and how they get there: by area, with every region kept. DeSTSeg's authors resize them
bilinearly and round at one half (Zhang et al., CVPR 2023, section 4.2), which is the same for regions thicker
than a pixel of the input, and breaks a line into dots where a pixel stands for many of the image's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.datasets import Dataset
from edgead.errors import DatasetError, ImageError, OptionError
from edgead.evaluation.checking import SHOWN, Checked, check
from edgead.evaluation.figures import HEADER, figures
from edgead.evaluation.outside import Outside
from edgead.evaluation.titles import TITLES, interval, percent
from edgead.evaluation.verdicts import Source, Verdicts, verdicts
from edgead.manifest import DEFAULT
from edgead.metrics.pixels import PixelMetrics
from edgead.metrics.scores import Metric, image_metrics, image_samples
from edgead.metrics.uncertainty import DRAWS, resample, with_intervals
from edgead.metrics.verdicts import Share
from edgead.names import shown
from edgead.notices import Notice, count, say
from edgead.runtime.detector import Detector
from edgead.showing import paragraphs, table
from edgead.types import Image, Prediction, Progress, Sample

Draws = Mapping[str, NDArray[np.float64]]
"""A metric's name to its value on each bootstrap draw, (draws,)."""


@dataclass(frozen=True)
class Judged:
    """The verdict on one labelled image."""

    sample: Sample
    score: float
    is_anomalous: bool

    @property
    def is_wrong(self) -> bool:
        """A false alarm, or an escape."""
        return self.is_anomalous == self.sample.is_good


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What a bundle did on a data set.

    Attributes:
        images: every image with its verdict, in the data set's order.
        verdicts: escapes, false alarms and what follows from them, at the threshold of the verdicts.
        metrics: ``image_auroc``, ``image_ap``, ``image_f1_max``, ``pixel_auroc``, ``pixel_ap``,
            ``pixel_f1_max``, ``aupro_30``, ``aupro_5``, ``iap``, ``iap_90``; with intervals. None depends on
            the threshold.
        defects: defect to the same metrics of its images against all good ones. Pixel metrics are within
            0.002 there; see ``PixelMetrics.samples``.
        draws: the metrics on the bootstrap's draws, which are the same for every bundle on the same images.
        notices: what to know of the threshold, these images and masks.
        bundle_notices: what the bundle says about itself.
        problems: why images are in none of the figures, a line each; usually none.
        bundle: what was evaluated.
        dataset: the data set that the images are of, where it was opened as one.
        product: by whose thresholds.
    """

    images: tuple[Judged, ...]
    verdicts: Verdicts
    metrics: Mapping[str, Metric]
    defects: Mapping[str, Mapping[str, Metric]]
    draws: Draws = field(compare=False)
    notices: tuple[Notice, ...] = ()
    bundle_notices: tuple[Notice, ...] = ()
    problems: tuple[str, ...] = ()
    bundle: Bundle | None = None
    dataset: Dataset | None = None
    product: str = DEFAULT

    def __repr__(self) -> str:
        on = f" of {shown(self.dataset.name)}" if self.dataset else ""
        counts = f"{len(self.good)} good and {len(self.bad)} defective images{on}"
        auroc = self.metrics["image_auroc"].value if "image_auroc" in self.metrics else None
        told = "" if auroc is None else f", image AUROC {100 * auroc:.2f} %"
        wrong = f"{count(self.escapes, 'escape')} and {count(self.false_alarms, 'false alarm')}"
        at_best = self.verdicts.best
        f1 = "" if at_best is None else f", F1 {percent(self.verdicts.f1)} % ({100 * at_best.f1:.2f} at best)"
        left_out = f", {count(len(self.problems), 'image')} left out" if self.problems else ""
        return f"Evaluation({counts}: {wrong} at {self.threshold:.6g}{f1}{told}{left_out})"

    def _repr_html_(self) -> str:
        rows = [
            *(row[:4] for row in figures(self.verdicts)),
            *((TITLES.get(name, name), "", percent(m), interval(m)) for name, m in self.metrics.items()),
        ]
        known = self.dataset.notices if self.dataset else ()
        told = [*map(say, (*known, *self.notices)), *self.problems]
        return table(rows, (f"at {self.threshold:.6g}", *HEADER[:3])) + paragraphs(
            [f"note: {shown(text)}" for text in told]
        )

    @property
    def good(self) -> tuple[Judged, ...]:
        """The good images."""
        return tuple(j for j in self.images if j.sample.is_good)

    @property
    def bad(self) -> tuple[Judged, ...]:
        """The defective images."""
        return tuple(j for j in self.images if not j.sample.is_good)

    @property
    def threshold(self) -> float:
        """What the verdicts were given at."""
        return self.verdicts.threshold

    @property
    def threshold_source(self) -> Source:
        """Whether it's the bundle's own, or another that the caller chose."""
        return self.verdicts.source

    @property
    def false_alarms(self) -> int:
        """Good images that the threshold calls anomalous."""
        return self.verdicts.false_alarms.count

    @property
    def escapes(self) -> int:
        """Defective images that it lets through."""
        return self.verdicts.escapes.count

    def record(self) -> dict[str, Any]:
        """One JSON object: metrics as fractions by name, None where undefined and then with the reason.

        ``verdicts`` has the figures that depend on the threshold.
        """
        wrong, alarms = self.verdicts.escapes.record(), self.verdicts.false_alarms.record()
        return {
            "verdicts": self.verdicts.record(),
            **{name: metric.value for name, metric in self.metrics.items()},
            "intervals": {name: list(m.interval) for name, m in self.metrics.items() if m.interval},
            "undefined": {name: say(m.reason) for name, m in self.metrics.items() if m.reason},
            "undefined_codes": {name: m.reason.code for name, m in self.metrics.items() if m.reason},
            "no_interval": {name: say(m.no_interval) for name, m in self.metrics.items() if m.no_interval},
            "no_interval_codes": {n: m.no_interval.code for n, m in self.metrics.items() if m.no_interval},
            "defects": {
                shown(defect): {
                    **_counted(self.verdicts.kinds[defect]),
                    **{name: metric.value for name, metric in metrics.items()},
                }
                for defect, metrics in self.defects.items()
            },
            "good": len(self.good),
            "bad": len(self.bad),
            "false_alarms": self.false_alarms,
            "false_alarms_interval": alarms["interval"],
            "escapes": self.escapes,
            "escapes_interval": wrong["interval"],
            "threshold": self.threshold,
            "threshold_source": self.threshold_source,
            "notices": [notice.record() for notice in self.notices],
            "bundle_notices": [notice.record() for notice in self.bundle_notices],
            "problems": list(self.problems),
        }


def _counted(escapes: Share) -> dict[str, Any]:
    told = escapes.record()
    return {"images": told["total"], "escapes": told["count"], "escapes_interval": told["interval"]}


OnImage = Callable[[Judged, Image, Prediction, NDArray[np.bool_]], None]
"""Is given an image's verdict, the frame, its prediction and the (H, W) mask at the model's input size."""


def evaluate(
    detector: Detector,
    samples: Sequence[Sample],
    on_image: OnImage = lambda judged, frame, prediction, mask: None,
    draws: int = DRAWS,
    *,
    threshold: float | None = None,
    checked: Checked | None = None,
) -> Evaluation:
    """Run the detector on every sample.

    Memory doesn't grow with the number of images, but by some kilobytes each and what ``PixelMetrics`` keeps.

    Args:
        on_image: is called for each, in order: for progress, galleries, saved maps.
        draws: how often the bootstrap draws images for the intervals; 0 for none.
        threshold: for the verdicts instead of the detector's; the metrics don't depend on it.
        checked: what ``check`` found for these samples and this detector's rule; without it they're checked
            first.

    Raises:
        DatasetError: there are no samples, a mask isn't of its image's size, or no image can be read.
        ImageError: an image or mask can't be read. One that shows so only when it's decoded is left out
            instead, and told in ``problems``: the others have been judged by then.
        OptionError: the threshold isn't a finite number.
    """
    if not samples:
        raise DatasetError("no test images to evaluate on; give a folder with good/ and defect folders")
    limit = _finite(detector.threshold if threshold is None else threshold)
    if checked is None:
        checked = check(samples, detector.rule)
    pixels, outside = PixelMetrics(), Outside()
    images: list[Judged] = []
    problems: list[str] = []
    under_way: list[tuple[int, Image]] = []

    def frames() -> Iterator[Image]:
        with closing(detector.read_ahead(sample.image for sample in samples)) as read:
            for index, frame in enumerate(read):
                if isinstance(frame, ImageError):
                    problems.append(str(frame))
                    continue
                under_way.append((index, frame))
                yield frame

    for prediction in detector.map(frames(), held=True):
        index, frame = under_way.pop(0)
        sample, mask = samples[index], checked.mask(index)
        judged = Judged(sample, prediction.score, prediction.score > limit)
        area = detector.rule.valid_area(frame.shape)
        inside = detector.rule.inside(frame.shape)
        pixels.add(
            prediction.anomaly_map[area],
            None if mask is None else mask[area],
            bad=not sample.is_good,
            inside=None if inside is None else inside[area],
        )
        if inside is not None and mask is not None:
            outside.add(sample.image, mask, inside)
        images.append(judged)
        marks = np.zeros(prediction.anomaly_map.shape, bool) if mask is None else mask
        on_image(judged, frame, prediction, marks)
    if not images:
        raise DatasetError(f"no test image can be read: {problems[0]}")
    scores = np.array([j.score for j in images])
    bad = np.array([not j.sample.is_good for j in images])
    weights = resample(bad, draws)
    own = detector.bundle.manifest.thresholds[detector.product]
    kinds = [None if j.sample.is_good else j.sample.defect for j in images]
    at_threshold = verdicts(scores, kinds, limit, own, weights)
    drawn = {**image_samples(scores, bad, weights), **pixels.samples(weights)}
    metrics = with_intervals({**image_metrics(scores, bad), **pixels.metrics()}, drawn, bad)
    notices = [*at_threshold.notices(), *checked.notices, *outside.notices()]
    if problems:
        named = " | ".join(problems[:SHOWN])
        values = {"count": len(problems), "total": len(samples), "problems": named}
        notices.insert(0, Notice("left-out", values))
    notices += [doubt for doubt in (detector.depth_notice(), detector.size_notice()) if doubt]
    return Evaluation(
        images=tuple(images),
        verdicts=at_threshold,
        metrics=metrics,
        defects=_by_defect([j.sample for j in images], scores, bad, pixels, metrics),
        draws=drawn,
        notices=tuple(notices),
        bundle_notices=detector.bundle.notices,
        problems=tuple(problems),
        bundle=detector.bundle,
        product=detector.product,
    )


def judge(
    detector: Detector,
    samples: Sequence[Sample],
    progress: Progress,
    what: str = "images",
    on_image: OnImage = lambda judged, frame, prediction, mask: None,
    draws: int = DRAWS,
    threshold: float | None = None,
) -> Evaluation:
    """``evaluate`` with progress: one bar for checking the files, one for judging ``what``."""
    if threshold is not None:
        _finite(threshold)  # before any file is read
    with progress(f"checking {what}", len(samples)) as advance:
        checked = check(samples, detector.rule, advance)
    with progress(f"judging {what}", len(samples)) as advance:

        def each(*image: Any) -> None:
            on_image(*image)
            advance(1)

        return evaluate(detector, samples, each, draws, threshold=threshold, checked=checked)


def _finite(threshold: float) -> float:
    if not math.isfinite(threshold):
        raise OptionError(f"threshold {threshold} must be a finite number")
    return float(threshold)


def _by_defect(
    samples: Sequence[Sample],
    scores: NDArray[np.float64],
    bad: NDArray[np.bool_],
    pixels: PixelMetrics,
    metrics: Mapping[str, Metric],
) -> dict[str, dict[str, Metric]]:
    kinds = list(dict.fromkeys(s.defect for s in samples if not s.is_good))
    chosen = np.array([[s.is_good or s.defect == kind for s in samples] for kind in kinds], np.int64)
    if not kinds:
        return {}
    values = {**image_samples(scores, bad, chosen), **pixels.samples(chosen)}
    return {
        kind: {
            name: Metric(float(values[name][row]))
            if np.isfinite(values[name][row])
            else Metric(None, metric.reason or Notice("defect-unmarked"))
            for name, metric in metrics.items()
        }
        for row, kind in enumerate(kinds)
    }


__all__ = ["Evaluation", "Judged", "OnImage", "evaluate", "judge"]
