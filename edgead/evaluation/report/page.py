"""Puts the report together: one HTML file that fetches nothing and runs nothing but its own script."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgead.bundle import Bundle
from edgead.evaluation.evaluate import Evaluation
from edgead.evaluation.figures import figures
from edgead.evaluation.report.about import about
from edgead.evaluation.report.gallery import Gallery, names
from edgead.evaluation.report.records import Timing, is_unsure, parts, reasons, rows
from edgead.evaluation.report.rendering import render
from edgead.evaluation.table import remarks
from edgead.files import write_file
from edgead.heatmap import heatmap
from edgead.metrics.scores import CurvePoints, pr_curve, roc_curve
from edgead.names import shown
from edgead.types import GOOD

BLOCK = 200
"""Images whose pictures lie in one element, so that the browser reads only what it shows."""


def write_report(
    path: Path,
    title: str,
    found: Evaluation,
    gallery: Gallery,
    bundle: Bundle,
    *,
    timing: Timing | None = None,
    facts: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the report, whole or not at all.

    Args:
        path: of the ``.html`` file; its folder must exist.
        title: what was evaluated on what.
        found: the evaluation.
        gallery: what ``evaluate`` gave to its ``add``: the same images.
        bundle: what was evaluated.
        timing: latencies, where they were measured.
        facts: name to text, shown before the bundle's own.
        notes: what else the reader should know, a line each.

    Raises:
        edgead.errors.OutputError: it can't be written.
        edgead.errors.MissingDependencyError: Jinja isn't installed.
        ValueError: the gallery's images aren't the evaluation's.
    """
    if [entry.judged for entry in gallery.entries] != list(found.images):
        raise ValueError("the gallery has other images than the evaluation: pass gallery.add to evaluate")
    of_images = [name for name in found.metrics if name.startswith("image_")]
    of_pixels = [name for name in found.metrics if name not in of_images]
    all_rows = rows(found)
    page = render(
        {
            "title": title,
            "found": found,
            "escapes": found.verdicts.escapes,
            "alarms": found.verdicts.false_alarms,
            "figures": figures(found.verdicts),
            "parts": parts(found),
            "unsure": [
                share for share in (found.verdicts.escapes, found.verdicts.false_alarms) if is_unsure(share)
            ],
            "is_own": found.threshold_source == "bundle",
            "notes": [*notes, *remarks(found)],
            "rows": all_rows,
            "of_images": of_images,
            "of_pixels": of_pixels,
            "reasons": reasons(all_rows, [*of_images, *of_pixels]),
            "bytes_per_image": gallery.bytes_per_image,
            "scale": _scale(),
            "timing": timing if timing is not None and timing.latencies else None,
            "facts": facts or {},
            "about": about(bundle),
            "data": _data(found, gallery),
            "pictures": _pictures(gallery),
        }
    )
    write_file(Path(path), page.encode("utf-8", "replace"))


def _data(found: Evaluation, gallery: Gallery) -> dict[str, Any]:
    """What the script works with, a list for each column."""
    kinds = [GOOD, *dict.fromkeys(j.sample.defect for j in found.bad)]
    ratios = [entry.size[0] / entry.size[1] for entry in gallery.entries]
    scores = [j.score for j in found.images]
    bad = [not j.sample.is_good for j in found.images]
    return {
        "threshold": found.threshold,
        "best": None if found.verdicts.best is None else found.verdicts.best.threshold,
        "defects": [shown(kind) for kind in kinds],
        "names": names([j.sample.image for j in found.images]),
        "defect": [kinds.index(j.sample.defect) for j in found.images],
        "scores": scores,
        "sizes": [entry.size for entry in gallery.entries],
        "outlines": [entry.outline for entry in gallery.entries],
        "ratio": round(min(2.0, max(0.4, statistics.median(ratios))), 3),
        "block": BLOCK,
        "roc": _points(roc_curve(scores, bad)),
        "pr": _points(pr_curve(scores, bad)),
    }


def _points(curve: CurvePoints | None) -> list[list[float]] | None:
    if curve is None:
        return None
    return [np.round(curve.x, 5).tolist(), np.round(curve.y, 5).tolist()]


def _pictures(gallery: Gallery) -> list[str]:
    """Blocks with a line for each image: two pictures in base64."""
    lines = [" ".join(entry.pictures) for entry in gallery.entries]
    return ["\n".join(lines[i : i + BLOCK]) for i in range(0, len(lines), BLOCK)]


def _scale() -> list[tuple[int, int, int]]:
    """The heatmap's colours, half the threshold to one and a half, as evenly spaced (red, green, blue)."""
    colours = heatmap(np.linspace(0.5, 1.5, 9, dtype=np.float32)[None], 0.5, 1.5)[0]
    return [(red, green, blue) for blue, green, red in colours.tolist()]


__all__ = ["write_report"]
