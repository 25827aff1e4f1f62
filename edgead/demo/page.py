"""The demo's page: one HTML file that needs nothing else, to look at on a bench or a phone."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np

from edgead.evaluation.bench import Latency
from edgead.evaluation.heatmap import heatmap
from edgead.evaluation.metrics import auroc
from edgead.files import write_file
from edgead.types import Image

GOOD = "good"
"""The truth of a part without a defect; any other names the kind of its defect."""
IMAGE_SIDE = 480
"""Longest side in pixels of an image on the page; larger ones are shrunk."""


@dataclass(frozen=True)
class Row:
    """One inspected part.

    Attributes:
        name: for people, for instance the file's name.
        image: (H, W, 3) uint8 BGR, as the camera saw it.
        overlay: (H, W, 3) uint8 BGR, the heatmap laid over it.
        score: image score, finite.
        is_anomalous: the verdict.
        truth: ``"good"`` or the kind of defect.
    """

    name: str
    image: Image
    overlay: Image
    score: float
    is_anomalous: bool
    truth: str

    @property
    def outcome(self) -> str:
        """missed, alarm, found or passed."""
        if self.truth == GOOD:
            return "alarm" if self.is_anomalous else "passed"
        return "found" if self.is_anomalous else "missed"


OUTCOMES = {
    "missed": ("Missed", "defective parts that got through"),
    "alarm": ("False alarms", "good parts that were rejected"),
    "found": ("Found", "defective parts that were rejected, the closest calls first"),
    "passed": ("Passed", "good parts that got through, the closest calls first"),
}
"""What can come of a part, in the order that the page shows it: heading and explanation."""


def write_page(
    path: Path,
    facts: Mapping[str, str],
    rows: Sequence[Row],
    threshold: float,
    latencies: Mapping[str, Latency],
    *,
    shipped: str | None = None,
    machine: str = "",
    title: str = "edgead demo",
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the ``.html`` file; its folder must exist.
        facts: what was done, in order: method, backbone, bank, threshold and its rule, target rate ...
        rows: the inspected parts, at least one, in any order.
        threshold: of the image score, over 0.
        latencies: by the form's name, the slowest (the reference, FP32) first; may be empty.
        shipped: the form in ``latencies`` that gave the verdicts.
        machine: where the latencies were measured and with how many threads.
        title: of the page.

    Raises:
        edgead.errors.OutputError: it can't be written.
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("a page needs at least one inspected part")
    ordered = sorted(rows, key=lambda row: abs(row.score - threshold))
    top = 1.05 * max(threshold, *(row.score for row in rows))
    style, script = (files("edgead.demo").joinpath(f"page.{end}").read_text("utf-8") for end in ("css", "js"))
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{escape(title)}: {escape(_headline(rows))}</title>
<style>
{style}</style>
</head>
<body id="top">
<a class="skip" href="#parts">Skip to the parts</a>
<header>
<p class="eyebrow">{escape(title)}</p>
<h1>{escape(_headline(rows))}</h1>
<ul class="tiles">{_tiles(rows, latencies, shipped)}</ul>
</header>
<main>
<h2>What was done</h2>
<dl class="facts">{"".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())}</dl>
{_scores(ordered, threshold, top)}
{_speed(latencies, shipped, machine)}
{_gallery(ordered, threshold, top)}
</main>
<dialog aria-label="A part, enlarged"><div class="pair"></div>
<footer><p></p><button type="button">Close</button></footer></dialog>
<script type="module">
{script}</script>
</body>
</html>
"""
    write_file(Path(path), page.encode("utf-8"))


# ---------------------------------------------------------------- sections


def _count(rows: Sequence[Row], *outcomes: str) -> int:
    return sum(row.outcome in outcomes for row in rows)


def _headline(rows: Sequence[Row]) -> str:
    bad, good = _count(rows, "found", "missed"), _count(rows, "passed", "alarm")
    return (
        f"{_count(rows, 'found')} of {bad} defective parts found, "
        f"{_count(rows, 'alarm')} of {good} good parts rejected"
    )


def _tiles(rows: Sequence[Row], latencies: Mapping[str, Latency], shipped: str | None) -> str:
    separation = auroc(
        [row.score for row in rows if row.truth == GOOD], [row.score for row in rows if row.truth != GOOD]
    )
    tiles = [
        (f"{_count(rows, 'missed')}", "defects missed"),
        (f"{_count(rows, 'alarm')}", "false alarms"),
        ("-" if separation is None else f"{separation:.1%}", "image AUROC"),
    ]
    if shipped is not None and shipped in latencies:
        reference = next(iter(latencies))
        tiles.append((f"{latencies[shipped].p50_ms:.1f} ms", f"a frame in {shipped}, median"))
        if reference != shipped:
            ratio = latencies[reference].p50_ms / latencies[shipped].p50_ms
            tiles.append((f"{ratio:.1f} x", f"as fast as {reference}"))
    return "".join(f"<li><b>{escape(value)}</b><span>{escape(what)}</span></li>" for value, what in tiles)


def _scores(rows: Sequence[Row], threshold: float, top: float) -> str:
    """A line of dots for the good parts and for each kind of defect, against the threshold."""
    strips = []
    kinds = sorted({row.truth for row in rows}, key=lambda kind: (kind != GOOD, kind))
    for kind in kinds:
        numbered = [(number, row) for number, row in enumerate(rows) if row.truth == kind]
        numbered.sort(key=lambda pair: pair[1].score)
        mine = [row for _, row in numbered]
        dots = "".join(
            f'<a href="#part-{number}" tabindex="-1" class="{"good" if kind == GOOD else "bad"}" '
            f'style="left:{_percent(row.score, top)};top:{_lane(i)}%" '
            f'title="{escape(row.name)}: {_number(row.score)}"></a>'
            for i, (number, row) in enumerate(numbered)
        )
        over = sum(row.is_anomalous for row in mine)
        said = f"{len(mine)} parts, scores {_number(mine[0].score)} to {_number(mine[-1].score)}, {over} over"
        strips.append(
            f'<div class="strip"><span>{escape(_words(kind))}</span>'
            f'<div class="plot" role="img" aria-label="{escape(_words(kind))}: {said}">{dots}</div></div>'
        )
    ticks = "".join(f'<span style="left:{_percent(v, top)}">{v:g}</span>' for v in _ticks(top))
    where = _percent(threshold, top)
    limit = f'<span class="limit" style="left:{where}">threshold {_number(threshold)}</span>'
    return f"""<h2>Scores</h2>
<p class="quiet"><i class="key good"></i> good, <i class="key"></i> defective. Over the threshold (dashed)
a part is rejected; the threshold was set on good parts alone.</p>
<div class="strips" style="--t:{where}">{"".join(strips)}
<div class="strip"><span></span><div class="axis" aria-hidden="true">{ticks}{limit}</div></div></div>"""


def _speed(latencies: Mapping[str, Latency], shipped: str | None, machine: str) -> str:
    if not latencies:
        return ""
    slowest = max(latency.p50_ms for latency in latencies.values())
    reference = next(iter(latencies.values())).p50_ms
    lines = "".join(
        f"<tr{' class=shipped' if form == shipped else ''}>"
        f"<th scope=row>{escape(form)}{'<small>these verdicts</small>' if form == shipped else ''}</th>"
        f"<td>{latency.p50_ms:.1f} ms</td><td>{latency.p99_ms:.1f} ms</td>"
        f"<td class=rate>{latency.frames_per_second:.0f}</td><td>{reference / latency.p50_ms:.1f} x</td>"
        f'<td class="bar"><i style="--w:{_percent(latency.p50_ms, slowest)}"></i></td></tr>'
        for form, latency in latencies.items()
    )
    return f"""<h2>Speed</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Speed"><table>
<caption>From frame to verdict. {escape(machine)}</caption>
<thead><tr><th scope=col>form</th><th scope=col>p50</th><th scope=col>p99</th>
<th scope=col class=rate>frames/s</th><th scope=col>speed</th><td></td></tr></thead>
<tbody>{lines}</tbody></table></div>"""


def _gallery(rows: Sequence[Row], threshold: float, top: float) -> str:
    groups = []
    for outcome, (name, explanation) in OUTCOMES.items():
        mine = [(number, row) for number, row in enumerate(rows) if row.outcome == outcome]
        if mine:
            cards = "".join(_card(number, row, top) for number, row in mine)
            groups.append(
                f'<section class="group"><h3>{name} ({len(mine)}) '
                f'<span class="quiet">{explanation}</span></h3><div class="cards">{cards}</div></section>'
            )
    outcomes = [(o, OUTCOMES[o][0]) for o in OUTCOMES if _count(rows, o)]
    kinds = [(kind, _words(kind)) for kind in sorted({row.truth for row in rows} - {GOOD})]
    buttons = "".join(
        f'<button type="button" data-show="{escape(key)}" aria-pressed="{str(key == "all").lower()}">'
        f"{escape(text)}</button>"
        for key, text in [("all", "All"), *outcomes, *kinds]
    )
    scale = heatmap(np.linspace(0.5, 1.5, 9, dtype=np.float32)[None], 0.5, 1.5)[0]
    colours = ",".join(f"rgb({r} {g} {b})" for b, g, r in scale.tolist())
    return f"""<h2 id="parts">Parts</h2>
<div class="filters" role="group" aria-label="Show" hidden>{buttons}</div>
<div class="legend">half the pixel threshold <i style="background:linear-gradient(90deg,{colours})"></i>
one and a half times; white: outline of what is over it</div>
<div style="--t:{_percent(threshold, top)}">{"".join(groups)}</div>"""


def _card(number: int, row: Row, top: float) -> str:
    verdict = "rejected" if row.is_anomalous else "passed"
    truth = "a good part" if row.truth == GOOD else _words(row.truth)
    height, width = row.image.shape[:2]
    images = "".join(
        f'<img src="{_jpeg(image)}" alt="{what} of {escape(row.name)}" width="{width}" height="{height}">'
        for what, image in (("Photograph", row.image), ("Heatmap", row.overlay))
    )
    name = escape(row.name)
    return f"""<figure class="card {row.outcome}" id="part-{number}" data-truth="{escape(row.truth)}">
<button type="button" class="pair" aria-label="Enlarge {name}">{images}</button>
<figcaption><div class="verdict"><b>{verdict}: {escape(truth)}</b> <span>{_number(row.score)}</span></div>
<div class="meter" style="--s:{_percent(row.score, top)}"><i></i></div>{name}</figcaption></figure>"""


# ---------------------------------------------------------------- pieces


def _percent(value: float, top: float) -> str:
    return f"{100 * min(max(value / top, 0), 1):.2f}%"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _lane(i: int) -> int:
    """Height of the i-th dot of a line in percent, so that neighbours don't cover each other."""
    return (50, 28, 72)[i % 3]


def _ticks(top: float) -> list[float]:
    step = 10 ** np.floor(np.log10(top))
    step = next(s for s in (step, step / 2, step / 5) if top / s >= 4 or s == step / 5)
    return [round(float(v), 10) for v in np.arange(0, top, step)]


def _jpeg(image: Image) -> str:
    """An image as a data address, at most IMAGE_SIDE pixels long."""
    shrink = IMAGE_SIDE / max(image.shape[:2])
    if shrink < 1:
        image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")


__all__ = ["GOOD", "Row", "write_page"]
