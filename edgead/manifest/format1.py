"""Format 1, read for ever: its own records, as strict as they were, and what they say in format 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgead.conformal import expected_rate, rank, upper_rate
from edgead.errors import ManifestError
from edgead.manifest.records import (
    DEFAULT,
    LEAST_RATE,
    MAX_IMAGES,
    FileRecord,
    InputRecord,
    ProbeRecord,
)
from edgead.manifest.strict import ADDED, plain, read
from edgead.notices import Notice
from edgead.types import Precision, Resize, Size

REFERENCE_FACTS = ("forms", "calibration_forms", "lacking", "held_out_groups")
"""What a reference bundle kept among the scorer's facts."""
CONFORMAL = "split conformal quantile"
"""How the rule of edgead's own thresholds began."""


@dataclass(frozen=True)
class Method1:
    """The method that was fitted."""

    name: str
    scorer: str
    postprocessor: str
    options: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class Input1:
    """How a frame becomes the graph's input."""

    size: Size
    resize: Resize
    channel_order: Literal["bgr"] = "bgr"
    depth: int = field(default=8, metadata=ADDED)


@dataclass(frozen=True)
class Threshold1:
    """The thresholds, with their uncertainty in a sentence, and later in figures too."""

    score: float
    pixel: float
    rule: str
    false_positive_rate: float
    n_images: int
    note: str
    expected_rate: float = field(default=0.0, metadata=ADDED)
    upper_rate: float = field(default=1.0, metadata=ADDED)
    n_groups: int = field(default=0, metadata=ADDED)


@dataclass(frozen=True)
class Manifest1:
    """Everything that a bundle of format 1 says about itself."""

    edgead: str
    kind: Literal["reference", "compiled"]
    method: Method1
    input: Input1
    threshold: Threshold1
    target: str
    engine: str
    engine_precision: Literal["f32", "bf16"]
    precision: Precision
    model: str
    reports: Mapping[str, Any]
    provenance: Mapping[str, Any]
    facts: Mapping[str, Any]
    files: tuple[FileRecord, ...]
    format: int
    probes: tuple[ProbeRecord, ...] = field(default=(), metadata=ADDED)
    notices: tuple[Notice, ...] = field(default=(), metadata=ADDED)


def upgrade(value: Mapping[str, Any]) -> dict[str, Any]:
    """Check a manifest of format 1 and say the same in format 2.

    Returns:
        The JSON object of format 2, but for ``format``.

    Raises:
        ManifestError: it departs from format 1.
    """
    old: Manifest1 = read(Manifest1, value)
    own = plain(old)
    threshold, told = _threshold(old)
    facts = dict(old.facts)
    groups = facts.pop("held_out_groups", None) if old.kind == "reference" else None
    reference = _reference(old, facts) if old.kind == "reference" else None
    return {
        **{name: own[name] for name in own if name not in ("threshold", "format")},
        "method": {"kind": "composed", **own["method"]},
        "input": plain(InputRecord(**vars(old.input))),
        "thresholds": {DEFAULT: threshold},
        "facts": facts,
        "reference": reference,
        "held_out": None if groups is None else {
            "n_images": len(groups) if isinstance(groups, list) else 1,
            "groups": groups, "file": None, "channels": {},
        },
        "probes": plain(old.probes),
        "notices": plain((*told, *old.notices)),
    }  # fmt: skip


def _threshold(old: Manifest1) -> tuple[dict[str, Any], list[Notice]]:
    """The figures; and the sentence as a notice, where no figures say the same."""
    own = old.threshold
    n, rate = own.n_images, own.false_positive_rate
    expected, upper = own.expected_rate, own.upper_rate
    told: list[Notice] = []
    rule = "given"
    if not own.rule.startswith(CONFORMAL) or not 1 <= n <= MAX_IMAGES or not LEAST_RATE <= rate < 1:
        told = [Notice("threshold-note", {"text": own.note})]
    elif expected == upper == 1:
        rule = "largest-of-learned"
    else:
        rule = "split-conformal"
        if (expected, upper) == (0, 1):  # the first bundles didn't keep them; they follow from the others
            k = rank(n, rate)
            expected, upper = expected_rate(n, k), upper_rate(n, k)
    images = old.provenance.get("images")
    by_user = isinstance(images, dict) and "group" in images
    return {
        "score": own.score,
        "pixel": own.pixel,
        "rule": rule,
        "false_positive_rate": rate,
        "n_images": n,
        "counted": "images" if not own.n_groups else "groups" if by_user else "parts",
        "n_counted": own.n_groups or n,
        "expected_rate": expected,
        "upper_rate": upper,
    }, told


def _reference(old: Manifest1, facts: dict[str, Any]) -> dict[str, Any]:
    """What only a reference bundle has, taken out of the facts."""
    kept = {name: facts.pop(name, {}) for name in REFERENCE_FACTS[:3]}
    for name, each in kept.items():
        if not isinstance(each, dict) or not all(isinstance(text, str) for text in each.values()):
            raise ManifestError(f"manifest field 'facts.{name}' must be a JSON object of strings")
    reasons = {form: plain(Notice("no-form", {"reason": text})) for form, text in kept["lacking"].items()}
    return {**kept, "forms": kept["forms"] or {old.precision: old.model}, "lacking": reasons}


__all__ = ["Input1", "Manifest1", "Method1", "Threshold1", "upgrade"]
