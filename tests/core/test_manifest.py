"""The manifest: what is written is read back the same, and every departure from the schema is named."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from edgead.errors import ManifestError, UnknownFormatError
from edgead.manifest import (
    FORMAT,
    MAX_MANIFEST_BYTES,
    MAX_PROBES,
    FileRecord,
    InputRecord,
    Manifest,
    MethodRecord,
    ProbeRecord,
    ThresholdRecord,
)
from edgead.notices import Notice

EXAMPLE = Manifest(
    edgead="0.1.0",
    kind="compiled",
    method=MethodRecord("patchcore", "patchcore", "gaussian", {"layers": ["a", "b"], "ratio": 0.01}, 0),
    input=InputRecord((640, 256), "stretch", depth=12),
    threshold=ThresholdRecord(
        3.25, 2.5, "order statistic", 0.01, 40, "0.01 can't be read off 40 images", 0.04, 0.13, 24
    ),
    target="openvino",
    engine="openvino",
    engine_precision="f32",
    precision="int8",
    model="model.xml",
    reports={"parity": {"passed": True, "worst": 1e-6}},
    provenance={"backbone": "default", "größe": "klein"},
    facts={"bank": [1228, 384]},
    files=(FileRecord("model.xml", 10, "0" * 64), FileRecord("model.bin", 0, "f" * 64)),
    probes=(ProbeRecord("model.bin", "none", 1.5, (0.5,) * 16),),
    notices=(Notice("near-copies", {"images": 3}),),
)
ADDED = {
    ("input", "depth"): 8,
    ("probes",): (),
    ("notices",): (),
    ("threshold", "expected_rate"): 0.0,
    ("threshold", "upper_rate"): 1.0,
    ("threshold", "n_groups"): 0,
}
"""Fields that the format's first bundles didn't have, and what their absence says."""


def fields(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every field that the schema knows, as a path into the JSON; free JSON objects are left out."""
    free = {("method", "options"), ("reports",), ("provenance",), ("facts",), ("notices", 0, "values")}
    found = [path] if path else []
    if isinstance(value, dict) and path not in free:
        found += [p for key, inner in value.items() for p in fields(inner, (*path, key))]
    if isinstance(value, list):
        found += [p for i, inner in enumerate(value) for p in fields(inner, (*path, i))]
    return found


def example() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(EXAMPLE.to_json())
    return value


def changed(path: tuple[str | int, ...], new: Any) -> str:
    value = example()
    inner: Any = value
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return json.dumps(value)


def dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")


def refused(text: str | bytes) -> str:
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_written_is_read_back() -> None:
    text = EXAMPLE.to_json()
    assert Manifest.from_json(text) == EXAMPLE
    assert Manifest.from_json(text.encode()) == EXAMPLE
    assert Manifest.from_json(text).to_json() == text
    assert text.endswith("}\n")


def test_the_bytes_do_not_depend_on_the_order_of_anything() -> None:
    turned = dataclasses.replace(
        EXAMPLE,
        facts=dict(reversed(EXAMPLE.facts.items())),
        method=dataclasses.replace(EXAMPLE.method, options={"ratio": 0.01, "layers": ("a", "b")}),
    )
    assert turned.to_json() == EXAMPLE.to_json()
    assert list(example()) == sorted(example())


def test_floats_survive_to_the_last_bit() -> None:
    rng = np.random.default_rng(5)
    for value in rng.standard_normal(200) * 10.0 ** rng.integers(-300, 300, 200):
        threshold = dataclasses.replace(EXAMPLE.threshold, score=float(value))
        back = Manifest.from_json(dataclasses.replace(EXAMPLE, threshold=threshold).to_json())
        assert back.threshold.score == float(value)


def test_a_whole_number_will_do_for_a_float() -> None:
    score = Manifest.from_json(changed(("threshold", "score"), 3)).threshold.score
    assert score == 3.0 and type(score) is float


@pytest.mark.parametrize("path", fields(json.loads(EXAMPLE.to_json())), ids=dotted)
def test_every_field_is_checked(path: tuple[str | int, ...]) -> None:
    """Each field in turn is left out, renamed, and given values of every wrong type."""
    value = example()
    inner: Any = value
    for step in path[:-1]:
        inner = inner[step]
    good = inner.pop(path[-1])
    if path in ADDED:
        found: Any = Manifest.from_json(json.dumps(value))
        for step in path:
            found = getattr(found, str(step))
        assert found == ADDED[path]
    elif isinstance(path[-1], str):
        text = refused(json.dumps(value))
        assert dotted(path) in text and "missing" in text
        inner[path[-1]] = good
        inner["surprise"] = 1
        text = refused(json.dumps(value))
        assert dotted((*path[:-1], "surprise")) in text and "unknown" in text
    for wrong in (None, True, [], {}, "x", 1.5, [None], {"a": None}):
        if type(wrong) is type(good) and (not isinstance(wrong, list) or wrong == []):
            continue  # the right type: values are other tests' business
        assert dotted(path) in refused(changed(path, wrong))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_number_that_is_not_finite_is_named(constant: str) -> None:
    places = (("threshold", "score"), ("threshold", "pixel"), ("reports", "parity", "worst"), ("facts", "x"))
    for path in places:
        text = changed(path, "HERE").replace('"HERE"', constant)
        assert dotted(path) in refused(text)
    with pytest.raises(ManifestError):
        Manifest.from_json(changed(("format",), "HERE").replace('"HERE"', constant))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan")])
def test_a_number_that_is_not_finite_is_never_written(value: float) -> None:
    with pytest.raises(ManifestError, match=r"facts\.x"):
        dataclasses.replace(EXAMPLE, facts={"x": [value]}).to_json()
    with pytest.raises(ManifestError, match=r"threshold\.score"):
        threshold = dataclasses.replace(EXAMPLE.threshold, score=value)
        dataclasses.replace(EXAMPLE, threshold=threshold).to_json()


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
        (("threshold", "false_positive_rate"), 1.5),
        (("threshold", "false_positive_rate"), -0.1),
        (("threshold", "n_images"), -1),
        (("threshold", "expected_rate"), 1.5),
        (("threshold", "upper_rate"), -0.5),
        (("threshold", "n_groups"), 41),
        (("threshold", "n_groups"), -1),
        (("model",), ""),
        (("input", "depth"), 7),
        (("input", "depth"), 17),
    ],
)
def test_values_out_of_range_are_named(path: tuple[str, ...], value: object) -> None:
    assert dotted(path) in refused(changed(path, value))


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


def test_what_was_added_to_the_format_is_only_written_where_it_says_something() -> None:
    plain = dataclasses.replace(
        EXAMPLE, probes=(), notices=(), input=dataclasses.replace(EXAMPLE.input, depth=8)
    )
    value = json.loads(plain.to_json())
    assert "probes" not in value and "notices" not in value and "depth" not in value["input"]
    assert Manifest.from_json(plain.to_json()) == plain


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
    assert "twice" in refused(text.replace('"score": 3.25', '"score": 3.25, "score": 9.0'))


def test_names_from_the_file_cannot_break_the_line() -> None:
    assert "\\n" in refused(changed(("two\nlines\x1b[31m",), 1))
    assert "\\n" in refused(changed(("facts", "two\nlines"), "HERE").replace('"HERE"', "1e999"))


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    for depth in (500, 900, 990, 5000):
        text = changed(("facts",), "HERE").replace('"HERE"', '{"a":' * depth + "1" + "}" * depth)
        try:
            Manifest.from_json(text)
        except ManifestError as error:
            assert "\n" not in str(error)


def test_a_manifest_over_the_limit_is_refused() -> None:
    assert "limit" in refused(" " * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(ManifestError, match="limit"):
        dataclasses.replace(EXAMPLE, facts={"x": "y" * MAX_MANIFEST_BYTES}).to_json()


def test_any_cut_or_changed_byte_is_an_error_or_a_valid_manifest() -> None:
    rng = np.random.default_rng(9)
    data = EXAMPLE.to_json().encode()
    for length in range(0, len(data) - 2, 7):
        refused(data[:length])
    for _ in range(400):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 2):
            damaged[at] = rng.integers(0, 256)
        try:
            assert isinstance(Manifest.from_json(bytes(damaged)), Manifest)
        except (ManifestError, UnknownFormatError) as error:
            assert "\n" not in str(error)
