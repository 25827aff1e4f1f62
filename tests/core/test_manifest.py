"""The manifest: what is written is read back the same, and every departure from the schema is named."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgead.errors import BundleError, ManifestDigestError, ManifestError, UnknownFormatError
from edgead.manifest import (
    FORMAT,
    MAX_MANIFEST_BYTES,
    MAX_PROBES,
    ComposedMethod,
    FileRecord,
    HeldOutRecord,
    InputRecord,
    Manifest,
    ProbeRecord,
    ReferenceRecord,
    ThresholdRecord,
    WrappedMethod,
    parts_of,
)
from edgead.manifest.document import MAX_PRODUCTS
from edgead.notices import Notice
from tests.sealed import reseal, seal

GOLDEN = Path(__file__).parents[1] / "golden" / "v3.edgead" / "manifest.json"
KINDS = ("forms", "calibration_forms", "lacking")
COMPOSED = ComposedMethod("patchcore", "patchcore", "gaussian", {"layers": ["a", "b"], "ratio": 0.01}, 0)
THRESHOLD = ThresholdRecord(3.25, 2.5, "split-conformal", 0.01, 40, "parts", 24, 0.04, 0.13)
EXAMPLE = Manifest(
    edgead="0.1.0",
    kind="compiled",
    method=COMPOSED,
    input=InputRecord((640, 256), "stretch", depth=12),
    thresholds={"default": THRESHOLD, "bolt-M8": THRESHOLD},
    target="openvino",
    engine="openvino",
    engine_precision="f32",
    precision="int8",
    model="model.xml",
    reports={"parity": {"passed": True, "worst": 1e-6}},
    provenance={"backbone": "default", "größe": "klein"},
    facts={"bank": [1228, 384]},
    held_out=HeldOutRecord(2, (0, -1), "model.bin", {"layer2": 128}),
    files=(FileRecord("model.xml", 10, "0" * 64), FileRecord("model.bin", 0, "f" * 64)),
    probes=(ProbeRecord("model.bin", "none", 1.5, (0.5,) * 16),),
    notices=(Notice("near-copies", {"images": 3}, "{images} copies"),),
)
REFERENCE = dataclasses.replace(
    EXAMPLE,
    kind="reference",
    reference=ReferenceRecord(
        {"fp32": "model.xml", "int8": "model.bin"},
        {"fp32": "model.xml"},
        {"bf16": Notice("no-form", {"reason": "so"}, "{reason}")},
    ),
)
WRAPPED = dataclasses.replace(
    EXAMPLE, method=WrappedMethod("line-4", "line4.onnx", "0" * 64, {"mean": [0.5]}, 3)
)
EXAMPLES = {"composed": EXAMPLE, "reference": REFERENCE, "wrapped": WRAPPED}
MAY_BE_MISSING = ("notices", 0, "sentence"), ("reference", "lacking", "bf16", "sentence")
FREE = (
    *(("method", "options"), ("reports",), ("provenance",), ("facts",), ("notices", 0, "values")),
    ("reference", "lacking", "bf16", "values"),
)
"""JSON objects of which the schema knows nothing more."""
BY_NAME = ("thresholds",), ("held_out", "channels"), *(("reference", kind) for kind in KINDS)
"""Objects whose names aren't the schema's, or may be left out."""


def fields(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every field that the schema knows, as a path into the JSON; free JSON objects are left out."""
    found = [path] if path and path[:-1] not in BY_NAME else []
    if isinstance(value, dict) and path not in FREE:
        found += [p for key, inner in value.items() for p in fields(inner, (*path, key))]
    if isinstance(value, list):
        found += [p for i, inner in enumerate(value) for p in fields(inner, (*path, i))]
    return found


ALL_FIELDS = [
    pytest.param(name, path, id=f"{name}-{'.'.join(map(str, path))}")
    for name, made in EXAMPLES.items()
    for path in fields(json.loads(made.to_json()))
    if path != ("digest",) and (name == "composed" or path[0] in ("method", "reference", "kind"))
]


def example(name: str = "composed") -> dict[str, Any]:
    value: dict[str, Any] = json.loads(EXAMPLES[name].to_json())
    return value


def changed(path: tuple[str | int, ...], new: Any, name: str = "composed") -> str:
    value = example(name)
    inner: Any = value
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return seal(value)


def without_digest(value: dict[str, Any]) -> dict[str, Any]:
    """As format 2 has it."""
    return {name: each for name, each in value.items() if name != "digest"} | {"format": 2}


def dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")


def refused(text: str | bytes) -> str:
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("made", EXAMPLES.values(), ids=EXAMPLES)
def test_what_is_written_is_read_back(made: Manifest) -> None:
    text = made.to_json()
    assert Manifest.from_json(text) == made
    assert Manifest.from_json(text.encode()) == made
    assert Manifest.from_json(text).to_json() == text
    assert text.endswith("}\n")


def test_the_bytes_do_not_depend_on_the_order_of_anything() -> None:
    turned = dataclasses.replace(
        EXAMPLE,
        facts=dict(reversed(EXAMPLE.facts.items())),
        method=dataclasses.replace(COMPOSED, options={"ratio": 0.01, "layers": ("a", "b")}),
    )
    assert turned.to_json() == EXAMPLE.to_json()
    assert list(example()) == sorted(example())


def test_floats_survive_to_the_last_bit() -> None:
    rng = np.random.default_rng(5)
    for value in rng.standard_normal(200) * 10.0 ** rng.integers(-300, 300, 200):
        threshold = dataclasses.replace(THRESHOLD, score=float(value))
        back = Manifest.from_json(dataclasses.replace(EXAMPLE, thresholds={"default": threshold}).to_json())
        assert back.threshold.score == float(value)


def test_a_whole_number_will_do_for_a_float_where_there_is_no_digest() -> None:
    text = changed(("thresholds", "default", "score"), 3)
    assert "isn't written as edgead writes it" in refused(text)
    value = json.loads(text)
    score = Manifest.from_json(json.dumps(without_digest(value))).threshold.score
    assert score == 3.0 and type(score) is float


@pytest.mark.parametrize(("name", "path"), ALL_FIELDS)
def test_every_field_is_checked(name: str, path: tuple[str | int, ...]) -> None:
    """Each field in turn is left out, renamed, and given values of every wrong type."""
    value = example(name)
    inner: Any = value
    for step in path[:-1]:
        inner = inner[step]
    good = inner.pop(path[-1])
    if path in MAY_BE_MISSING:
        assert isinstance(Manifest.from_json(seal(value)), Manifest)
    elif isinstance(path[-1], str):
        text = refused(seal(value))
        assert dotted(path) in text and "missing" in text
        inner[path[-1]] = good
        inner["surprise"] = 1
        text = refused(seal(value))
        assert dotted((*path[:-1], "surprise")) in text
    for wrong in (None, True, [], {}, "x", 1.5, [None], {"a": None}):
        if type(wrong) is type(good) and (not isinstance(wrong, list | dict) or not wrong or path in FREE):
            continue  # the right type: values are other tests' business
        if wrong is None and path in (("reference",), ("held_out",), ("held_out", "file")):
            continue
        if good is None and path == ("reference",) and isinstance(wrong, dict):
            continue
        assert dotted(path) in refused(changed(path, wrong, name))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_number_that_is_not_finite_is_named(constant: str) -> None:
    at = ("thresholds", "default")
    places = ((*at, "score"), (*at, "pixel"), ("reports", "parity", "worst"), ("facts", "x"))
    for path in places:
        text = reseal(changed(path, "HERE").replace('"HERE"', constant))
        assert dotted(path) in refused(text)
    with pytest.raises(ManifestError):
        Manifest.from_json(reseal(changed(("format",), "HERE").replace('"HERE"', constant)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan")])
def test_a_number_that_is_not_finite_is_never_written(value: float) -> None:
    with pytest.raises(ManifestError, match=r"facts\.x"):
        dataclasses.replace(EXAMPLE, facts={"x": [value]}).to_json()
    with pytest.raises(ManifestError, match=r"thresholds\.default\.score"):
        threshold = dataclasses.replace(THRESHOLD, score=value)
        dataclasses.replace(EXAMPLE, thresholds={"default": threshold}).to_json()


@pytest.mark.parametrize("value", [np.float32(1), {1, 2}, b"x", object(), "\ud800"])
def test_what_json_cannot_say_is_never_written(value: object) -> None:
    with pytest.raises(ManifestError):
        dataclasses.replace(EXAMPLE, facts={"x": value}).to_json()


def test_what_could_not_be_read_is_never_written() -> None:
    for wrong in ({"precision": "int4"}, {"edgead": 1}, {"input": InputRecord((0, 10), "stretch")}):
        with pytest.raises(ManifestError):
            dataclasses.replace(EXAMPLE, **wrong).to_json()  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, FORMAT + 1, 10**30, -1])
def test_another_format_is_told_before_anything_else(number: int) -> None:
    with pytest.raises(UnknownFormatError, match=str(number)):
        Manifest.from_json(json.dumps({"format": number, "a field of the future": 1}))


@pytest.mark.parametrize("number", [None, True, 1.0, "1", [1]])
def test_a_format_that_is_no_number_is_refused(number: object) -> None:
    assert "format" in refused(changed(("format",), number))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kind",), "copied"),
        (("precision",), "int4"),
        (("engine_precision",), "f16"),
        (("input", "resize"), "crop"),
        (("input", "channel_order"), "rgb"),
        (("input", "size"), [640]),
        (("input", "size"), [640, 256, 3]),
        (("input", "size"), [0, 256]),
        (("input", "size"), [640, 1 << 20]),
        (("thresholds", "default", "false_positive_rate"), 1.5),
        (("thresholds", "default", "false_positive_rate"), -0.1),
        (("thresholds", "default", "n_images"), -1),
        (("thresholds", "default", "expected_rate"), 1.5),
        (("thresholds", "default", "upper_rate"), -0.5),
        (("thresholds", "default", "n_counted"), 41),
        (("thresholds", "default", "n_counted"), -1),
        (("thresholds", "default", "rule"), "by hand"),
        (("thresholds", "default", "counted"), "boxes"),
        (("held_out", "n_images"), 0),
        (("held_out", "groups"), [0]),
        (("held_out", "groups"), [0, 1, 2]),
        (("held_out", "channels"), {"layer2": 0}),
        (("held_out", "channels"), {"a": 1 << 15, "b": 1 << 16}),
        (("held_out", "file"), "elsewhere.f32"),
        (("method", "kind"), "found"),
        (("model",), ""),
        (("input", "depth"), 7),
        (("input", "depth"), 17),
    ],
)
def test_values_out_of_range_are_named(path: tuple[str, ...], value: object) -> None:
    assert dotted(path) in refused(changed(path, value))


@pytest.mark.parametrize("rule", ["interpolated", "generalised-pareto"])
def test_a_rule_goes_with_rates_that_it_can_state(rule: str) -> None:
    def told(**changes: object) -> str:
        own = {**example()["thresholds"]["default"], "rule": rule, **changes}
        return changed(("thresholds", "default"), own)

    assert Manifest.from_json(told()).threshold.rule == rule
    for name, value in (("expected_rate", 0.0), ("expected_rate", 0.2), ("upper_rate", 1.0)):
        assert "thresholds.default.upper_rate" in refused(told(**{name: value}))
    assert "thresholds.default.n_counted" in refused(told(n_counted=1))
    assert "thresholds.default.false_positive_rate" in refused(told(false_positive_rate=0.0))


def test_files_are_listed_once_with_a_size_and_a_hash() -> None:
    file = {"path": "a", "bytes": 1, "sha256": "0" * 64}
    assert "files" in refused(changed(("files",), [file, file]))
    assert "files.bytes" in refused(changed(("files",), [{**file, "bytes": -1}]))
    for digest in ("", "0" * 63, "0" * 65, "G" * 64, "A" * 64):
        assert "files.sha256" in refused(changed(("files",), [{**file, "sha256": digest}]))


def test_a_probe_is_one_of_the_files_and_has_its_peaks() -> None:
    assert "probes.peaks" in refused(changed(("probes", 0, "peaks"), [0.5] * 15))


def test_a_stranger_cannot_make_a_start_take_for_ever() -> None:
    (probe,) = example()["probes"]
    assert len(Manifest.from_json(changed(("probes",), [probe] * MAX_PROBES)).probes) == MAX_PROBES
    assert "'probes'" in refused(changed(("probes",), [probe] * (MAX_PROBES + 1)))
    assert "'probes'" in refused(changed(("probes", 0, "file"), "elsewhere.png"))


def test_only_a_reference_has_what_export_needs() -> None:
    assert "'reference'" in refused(changed(("kind",), "reference"))
    assert "'reference'" in refused(changed(("kind",), "compiled", "reference"))
    assert "reference.forms" in refused(changed(("reference", "forms"), {}, "reference"))
    assert "reference.forms" in refused(changed(("reference", "forms", "fp32"), "other.onnx", "reference"))
    where = ("reference", "calibration_forms", "fp32")
    assert "reference.forms" in refused(changed(where, "other.onnx", "reference"))
    where = ("reference", "forms", "int4")
    assert dotted(where) in refused(changed(where, "model.xml", "reference"))


def test_the_thresholds_of_products_have_plain_names_and_one_is_the_default() -> None:
    good = example()["thresholds"]["default"]
    assert "'default'" in refused(changed(("thresholds",), {"bolt": good}))
    for name in ("", "two words", "x" * 65, "../up", "größe"):
        text = refused(changed(("thresholds",), {"default": good, name: good}))
        assert "plain name" in text
    many = {f"p{i}": good for i in range(MAX_PRODUCTS)}
    assert str(MAX_PRODUCTS) in refused(changed(("thresholds",), {"default": good, **many}))


def test_a_wrapped_graph_says_where_it_came_from() -> None:
    for digest in ("", "0" * 63, "A" * 64):
        assert "method.sha256" in refused(changed(("method", "sha256"), digest, "wrapped"))
    assert parts_of(WRAPPED.method) == "wrapped from line4.onnx"
    assert parts_of(COMPOSED) == "scorer patchcore, post-processor gaussian"
    assert "method.kind" in refused(changed(("method", "kind"), ["composed"]))


def test_a_value_that_says_nothing_new_is_written_all_the_same() -> None:
    value = json.loads(dataclasses.replace(EXAMPLE, probes=(), notices=(), held_out=None).to_json())
    assert value["probes"] == [] == value["notices"] and value["held_out"] is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"format"',
        b"\xff\xfe\x00",
        b"\x00" * 100,
        "[" * 100_000,
        '{"format": ' + "9" * 5000 + "}",
        '{"a":' * 5000,
        b"\x80\x04\x95K.",  # a pickle
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_no_manifest_is_refused(text: str | bytes) -> None:
    refused(text)


def test_a_field_that_is_given_twice_is_refused() -> None:
    text = EXAMPLE.to_json()
    assert "twice" in refused(reseal(text.replace('"score": 3.25', '"score": 3.25, "score": 9.0', 1)))


def test_names_from_the_file_cannot_break_the_line() -> None:
    assert "\\n" in refused(changed(("two\nlines\x1b[31m",), 1))
    assert "\\n" in refused(reseal(changed(("facts", "two\nlines"), "HERE").replace('"HERE"', "1e999")))


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    for depth in (500, 900, 990, 5000):
        text = changed(("facts",), "HERE").replace('"HERE"', '{"a":' * depth + "1" + "}" * depth)
        refused(text)
        assert "nested" in refused(reseal(text)) or "recursion" in refused(reseal(text))


def test_a_manifest_over_the_limit_is_refused() -> None:
    assert "limit" in refused(" " * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(ManifestError, match="limit"):
        dataclasses.replace(EXAMPLE, facts={"x": "y" * MAX_MANIFEST_BYTES}).to_json()


def test_any_cut_or_changed_byte_is_an_error() -> None:
    rng = np.random.default_rng(9)
    data = EXAMPLE.to_json().encode()
    for length in range(0, len(data) - 2, 7):
        refused(data[:length])
    for _ in range(400):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 2):
            damaged[at] = rng.integers(0, 256)
        if damaged != data:
            with pytest.raises(BundleError) as caught:
                Manifest.from_json(bytes(damaged))
            assert "\n" not in str(caught.value)
            assert isinstance(caught.value, ManifestError | UnknownFormatError)


# ---------------------------------------------------------------- the digest


@pytest.mark.parametrize("made", [*EXAMPLES.values(), "v3"], ids=[*EXAMPLES, "golden"])
def test_no_flipped_bit_is_accepted(made: Manifest | str) -> None:
    data = GOLDEN.read_bytes() if isinstance(made, str) else made.to_json().encode()
    every_flip_is_refused(data)


@pytest.mark.parametrize("target", ["reference", "onnx", "openvino"])
def test_no_flipped_bit_of_a_real_bundle_is_accepted(
    target: str, reference_bundle: Any, compiled: Any
) -> None:
    bundle = reference_bundle if target == "reference" else compiled(target).bundle
    every_flip_is_refused((bundle.path / "manifest.json").read_bytes())


def every_flip_is_refused(data: bytes) -> None:
    assert Manifest.from_json(data).format == FORMAT
    damaged, accepted = bytearray(data), []
    for bit in range(8 * len(data)):
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            Manifest.from_json(bytes(damaged))
            accepted.append(bit)
        except (ManifestError, UnknownFormatError):
            pass
        damaged[bit // 8] ^= 1 << bit % 8
    assert accepted == [] and damaged == data


def test_the_digest_is_that_of_the_file_without_its_line() -> None:
    """As docs/bundle-format.md tells other programs to check it."""
    first, line, *rest = EXAMPLE.to_json().splitlines(keepends=True)
    digest = hashlib.sha256("".join([first, *rest]).encode()).hexdigest()
    assert line == f'  "digest": "{digest}",\n'


def test_it_is_said_that_a_manifest_was_changed() -> None:
    text = EXAMPLE.to_json().replace('"score": 3.25', '"score": 9.25')
    with pytest.raises(ManifestDigestError, match="was changed"):
        Manifest.from_json(text)
    for number in (1, 2):  # said to be of a format without one
        refused(text.replace('"format": 3', f'"format": {number}'))
        refused(EXAMPLE.to_json().replace('"format": 3', f'"format": {number}'))
    assert "digest" in refused(json.dumps(without_digest(example()) | {"format": 3}))


def test_the_same_in_other_bytes_is_refused_although_its_digest_is_right() -> None:
    text = EXAMPLE.to_json()
    for other in (
        text.replace('"edgead": ', '"edgead":  ', 1),
        text.replace("ö", "\\u00f6"),
        text.replace("0.04", "0.040"),
        text.replace("3.25", "325e-2"),
        text + "\n",
        text.removesuffix("\n"),
        text.replace(
            '      "bytes": 10,\n      "path": "model.xml",\n',
            '      "path": "model.xml",\n      "bytes": 10,\n',
        ),
        text.replace('"depth": 12,', '"depth": 12,\r'),
    ):
        assert other != text and "isn't written as edgead writes it" in refused(reseal(other))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("number", [2, FORMAT])
def test_only_utf_8_without_a_mark_is_read(encoding: str, number: int) -> None:
    text = EXAMPLE.to_json() if number == FORMAT else json.dumps(without_digest(example()))
    assert isinstance(Manifest.from_json(text.encode()), Manifest)
    assert "not valid JSON" in refused(text.encode(encoding))


def test_a_long_name_over_many_values_is_read_in_a_moment() -> None:
    """It costs what its bytes do; joined to each value's place it would be a terabyte."""
    facts = {"k" * 1_500_000: [0] * 1_200_000}
    text = json.dumps(without_digest(example()) | {"facts": facts}, separators=(",", ":"))
    assert Manifest.from_json(text).facts == facts
    message = refused(text.replace("0]", "1e999]"))
    assert len(message) < 1000 and "[1199999]" in message
