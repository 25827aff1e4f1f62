"""Puts the report together: one HTML file that fetches nothing and runs nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from edgead.bundle import Bundle
from edgead.evaluation.bench import Latency
from edgead.evaluation.evaluate import Evaluation
from edgead.evaluation.heatmap import heatmap
from edgead.evaluation.report import headline, tables
from edgead.evaluation.report.gallery import Gallery, names
from edgead.evaluation.table import percent
from edgead.files import write_file
from edgead.metrics.scores import CurvePoints, pr_curve, roc_curve
from edgead.names import shown
from edgead.types import GOOD

SCRIPTS = ("threshold.js", "plots.js", "gallery.js", "viewer.js")
"""One script in the page, in this order."""
BLOCK = 200
"""Images whose pictures lie in one element, so that the browser reads only what it shows."""


@dataclass(frozen=True)
class Timing:
    """What was timed, for the report.

    Attributes:
        latencies: by the form's name; where there are several, the reference first and the evaluated bundle
            last.
        machine: where, in a sentence: processor and threads.
    """

    latencies: Mapping[str, Latency] = field(default_factory=dict)
    machine: str = ""


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
        ValueError: the gallery's images aren't the evaluation's.
    """
    if [entry.judged for entry in gallery.entries] != list(found.images):
        raise ValueError("the gallery has other images than the evaluation: pass gallery.add to evaluate")
    timed = timing.latencies if timing is not None else {}
    style, script = _asset("page.css"), "\n".join(_asset(name) for name in SCRIPTS)
    own = found.threshold == bundle.manifest.threshold.score
    lines = [*notes, *headline.warnings(found)]
    page = Template(_asset("page.html")).substitute(
        title=escape(shown(title)),
        headline=escape(headline.headline(found)),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        threshold=f"{found.threshold:.6g}",
        short=f"{found.threshold:.4g}",
        links=_links(bool(timed)),
        whose="the bundle's own, set on good images alone" if own else "not the bundle's own",
        tiles=headline.tiles(found, _speed(timed)),
        notes="".join(f"<li>{escape(shown(line))}</li>" for line in lines),
        n_good=len(found.good),
        n_bad=len(found.bad),
        curves=_curves(found),
        metrics=tables.metrics(found),
        scale=_scale(),
        kilobytes=f"{gallery.bytes_per_image / 1e3:.0f}",
        latency=_latency(timing),
        facts=tables.facts(bundle, facts or {}),
        data=_json(_data(found, gallery)),
        pictures=_pictures(gallery),
    )
    write_file(Path(path), page.encode("utf-8", "replace"))


def _asset(name: str) -> str:
    return files("edgead.evaluation.report").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """What the page's security policy knows its own script and style by; the browser runs no other."""
    digest = hashlib.sha256(f"\n{text}\n".encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _json(document: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends the element, and no odd name breaks it."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(found: Evaluation, gallery: Gallery) -> dict[str, Any]:
    """What the script works with, a list for each column."""
    kinds = [GOOD, *dict.fromkeys(j.sample.defect for j in found.bad)]
    ratios = [entry.size[0] / entry.size[1] for entry in gallery.entries]
    scores = [j.score for j in found.images]
    bad = [not j.sample.is_good for j in found.images]
    return {
        "threshold": found.threshold,
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


def _pictures(gallery: Gallery) -> str:
    """A line for each image, in blocks: two pictures in base64."""
    lines = [" ".join(entry.pictures) for entry in gallery.entries]
    blocks = [lines[i : i + BLOCK] for i in range(0, len(lines), BLOCK)]
    return "\n".join(
        '<script type="text/plain" class="pictures">' + "\n".join(block) + "</script>" for block in blocks
    )


def _curves(found: Evaluation) -> str:
    auroc, ap = found.metrics["image_auroc"], found.metrics["image_ap"]
    if auroc.value is None:
        return f"<p>No curves: {escape(auroc.reason or '')}.</p>"
    shown = (
        ("roc", f"ROC: AUROC {percent(auroc)} %", "false alarms among good", "found among defective"),
        ("pr", f"Precision and recall: AP {percent(ap)} %", "found among defective (recall)", "true alarms"),
    )
    return "".join(
        f'<figure><figcaption>{escape(title)}</figcaption><svg id="{name}" role="img"></svg>'
        f'<p class="axes">across: {escape(x)}; up: {escape(y)}</p></figure>'
        for name, title, x, y in shown
    )


def _links(timed: bool) -> str:
    sections = ["scores", "curves", "metrics", "images", *(["latency"] if timed else []), "bundle"]
    return "".join(f'<a href="#{name}-title">{name.capitalize()}</a>' for name in sections)


def _scale() -> str:
    """The heatmap's colours, half the threshold to one and a half, as stops of an SVG gradient."""
    colours = heatmap(np.linspace(0.5, 1.5, 9, dtype=np.float32)[None], 0.5, 1.5)[0].tolist()
    return "".join(
        f'<stop offset="{i / 8}" stop-color="rgb({red},{green},{blue})"/>'
        for i, (blue, green, red) in enumerate(colours)
    )


def _speed(timed: Mapping[str, Latency]) -> list[tuple[str, str]]:
    if not timed:
        return []
    (name, own), reference = list(timed.items())[-1], next(iter(timed))
    shown = [(f"{own.p50_ms:.1f} ms", f"a frame in {name}, median")]
    if reference != name:
        shown.append((f"{timed[reference].p50_ms / own.p50_ms:.1f} x", f"as fast as {reference}"))
    return shown


def _latency(timing: Timing | None) -> str:
    if timing is None or not timing.latencies:
        return ""
    body = tables.latency(timing.latencies, timing.machine)
    return f'<section aria-labelledby="latency-title"><h2 id="latency-title">Latency</h2>{body}</section>'


__all__ = ["Timing", "write_report"]
