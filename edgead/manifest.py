"""The manifest: what a bundle says about itself, as frozen records and as strict JSON.

Reading accepts exactly the fields below: one that is missing, unknown, of the wrong type or not finite is an
error that names it. A number that a line depends on is never a default. Only fields that were added since the
format's first bundles may be missing (``ADDED``): they then say what was true of those.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from edgead.errors import ManifestError, UnknownFormatError
from edgead.notices import Notice
from edgead.types import Precision, Resize, Size

FORMAT = 1
MAX_MANIFEST_BYTES = 4 << 20
"""Largest manifest that is read or written."""
MAX_PROBES = 64
"""Most images and changes of them that a detector runs before its first frame: export writes 22 at most."""
ADDED = {"added": True}
"""Metadata of a field that bundles of this format didn't always have."""


@dataclass(frozen=True)
class MethodRecord:
    """The method that was fitted, with every option spelt out."""

    name: str
    scorer: str
    postprocessor: str
    options: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class InputRecord:
    """How a frame becomes the graph's input; ``edgead.resize.ResizeRule(size, resize)``.

    Attributes:
        depth: significant bits of the 16-bit images that were learned, 9 to 16, and so of all those judged; 8
            where none had 16 bits, which leaves a frame's depth open.
    """

    size: Size
    resize: Resize
    channel_order: Literal["bgr"] = "bgr"
    depth: int = field(default=8, metadata=ADDED)


@dataclass(frozen=True)
class ThresholdRecord:
    """The calibrated thresholds and what they rest on.

    Attributes:
        score: a larger image score is anomalous.
        pixel: a larger value of the anomaly map is anomalous.
        rule: how they were calculated.
        false_positive_rate: the rate aimed at, 0 to 1.
        n_images: held-out good images that they were calibrated on.
        note: their uncertainty, in one sentence.
        expected_rate: the false-positive rate to expect, 0 to 1; 0 where only the note says it.
        upper_rate: the rate is below this with 95 % confidence; 1 where nothing is known.
        n_groups: groups that the images form, each counted once; 0 where each counts.
    """

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
class ProbeRecord:
    """An image that the bundle carries, and what its graph makes of it in exact arithmetic.

    Attributes:
        file: a PNG of the model's input size; one of the bundle's files.
        change: what is done to the image first; see ``edgead.runtime.proof.CHANGES``.
        score: the image score.
        peaks: the anomaly map's maximum in each of 4 x 4 equal parts, row by row.
    """

    file: str
    change: Literal["none", "inverted", "dark", "turned"]
    score: float
    peaks: tuple[float, ...]


@dataclass(frozen=True)
class FileRecord:
    """One file of the bundle: its plain relative path, size in bytes and SHA-256 in lower-case hex."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything that a bundle says about itself.

    Attributes:
        edgead: the version that wrote it.
        kind: ``reference`` is what fit writes, with every form; ``compiled`` is what export writes.
        method, input, threshold: as their records say.
        target: what it was compiled for.
        engine: the engine that runs ``model``.
        engine_precision: the arithmetic that the engine may use for what isn't quantised.
        precision: the form of the graph.
        model: the file to open; one of ``files``.
        reports: the gates' reports, JSON.
        provenance: where backbone, plugin and parent bundle come from, JSON.
        facts: what the scorer tells about itself, JSON.
        files: every file but the manifest; the bundle's writer fills it in.
        format: the number of this format.
        probes: images with their exact results, which a processor must show that it can repeat.
        notices: what whoever uses the bundle should know of it.
    """

    edgead: str
    kind: Literal["reference", "compiled"]
    method: MethodRecord
    input: InputRecord
    threshold: ThresholdRecord
    target: str
    engine: str
    engine_precision: Literal["f32", "bf16"]
    precision: Precision
    model: str
    reports: Mapping[str, Any]
    provenance: Mapping[str, Any]
    facts: Mapping[str, Any]
    files: tuple[FileRecord, ...] = ()
    format: int = FORMAT
    probes: tuple[ProbeRecord, ...] = field(default=(), metadata=ADDED)
    notices: tuple[Notice, ...] = field(default=(), metadata=ADDED)

    def to_json(self) -> str:
        """Return the manifest as JSON: sorted, indented, the same bytes for the same values.

        Raises:
            ManifestError: a value that ``from_json`` would refuse, or that JSON can't say.
        """
        try:
            text = json.dumps(_plain(self), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
            text.encode()
        except (TypeError, ValueError, RecursionError) as error:
            _find_not_finite(_plain(self), "")
            raise ManifestError(
                f"the manifest can't be written as JSON ({error}); give plain values"
            ) from None
        Manifest.from_json(text.encode())  # what is written can be read
        return text + "\n"

    @staticmethod
    def from_json(text: str | bytes) -> Manifest:
        """Read a manifest.

        Raises:
            UnknownFormatError: the format number is another than ``FORMAT``.
            ManifestError: no JSON, too large, or a field is missing, unknown, of the wrong type or range.
        """
        if len(text) > MAX_MANIFEST_BYTES:
            raise ManifestError(f"the manifest has {len(text)} bytes, over the limit of {MAX_MANIFEST_BYTES}")
        try:
            value = json.loads(text, object_pairs_hook=_unique)  # NaN gets in here and is named below
        except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
            raise ManifestError(
                f"the manifest is not valid JSON ({error}); export the bundle again"
            ) from None
        if not isinstance(value, dict):
            raise ManifestError("the manifest is not a JSON object; export the bundle again")
        number = value.get("format")
        if type(number) is not int:
            raise ManifestError("manifest field 'format' is missing or not a whole number")
        if number != FORMAT:
            raise UnknownFormatError(
                f"bundle format {number} is unknown, this version reads {FORMAT}; "
                "update edgead or export again"
            )
        try:
            manifest: Manifest = _record(Manifest, value, "")
        except RecursionError:
            raise ManifestError("the manifest is nested too deeply; export the bundle again") from None
        _check_ranges(manifest)
        return manifest


def _check_ranges(manifest: Manifest) -> None:
    threshold, files = manifest.threshold, manifest.files
    checks = (
        ("input.size", all(1 <= side <= 1 << 15 for side in manifest.input.size), "sides of 1 to 32768"),
        ("input.depth", 8 <= manifest.input.depth <= 16, "8 to 16 bits"),
        ("threshold.false_positive_rate", 0 <= threshold.false_positive_rate <= 1, "a rate of 0 to 1"),
        ("threshold.n_images", threshold.n_images >= 0, "0 or more"),
        ("threshold.expected_rate", 0 <= threshold.expected_rate <= 1, "a rate of 0 to 1"),
        ("threshold.upper_rate", 0 <= threshold.upper_rate <= 1, "a rate of 0 to 1"),
        ("threshold.n_groups", 0 <= threshold.n_groups <= threshold.n_images, "0 to n_images"),
        ("model", bool(manifest.model), "a file name"),
        ("files", len({file.path for file in files}) == len(files), "each path once"),
        ("files.bytes", all(file.bytes >= 0 for file in files), "0 or more"),
        ("files.sha256", all(_is_sha256(file.sha256) for file in files), "64 lower-case hex digits"),
        ("probes", {p.file for p in manifest.probes} <= {f.path for f in files}, "listed files"),
        ("probes", len(manifest.probes) <= MAX_PROBES, f"{MAX_PROBES} at most"),
        ("probes.peaks", all(len(p.peaks) == 16 for p in manifest.probes), "16 numbers"),
    )
    for name, holds, wanted in checks:
        if not holds:
            raise ManifestError(f"manifest field {name!r} is out of range: it must be {wanted}")


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


# ---------------------------------------------------------------- JSON to records, by their annotations


@functools.cache
def _fields(record: type) -> dict[str, Any]:
    return typing.get_type_hints(record)


@functools.cache
def _added(record: type) -> frozenset[str]:
    """The fields that may be missing."""
    return frozenset(f.name for f in dataclasses.fields(record) if "added" in f.metadata)


def _record(record: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ManifestError(f"manifest field {where!r} must be a JSON object")
    dot = f"{where}." if where else ""
    for name in sorted(_fields(record).keys() ^ value.keys()):
        if name in value or name not in _added(record):
            fault = "is unknown" if name in value else "is missing"
            raise ManifestError(f"manifest field {dot + name!r} {fault}; export the bundle again")
    kinds = {name: kind for name, kind in _fields(record).items() if name in value}
    return record(**{name: _value(kind, value[name], dot + name) for name, kind in kinds.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast(type, kind), value, where)
    if kind is float and type(value) is int and abs(value) < 1 << 53:  # other writers may leave ".0" out
        value = float(value)
    if kind in (int, str, float):
        if type(value) is not kind:
            name = {int: "a whole number", str: "a string", float: "a number"}[kind]
            raise ManifestError(f"manifest field {where!r} must be {name}, not {_json_name(value)}")
        _find_not_finite(value, where)
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value not in arguments:
            raise ManifestError(f"manifest field {where!r} must be one of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise ManifestError(f"manifest field {where!r} must be a list, not {_json_name(value)}")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) != len(value):
            raise ManifestError(f"manifest field {where!r} must have {len(kinds)} values, not {len(value)}")
        return tuple(_value(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if not isinstance(value, dict):
        raise ManifestError(f"manifest field {where!r} must be a JSON object, not {_json_name(value)}")
    _find_not_finite(value, where)
    return value


def _json_name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _find_not_finite(value: Any, where: str) -> None:
    """Raise for a float that isn't finite, anywhere in a JSON value: 1e999 reads as infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ManifestError(f"manifest field {where!r} is {value}, not a finite number")
    for key, inner in value.items() if isinstance(value, dict) else ():
        _find_not_finite(inner, f"{where}.{key}" if where else str(key))
    for i, inner in enumerate(value) if isinstance(value, list | tuple) else ():
        _find_not_finite(inner, f"{where}[{i}]")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        # A field that says nothing new is left out, so that an older version can read the rest.
        return {f.name: _plain(v) for f, v in held if "added" not in f.metadata or v != f.default}
    if isinstance(value, dict | MappingProxyType):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a field is given twice")
    return result


__all__ = [
    "FORMAT",
    "MAX_MANIFEST_BYTES",
    "FileRecord",
    "InputRecord",
    "Manifest",
    "MethodRecord",
    "ProbeRecord",
    "ThresholdRecord",
]
