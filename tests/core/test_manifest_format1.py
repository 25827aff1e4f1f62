"""Format 1 is read for ever: as strictly as it was, and what it said is said in format 2."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from edgead.conformal import expected_rate, rank, upper_rate
from edgead.errors import ManifestError
from edgead.manifest import FORMAT, ComposedMethod, InputRecord, Manifest
from edgead.notices import Notice, say

RULE = "split conformal quantile of held-out good images"
OLD: dict[str, Any] = {
    "edgead": "0.1.0",
    "kind": "reference",
    "method": {
        "name": "patchcore", "scorer": "patchcore", "postprocessor": "gaussian",
        "options": {"layers": ["a", "b"]}, "seed": 0,
    },
    "input": {"size": [640, 256], "resize": "stretch", "channel_order": "bgr", "depth": 12},
    "threshold": {
        "score": 3.25, "pixel": 2.5, "rule": RULE, "false_positive_rate": 0.01, "n_images": 40,
        "note": "24 different parts in 40 held-out images can't show", "expected_rate": 0.04,
        "upper_rate": 0.13, "n_groups": 24,
    },
    "target": "reference",
    "engine": "onnxruntime",
    "engine_precision": "f32",
    "precision": "fp32",
    "model": "model.onnx",
    "reports": {},
    "provenance": {"images": {"fitted_on": 10, "held_out": 3}},
    "facts": {
        "bank": {"rows": 3},
        "forms": {"fp32": "model.onnx", "int8": "forms/int8.onnx"},
        "calibration_forms": {"fp32": "calibration/fp32.onnx"},
        "lacking": {"bf16": "this backbone can't"},
        "held_out_groups": [4, 4, 9],
    },
    "files": [
        {"path": name, "bytes": 1, "sha256": "0" * 64}
        for name in ("model.onnx", "forms/int8.onnx", "calibration/fp32.onnx", "probes/000.png")
    ],
    "format": 1,
    "probes": [{"file": "probes/000.png", "change": "none", "score": 1.5, "peaks": [0.5] * 16}],
    "notices": [{"code": "near-copies", "values": {"images": 3, "parts": 2, "names": "a"}}],
}  # fmt: skip
LATER = (
    ("input", "depth"), ("probes",), ("notices",),
    ("threshold", "expected_rate"), ("threshold", "upper_rate"), ("threshold", "n_groups"),
)  # fmt: skip
"""Fields that the format's first bundles didn't have."""
FREE = ("options", "reports", "provenance", "facts", "values")


def old(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(OLD), **changes}


def read(value: Any) -> Manifest:
    return Manifest.from_json(json.dumps(value))


def fields(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict) and (not path or path[-1] not in FREE):
        found += [p for key, inner in value.items() for p in fields(inner, (*path, key))]
    if isinstance(value, list):
        found += [p for i, inner in enumerate(value) for p in fields(inner, (*path, i))]
    return found


def test_it_says_the_same_in_format_2() -> None:
    manifest = read(OLD)
    assert manifest.format == 1
    assert manifest.method == ComposedMethod("patchcore", "patchcore", "gaussian", {"layers": ["a", "b"]}, 0)
    assert manifest.input == InputRecord((640, 256), "stretch", depth=12)
    assert manifest.facts == {"bank": {"rows": 3}}
    reference, held_out, threshold = manifest.reference, manifest.held_out, manifest.threshold
    assert reference is not None and held_out is not None
    assert reference.forms == OLD["facts"]["forms"]
    assert reference.calibration_forms == OLD["facts"]["calibration_forms"]
    assert say(reference.lacking["bf16"]) == "this backbone can't"
    assert held_out.groups == (4, 4, 9) and held_out.file is None and held_out.n_images == 3
    assert (threshold.rule, threshold.counted, threshold.n_counted) == ("split-conformal", "parts", 24)
    assert (threshold.expected_rate, threshold.upper_rate) == (0.04, 0.13)
    assert "24 different parts in 40 held-out images" in say(threshold.notice())
    assert manifest.notices[0].code == "near-copies" and len(manifest.notices) == 1


def test_it_is_written_as_the_newest_format_and_read_back() -> None:
    manifest = read(OLD)
    again = Manifest.from_json(manifest.to_json())
    assert again.format == FORMAT and again.to_json() == manifest.to_json()
    assert again.thresholds == manifest.thresholds and again.reference == manifest.reference


@pytest.mark.parametrize("path", fields(OLD), ids=str)
def test_every_field_is_checked_as_it_was(path: tuple[Any, ...]) -> None:
    value = old()
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    good = inner.pop(path[-1])
    if path in LATER:
        assert read(value).format == 1
    elif isinstance(path[-1], str):
        with pytest.raises(ManifestError, match="missing"):
            read(value)
        inner[path[-1]] = good
        inner["surprise"] = 1
        with pytest.raises(ManifestError, match="surprise"):
            read(value)
        del inner["surprise"]
    if isinstance(path[-1], str):
        inner[path[-1]] = [None] if not isinstance(good, list) else "x"
        with pytest.raises(ManifestError) as caught:
            read(value)
        assert "\n" not in str(caught.value) and str(path[-1]) in str(caught.value)


def test_rates_that_the_first_bundles_did_not_keep_follow_from_the_others() -> None:
    later = ("expected_rate", "upper_rate", "n_groups")
    threshold = {k: v for k, v in OLD["threshold"].items() if k not in later}
    found = read(old(threshold={**threshold, "n_images": 150})).threshold
    k = rank(150, 0.01)
    assert (found.expected_rate, found.upper_rate) == (expected_rate(150, k), upper_rate(150, k))
    assert found.counted == "images" and found.n_counted == 150


def test_parts_that_were_learned_too_promise_nothing() -> None:
    threshold = {**OLD["threshold"], "expected_rate": 1.0, "upper_rate": 1.0, "n_groups": 1}
    found = read(old(threshold=threshold)).threshold
    assert found.rule == "largest-of-learned" and "no false-positive rate" in say(found.notice())


def test_groups_of_the_users_are_told_from_near_copies() -> None:
    images = {"images": {"group": "(\\d+)_"}}
    assert read(old(provenance=images)).threshold.counted == "groups"


def test_a_sentence_that_no_figure_says_is_kept() -> None:
    manifest = read(old(threshold={**OLD["threshold"], "rule": "by hand", "note": "trust me"}))
    assert manifest.threshold.rule == "given"
    assert manifest.notices[0] == Notice("threshold-note", {"text": "trust me"})


def test_a_compiled_bundle_keeps_the_scorers_facts_whatever_their_names() -> None:
    manifest = read(old(kind="compiled", facts={"forms": 3, "lacking": [1]}))
    assert manifest.facts == {"forms": 3, "lacking": [1]} and manifest.reference is None


@pytest.mark.parametrize("name", ["forms", "calibration_forms", "lacking"])
@pytest.mark.parametrize("value", [3, [1], {"fp32": 3}])
def test_what_export_needs_is_checked(name: str, value: Any) -> None:
    with pytest.raises(ManifestError, match=name):
        read(old(facts={**OLD["facts"], name: value}))


def test_an_unknown_form_or_a_group_that_is_no_number_is_refused() -> None:
    with pytest.raises(ManifestError, match=r"reference\.forms\.int4"):
        read(old(facts={**OLD["facts"], "forms": {"int4": "model.onnx"}}))
    with pytest.raises(ManifestError, match=r"held_out\.groups"):
        read(old(facts={**OLD["facts"], "held_out_groups": ["a"]}))
    with pytest.raises(ManifestError, match="held_out"):
        read(old(facts={**OLD["facts"], "held_out_groups": 4}))
