"""From folders of images to a bundle's new thresholds: what is judged, told, and kept of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgead.bundle import Bundle
from edgead.device.good_figures import GoodFigures, held_out_figures, of_held_out, of_images, together
from edgead.device.judging import digest_of, judge, kinds_in
from edgead.device.kept_trade_off import synthetic_defects
from edgead.device.recalibrate import Recalibration, Wanted, check, recalibrate
from edgead.device.trade_off import Scores
from edgead.errors import (
    CompileError,
    DeviceError,
    InputError,
    MissingDependencyError,
    ParityError,
)
from edgead.folders import left_out, list_images
from edgead.held_out import read_held_out
from edgead.names import shown
from edgead.notices import Notice
from edgead.runtime.detector import Detector
from edgead.types import Progress

MOST_NAMED = 50
"""Folders and kinds that a revision keeps the names of."""

OpenDetector = Callable[[Bundle], Detector]


@dataclass(frozen=True)
class Material:
    """What a calibration looks at.

    Attributes:
        good: folders of good images; empty for the bundle's held-out ones.
        defects: folders of defects, a subfolder a kind.
        group: which good images show one part; None to look for near copies.
        keep_held_out: whether the held-out images count beside the good ones.
    """

    good: tuple[Path, ...] = ()
    defects: tuple[Path, ...] = ()
    group: str | None = None
    keep_held_out: bool = False


@dataclass(frozen=True)
class Calibration:
    """New thresholds, and what they rest on.

    Attributes:
        found: the thresholds and what they do.
        good: figures of the good images.
        defects: by kind, image scores.
        source: what a revision keeps, JSON.
    """

    found: Recalibration
    good: GoodFigures
    defects: Mapping[str, Scores]
    source: Mapping[str, Any]


def calibrate_bundle(
    bundle: Bundle, wanted: Wanted, material: Material, open_detector: OpenDetector, progress: Progress
) -> Calibration:
    """Judge the images and calculate the thresholds; nothing is written.

    The detector is opened again, or for the first time, with the new thresholds: what it would refuse to load
    isn't handed back.

    Args:
        bundle: a compiled one.
        open_detector: opens a bundle for ``wanted.product`` where that is known, else for ``default``.

    Raises:
        InputError: it's no compiled bundle, or images or values can't be used.
        ParityError: this machine would give other verdicts at the new thresholds.
        EngineError: the engine isn't there, or fails.
    """
    check(wanted)
    if bundle.manifest.kind != "compiled":
        raise InputError(
            f"{bundle.path}: a fitted bundle, whose thresholds are of FP32 alone: export it, and calibrate "
            "what export writes"
        )
    if not material.good or material.keep_held_out:
        held_out_figures(bundle)  # that there are none shows before any image is judged
    good_paths = [path for folder in material.good for path in list_images(folder, good=True)]
    kinds = kinds_in(material.defects)
    detector = open_detector(bundle) if good_paths or kinds else None
    notices = [notice for folder in material.good for notice in left_out(folder)]
    good, source = _good(bundle, wanted, material, detector, good_paths, progress)
    defects: dict[str, Scores] = {}
    for kind, paths in kinds.items():
        assert detector is not None
        defects[kind] = judge(detector, paths, progress, f"defects: {kind}").scores.tolist()
    synthetic = {} if defects else _synthetic(bundle)
    found = recalibrate(bundle, wanted, good, defects or synthetic, synthetic=bool(synthetic))
    if detector is not None and (doubt := detector.depth_notice()):
        notices.append(doubt)
    if again := _held_out_again(bundle, material, wanted.product):
        notices.append(again)
    if unproven := _prove(bundle, found, detector, open_detector):
        notices.append(unproven)
    if kinds:
        source["defects"] = _about_defects(material, kinds, found)
    if detector is not None:
        source["runs_on"] = detector.runs_on
        source |= {"lessons": bundle.taught} if bundle.taught else {}
    found = replace(found, notices=(*notices, *found.notices))
    return Calibration(found, good, defects or synthetic, source)


def _good(
    bundle: Bundle,
    wanted: Wanted,
    material: Material,
    detector: Detector | None,
    paths: Sequence[Path],
    progress: Progress,
) -> tuple[GoodFigures, dict[str, Any]]:
    if detector is None or not paths:
        known = of_held_out(bundle)
        return known, {"good": {"held_out": len(known.scores)}}
    maps = wanted.pixel_regions is not None
    judged = judge(detector, paths, progress, "good images", thumbnails=material.group is None, maps=maps)
    good = of_images(judged, material.group, bundle)
    about: dict[str, Any] = {
        "images": len(paths),
        "folders": _names(material.good),
        "sha256": digest_of(paths),
    }
    if material.keep_held_out:
        known = of_held_out(bundle)
        good, about["held_out"] = together(known, good), len(known.scores)
    return good, {"good": about}


def _synthetic(bundle: Bundle) -> dict[str, Scores]:
    """Scores of the defects that edgead drew when it exported the bundle, by size, where they were kept."""
    figures = read_held_out(bundle)
    if figures is None:
        return {}
    return synthetic_defects(figures)


def _about_defects(
    material: Material, kinds: Mapping[str, Sequence[Path]], found: Recalibration
) -> dict[str, Any]:
    counts = {
        k: {"found": f.count, "images": f.total} for k, f in list(found.chosen.found.items())[:MOST_NAMED]
    }
    return {
        "kinds": counts,
        "images": sum(map(len, kinds.values())),
        "folders": _names(material.defects),
        "sha256": digest_of([path for paths in kinds.values() for path in paths]),
    }


def _names(folders: Sequence[Path]) -> list[str]:
    return [shown(folder.absolute().name) for folder in folders[:MOST_NAMED]]


def _held_out_again(bundle: Bundle, material: Material, product: str) -> Notice | None:
    """That an earlier calibration of a product on newer images gives way to the held-out ones."""
    if material.good or bundle.revision is None or bundle.revision.product != product:
        return None
    known = bundle.revision.source.get("good")
    images = known.get("images") if isinstance(known, Mapping) else None
    if not isinstance(images, int):
        return None
    return Notice("held-out-again", {"images": images, "when": bundle.revision.when})


def _prove(
    bundle: Bundle, found: Recalibration, detector: Detector | None, open_detector: OpenDetector
) -> Notice | None:
    """Load what will be written; a notice where that can't be done here and nothing needed it so far."""
    thresholds = {**bundle.manifest.thresholds, found.product: found.after}
    revised = replace(bundle, manifest=replace(bundle.manifest, thresholds=thresholds))
    try:
        if detector is not None:
            detector.with_thresholds(revised, product=found.product)
        else:
            open_detector(revised)
    except (MissingDependencyError, DeviceError, CompileError) as error:
        return Notice("not-proven", {"why": str(error).partition(";")[0]})
    except ParityError as error:
        told = str(error).removeprefix(f"{bundle.path}: ")
        raise ParityError(
            f"{bundle.path}: a detector with the new thresholds wouldn't load, so nothing is written: {told}"
        ) from None
    return None


__all__ = ["Calibration", "Material", "OpenDetector", "calibrate_bundle"]
