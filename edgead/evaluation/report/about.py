"""What the page tells of a bundle: the one place of the report where a manifest is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgead.bundle import Bundle
from edgead.device.kept_trade_off import kept_trade_off
from edgead.manifest import DEFAULT, ThresholdRecord, parts_of
from edgead.notices import recorded, say

_TOLD = ("images", "backbone")
"""What of the provenance has a line of its own."""


def about(bundle: Bundle) -> dict[str, Any]:
    """Return what ``templates/bundle.html`` says; what isn't known is empty or None."""
    manifest = bundle.manifest
    backbone = manifest.provenance.get("backbone")
    known = backbone if isinstance(backbone, Mapping) else {}
    return {
        "name": bundle.path.name,
        "bytes": sum(file.bytes for file in manifest.files),
        "kind": manifest.kind,
        "edgead": manifest.edgead,
        "method": manifest.method,
        "parts": parts_of(manifest.method),
        "input": manifest.input,
        "roi": "" if manifest.roi is None else say(manifest.roi.notice()),
        "target": manifest.target,
        "engine": manifest.engine,
        "precision": manifest.precision,
        "engine_precision": manifest.engine_precision,
        "thresholds": [_threshold(*of_product) for of_product in manifest.thresholds.items()],
        "trade_off": kept_trade_off(bundle),
        "images": _object(manifest.provenance.get("images")),
        "backbone": {k: v for k, v in known.items() if "sha256" in k or k in ("name", "weights_file")},
        "provenance": {k: v for k, v in manifest.provenance.items() if k not in _TOLD},
        "facts": manifest.facts,
        "files": manifest.files,
        "forms": [_form(form) for form in _forms(manifest.reports) if isinstance(form, Mapping)],
        "manifest": manifest.to_json(),
    }


def _forms(reports: Mapping[str, Any]) -> list[Any]:
    forms = reports.get("forms")
    return list(forms) if isinstance(forms, list | tuple) else []


def _threshold(product: str, record: ThresholdRecord) -> dict[str, Any]:
    """One product's; ``product`` is empty in the words of a bundle for one."""
    of = "" if product == DEFAULT else product
    return {"product": of, "record": record, "how": say(record.how()), "note": say(record.notice())}


def _form(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the gates at export found of one form."""
    parity, separation = (_object(report.get(name)) for name in ("parity", "separation"))
    misses = report.get("misses")
    missed = [*(misses if isinstance(misses, list | tuple) else ()), report.get("failure")]
    return {
        "precision": report.get("precision"),
        "target": report.get("target"),
        "score": _number(parity.get("score")),
        "map": _number(parity.get("map")),
        "flips": _number(parity.get("flips")),
        "loss": _number(separation.get("measured_loss")),
        "bytes": _number(report.get("model_bytes")),
        "missed": [recorded(miss) for miss in missed if miss],
    }


def _object(value: Any) -> Mapping[str, Any]:
    """A stranger's bundle may hold anything here."""
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None


__all__ = ["about"]
