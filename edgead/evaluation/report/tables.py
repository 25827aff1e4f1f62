"""The page's tables and facts, as HTML with everything escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from edgead.bundle import Bundle
from edgead.evaluation.bench import Latency
from edgead.evaluation.evaluate import Evaluation
from edgead.evaluation.table import TITLES, interval, percent, share_limits
from edgead.manifest import parts_of
from edgead.metrics.scores import Metric
from edgead.names import shown
from edgead.notices import say
from edgead.options import show

MEANINGS = {
    "image_auroc": "how likely a defective image scores higher than a good one; 50 % is guessing",
    "image_ap": "average precision: the share of true alarms among all, averaged over every share found",
    "image_f1_max": "the best balance of defects found and alarms that are true, over all thresholds",
    "pixel_auroc": "the same as image AUROC for pixels; high even for poor maps, since most pixels are good",
    "pixel_ap": "average precision over pixels; the hardest of the three",
    "pixel_f1_max": "F1-max over pixels",
    "aupro_30": "share of each defective region that's covered, averaged over false-positive rates to 30 %",
    "aupro_5": "the same to 5 %",
    "iap": "average precision where a region counts as found when over half of it is covered",
    "iap_90": "pixel precision where nine of ten regions are found",
}
"""What a metric means, for people who don't know its name."""


def metrics(found: Evaluation) -> str:
    """Image and pixel metrics, in all and for each defect."""
    reasons: list[str] = []
    of_images = [name for name in found.metrics if name.startswith("image_")]
    of_pixels = [name for name in found.metrics if name not in of_images]
    parts = [
        _metric_table("of images", found, of_images, reasons, verdicts=True),
        _metric_table("of pixels", found, of_pixels, reasons, verdicts=False),
    ]
    notes = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    if notes:
        parts.append(f'<div class="undefined"><p>Undefined, because of:</p><ol>{notes}</ol></div>')
    meanings = ((TITLES.get(name, name), MEANINGS[name]) for name in found.metrics if name in MEANINGS)
    parts.append(f"<details><summary>What the metrics mean</summary>{definitions(meanings)}</details>")
    return "\n".join(parts)


def _metric_table(
    caption: str, found: Evaluation, names: Sequence[str], reasons: list[str], verdicts: bool
) -> str:
    heads = ["", *(["images", "escapes"] if verdicts else []), *(TITLES.get(n, n) for n in names)]
    bad = found.bad
    rows = [("all", bad, found.metrics)]
    rows += [
        (defect, tuple(j for j in bad if j.sample.defect == defect), values)
        for defect, values in found.defects.items()
    ]
    body = ""
    for title, images, values in rows:
        escapes = sum(j.is_wrong for j in images)
        between = f"<small>{limits} %</small>" if (limits := share_limits(escapes, len(images))) else ""
        cells = [f"<td>{len(images)}</td><td>{escapes}{between}</td>"] if verdicts else []
        cells += [_metric(values[name], reasons) for name in names]
        body += f'<tr><th scope="row">{escape(shown(title))}</th>{"".join(cells)}</tr>'
    return table(f"Metrics {caption}, %", heads, body)


def _metric(metric: Metric, reasons: list[str]) -> str:
    if metric.value is None:
        reason = metric.reason or "unknown"
        if reason not in reasons:
            reasons.append(reason)
        number = reasons.index(reason) + 1
        return f'<td title="{escape(reason)}">-<sup>{number}</sup></td>'
    between = f"<small>{interval(metric)}</small>" if metric.interval else ""
    return f"<td>{percent(metric)}{between}</td>"


def latency(timed: Mapping[str, Latency], machine: str) -> str:
    """A row for each form; the last one is the one that gave the verdicts, the first one the reference."""
    slowest = max(one.p50_ms for one in timed.values())
    own, reference = list(timed)[-1], next(iter(timed.values())).p50_ms
    several = len(timed) > 1
    heads = ["", "p50 ms", "p95 ms", "p99 ms", "max ms", "frames/s", *(["speed", "p50"] if several else [])]
    body = ""
    for name, one in timed.items():
        times = (one.p50_ms, one.p95_ms, one.p99_ms, one.max_ms)
        cells = "".join(f"<td>{time:.2f}</td>" for time in times) + f"<td>{one.frames_per_second:.0f}</td>"
        if several:
            share = max(1.0, 100 * one.p50_ms / slowest)
            cells += (
                f"<td>{reference / one.p50_ms:.1f} x</td>"
                f'<td><svg class="time" role="img" aria-label="{share:.0f} % of the slowest">'
                f'<rect width="{share:.1f}%" height="100%" rx="3"/></svg></td>'
            )
        mine = "<small>gave these verdicts</small>" if several and name == own else ""
        body += f'<tr><th scope="row">{escape(name)}{mine}</th>{cells}</tr>'
    frames = min(one.frames for one in timed.values())
    note = f"From frame to prediction, {frames} frames one at a time; frames/s with several under way. "
    return table(note + machine, heads, body)


def facts(bundle: Bundle, more: Mapping[str, str]) -> str:
    """What the bundle says about itself, the given facts first."""
    manifest = bundle.manifest
    method, threshold, rule = manifest.method, manifest.threshold, manifest.input
    images = manifest.provenance.get("images", {})
    rows = {
        **more,
        "bundle": f"{bundle.path.name}, {sum(f.bytes for f in manifest.files) / 1e6:.1f} MB, "
        f"{manifest.kind}, written by edgead {manifest.edgead}",
        "method": f"{method.name} ({parts_of(method)})",
        "options": " ".join(f"{name}={show(value)}" for name, value in sorted(method.options.items()))
        + f" seed={method.seed}",
        "input": f"{rule.size[0]} x {rule.size[1]} (height x width), {rule.resize}",
        "target": f"{manifest.target}, runs on {manifest.engine}",
        "precision": f"{manifest.precision} (the rest in {manifest.engine_precision})",
        "threshold": f"image score {threshold.score:.6g}, anomaly map {threshold.pixel:.6g}: "
        f"{say(threshold.how())}, for a false-positive rate of {threshold.false_positive_rate:g} on "
        f"{threshold.n_images} held-out good images; {say(threshold.notice())}",
        "learnt from": ", ".join(f"{_words(k)} {v}" for k, v in images.items()) or "not told",
        "backbone": _backbone(manifest.provenance.get("backbone", {})),
    }
    rest = {
        "provenance": {k: v for k, v in manifest.provenance.items() if k not in ("images", "backbone")},
        "facts": manifest.facts,
    }
    rows |= {name: _flat(value) for name, value in rest.items() if value}
    hashes = [(file.path, f"{file.bytes:,} bytes, SHA-256 {file.sha256}") for file in manifest.files]
    return (
        definitions(rows.items())
        + f"<h3>Files</h3>{definitions(hashes)}"
        + _gates(manifest.reports)
        + "<details><summary>The whole manifest</summary>"
        + f'<pre tabindex="0">{escape(manifest.to_json())}</pre></details>'
    )


def _gates(reports: Mapping[str, Any]) -> str:
    """What the gates found of each form that was tried; nothing where the bundle wasn't compiled."""
    forms = [form for form in reports.get("forms", ()) if isinstance(form, dict)]
    if not forms:
        return ""
    heads = ["form", "score off", "map off", "verdicts flipped", "AUROC lost", "model MB", "passed"]
    body = ""
    for form in forms:
        parity, separation = form.get("parity") or {}, form.get("separation") or {}
        misses = [str(miss) for miss in form.get("misses") or ()] + [str(form.get("failure") or "")]
        missed = "; ".join(miss for miss in misses if miss)
        cells = (
            _scaled(parity.get("score"), 100, "{:.2f} %"),
            _scaled(parity.get("map"), 100, "{:.2f} %"),
            _scaled(parity.get("flips"), 1, "{:.0f}"),
            _scaled(separation.get("measured_loss"), 100, "{:.2f}"),
            _scaled(form.get("model_bytes"), 1e-6, "{:.1f}"),
        )
        body += f'<tr><th scope="row">{escape(str(form.get("precision", "-")))}</th>'
        body += "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        body += f'<td class="text">{escape(f"no: {missed}" if missed else "yes")}</td></tr>'
    note = (
        "The gates at export: each form against exact arithmetic (off by at most), and what it loses "
        "against FP32 on synthetic defects, in points."
    )
    return f"<h3>Gates</h3>{table(note, heads, body)}"


def _backbone(provenance: Any) -> str:
    """Its name and its weights; what else is known of it is in the manifest."""
    told = provenance if isinstance(provenance, Mapping) else {}
    shown = {key: value for key, value in told.items() if "sha256" in key or key in ("name", "weights_file")}
    return _flat(shown) or "not told"


def _scaled(value: Any, factor: float, form: str) -> str:
    return form.format(value * factor) if isinstance(value, int | float) else "-"


def table(caption: str, heads: Sequence[str], body: str) -> str:
    """A table that scrolls in its own box where the page is narrower; ``body`` is HTML."""
    first, *others = heads
    top = f'<th scope="col">{escape(first)}</th>' if first else "<td></td>"
    top += "".join(f'<th scope="col">{escape(head)}</th>' for head in others)
    label = escape(caption)
    return (
        f'<p class="caption">{label}</p>'  # outside the box, or it would scroll too
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table aria-label="{label}">'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Terms and what they are."""
    return (
        '<dl class="facts">'
        + "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in pairs)
        + "</dl>"
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _flat(value: Any, name: str = "") -> str:
    """A nested JSON value in one line."""
    if isinstance(value, Mapping):
        return ", ".join(_flat(inner, f"{name} {_words(str(key))}".strip()) for key, inner in value.items())
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=list)
    return f"{name} {text}".strip()


__all__ = ["definitions", "facts", "latency", "metrics", "table"]
