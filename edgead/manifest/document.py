"""The manifest as one document: what a bundle says about itself, and as strict JSON.

Reading accepts exactly the fields of the records: one that is missing, unknown, of the wrong type or range is
an error that names it. A number that a line depends on is never a default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgead.errors import ManifestError, UnknownFormatError
from edgead.manifest import format1
from edgead.manifest.records import (
    DEFAULT,
    LEAST_RATE,
    MAX_IMAGES,
    FileRecord,
    HeldOutRecord,
    InputRecord,
    MethodRecord,
    ProbeRecord,
    ReferenceRecord,
    RoiRecord,
    TeachingRecord,
    ThresholdRecord,
    WindowsRecord,
    WrappedMethod,
)
from edgead.manifest.sealing import DIGEST, SEALED, check_canonical, check_digest, sealed
from edgead.manifest.sizes_found import SizesFoundRecord
from edgead.manifest.strict import ADDED, MANIFEST, Document, check_plain, load, plain, read
from edgead.notices import Notice
from edgead.types import Precision
from edgead.windows import MAX_SCALE, STEP


def _unsealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Format 3 without its digest, which is looked at when all else has been."""
    if not isinstance(value.get(DIGEST), str):
        raise ManifestError(f"manifest field {DIGEST!r} is missing or not a string; export the bundle again")
    return {name: each for name, each in value.items() if name != DIGEST}


FORMAT = 3
"""The number of the format that is written: format 2 and a digest, see ``edgead.manifest.sealing``."""
READERS: Mapping[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    1: format1.upgrade,
    2: dict,
    3: _unsealed,
}
"""By format, what makes a JSON object of format 2 of it."""
MAX_MANIFEST_BYTES = 4 << 20
"""Largest manifest that is read or written."""
MAX_PROBES = 64
"""Most images and changes of them that a detector runs before its first frame: export writes 22 at most."""
MAX_PRODUCTS = 256
MAX_AREA = 1 << 30
"""Pixels of the largest map that ``input.size`` allows."""
MAX_INPUT_PIXELS = 1 << 26
"""Of a model's input, 67 megapixels: 8192 x 8192, as large as fit makes one."""
MAX_ROI_PIXELS = 100_000_000
"""Of a region of interest: what an image file may have."""
MAX_CHANNELS = 1 << 16
"""Most channels of embedded features, all maps together."""

_PRODUCT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True)
class Manifest:
    """Everything that a bundle says about itself.

    Attributes:
        edgead: the version that wrote it.
        kind: ``reference`` is what fit writes, with every form; ``compiled`` is what export writes.
        method, input: as their records say.
        thresholds: by product; ``default`` is always there.
        target: what it was compiled for.
        engine: the engine that runs ``model``.
        engine_precision: the arithmetic that the engine may use for what isn't quantised.
        precision: the form of the graph.
        model: the file to open; one of ``files``.
        reports: the gates' reports, JSON.
        provenance: where backbone, plugin and parent bundle come from, JSON.
        facts: what the scorer tells about itself, JSON; nobody else writes here.
        reference: what a reference bundle has for export; None in a compiled one.
        held_out: the held-out good images' figures.
        probes: images with their exact results, which a processor must show that it can repeat.
        notices: what whoever uses the bundle should know of it.
        files: every file but the manifest; the bundle's writer fills it in.
        teaching: what teaching takes; None where the method has no bank, or an older edgead wrote the bundle.
        windows: how a frame is judged in windows; None where it's resized as a whole.
        roi: the region of interest; None where the whole frame is judged.
        sizes_found: what sizes of defects the input still shows; None where that wasn't measured.
        format: the number of the format that it was read from.
    """

    edgead: str
    kind: Literal["reference", "compiled"]
    method: MethodRecord
    input: InputRecord
    thresholds: Mapping[str, ThresholdRecord]
    target: str
    engine: str
    engine_precision: Literal["f32", "bf16"]
    precision: Precision
    model: str
    reports: Mapping[str, Any]
    provenance: Mapping[str, Any]
    facts: Mapping[str, Any]
    reference: ReferenceRecord | None = None
    held_out: HeldOutRecord | None = None
    probes: tuple[ProbeRecord, ...] = ()
    notices: tuple[Notice, ...] = ()
    files: tuple[FileRecord, ...] = ()
    teaching: TeachingRecord | None = field(default=None, metadata=ADDED)
    windows: WindowsRecord | None = field(default=None, metadata=ADDED)
    roi: RoiRecord | None = field(default=None, metadata=ADDED)
    sizes_found: SizesFoundRecord | None = field(default=None, metadata=ADDED)
    format: int = FORMAT

    @property
    def threshold(self) -> ThresholdRecord:
        """The thresholds of the product ``default``."""
        return self.thresholds[DEFAULT]

    @property
    def size_doubts(self) -> tuple[Notice, ...]:
        """What is doubtful about the sizes of defects that are found, for ``edgead.notices.say``."""
        if self.sizes_found is None:
            return ()
        return self.sizes_found.doubts(self.input.size, None if self.windows is None else self.windows.scale)

    def to_json(self) -> str:
        """Return the manifest as JSON of format 3: sorted, indented, the same bytes for the same values.

        Raises:
            ManifestError: a value that ``from_json`` would refuse, or that JSON can't say.
        """
        try:
            text = sealed({**plain(self), "format": FORMAT})
        except (TypeError, ValueError, RecursionError) as error:
            check_plain(plain(self), "")
            raise ManifestError(
                f"the manifest can't be written as JSON ({error}); give plain values"
            ) from None
        Manifest.from_json(text)  # what is written can be read
        return text

    @staticmethod
    def from_json(text: str | bytes) -> Manifest:
        """Read a manifest of any format in ``READERS``.

        Raises:
            UnknownFormatError: the format is another.
            ManifestDigestError: a manifest with a digest was changed.
            ManifestError: no JSON, too large, or a field is missing, unknown, of the wrong type or range.
        """
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        if len(data) > MAX_MANIFEST_BYTES:
            raise ManifestError(f"the manifest has {len(data)} bytes, over the limit of {MAX_MANIFEST_BYTES}")
        check_digest(data)
        value = load(data)
        number = value.get("format")
        if type(number) is not int:
            raise ManifestError("manifest field 'format' is missing or not a whole number")
        if number not in READERS:
            known = " and ".join(map(str, sorted(READERS)))
            raise UnknownFormatError(
                f"bundle format {number} is unknown, this version reads {known}; "
                "update edgead or export again"
            )
        try:
            value = READERS[number](value)
        except RecursionError:
            raise ManifestError("the manifest is nested too deeply; export the bundle again") from None
        manifest: Manifest = read(Manifest, {**value, "format": number})
        _check(manifest)
        if number >= SEALED:
            check_canonical(data, plain(manifest))
        return manifest


def _check(manifest: Manifest) -> None:
    """Ranges, and what fields have to do with each other."""
    files = {file.path for file in manifest.files}
    reference, held_out = manifest.reference, manifest.held_out
    checks = [
        ("input.size", all(1 <= side <= 1 << 15 for side in manifest.input.size), "sides of 1 to 32768"),
        ("input.size", math.prod(manifest.input.size) <= MAX_INPUT_PIXELS,
         f"{MAX_INPUT_PIXELS} pixels (67 megapixels) at most"),
        ("input.depth", 8 <= manifest.input.depth <= 16, "8 to 16 bits"),
        *_of_thresholds(manifest.thresholds),
        ("method.seed", manifest.method.seed >= 0, "0 or more"),
        ("model", bool(manifest.model), "a file name"),
        ("files", len(files) == len(manifest.files), "each path once"),
        ("files.bytes", all(file.bytes >= 0 for file in manifest.files), "0 or more"),
        ("files.sha256", all(_is_sha256(file.sha256) for file in manifest.files), "64 lower-case hex digits"),
        ("probes", {p.file for p in manifest.probes} <= files, "listed files"),
        ("probes", len(manifest.probes) <= MAX_PROBES, f"{MAX_PROBES} at most"),
        ("probes.peaks", all(len(p.peaks) == 16 for p in manifest.probes), "16 numbers"),
        ("reference", (reference is not None) == (manifest.kind == "reference"),
         "there for kind 'reference', and null for 'compiled'"),
    ]  # fmt: skip
    if isinstance(manifest.method, WrappedMethod):
        checks.append(("method.sha256", _is_sha256(manifest.method.sha256), "64 lower-case hex digits"))
    elif (chosen := manifest.method.image_score) is not None:
        checks += [
            (
                "method.image_score.separations",
                all(0 <= auroc <= 1 for auroc in chosen.separations.values()),
                "0 to 1",
            ),
            ("method.image_score.share", 0 < chosen.share <= 1, "over 0, and 1 at most"),
        ]
    if reference is not None:
        named = {*reference.forms.values(), *reference.calibration_forms.values()}
        checks += [
            ("reference.forms", bool(reference.forms), "one form at least"),
            ("reference.forms", not files or named <= files, "listed files"),
        ]
    if held_out is not None:
        checks += [
            ("held_out.n_images", 0 < held_out.n_images <= 1 << 20, "1 to 1048576"),
            ("held_out.groups", len(held_out.groups) in (0, held_out.n_images), "one an image, or none"),
            ("held_out.folds", 0 <= held_out.folds <= 1 << 20, "0 to 1048576"),
            ("held_out.n_defects", 0 <= held_out.n_defects <= 1 << 20, "0 to 1048576"),
            ("held_out.channels", all(n > 0 for n in held_out.channels.values()), "1 or more"),
            ("held_out.channels", sum(held_out.channels.values()) <= MAX_CHANNELS, f"{MAX_CHANNELS} at most"),
            ("held_out.file", held_out.file is None or not files or held_out.file in files, "a listed file"),
        ]
    if (teaching := manifest.teaching) is not None:
        h, w = teaching.grid
        checks += [
            ("teaching.grid", 1 <= h <= 1 << 12 and 1 <= w <= 1 << 12, "1 to 4096"),
            ("teaching.dim", 1 <= teaching.dim <= MAX_CHANNELS, f"1 to {MAX_CHANNELS}"),
            ("teaching.file", not files or teaching.file in files, "a listed file"),
            ("teaching.embedding", 1 <= len(teaching.embedding) <= 200, "a tensor's name"),
            ("teaching.patch", 1 <= len(teaching.patch) <= 200, "a tensor's name"),
        ]
    if (windows := manifest.windows) is not None:
        shorter = min(manifest.input.size)
        checks += [
            ("windows.margin", 0 <= 2 * windows.margin <= shorter - STEP, "under half of a window's side"),
            ("windows.scale", 1 <= windows.scale <= MAX_SCALE, f"1 to {MAX_SCALE}"),
            ("windows.distances", len(windows.distances) <= 1 << 10, "1024 at most"),
            ("windows.changes", len(windows.changes) == len(windows.distances), "one a distance"),
            ("windows.changes", all(change >= 0 for change in windows.changes), "0 or more"),
            ("windows.pixels", 0 <= windows.pixels < 1 << 40, "0 or more"),
        ]
    if (roi := manifest.roi) is not None:
        checks += [
            ("roi.height", 1 <= roi.height <= 1 << 15, "1 to 32768"),
            ("roi.width", 1 <= roi.width <= 1 << 15, "1 to 32768"),
            ("roi", roi.height * roi.width <= MAX_ROI_PIXELS, f"of {MAX_ROI_PIXELS} pixels at most"),
            ("roi.share", 0 < roi.share <= 1, "over 0, and 1 at most"),
            ("roi.fill", all(0 <= level <= 255 for level in roi.fill), "0 to 255 each"),
            ("roi.file", not files or roi.file in files, "a listed file"),
        ]
    if manifest.sizes_found is not None:
        checks += manifest.sizes_found.checks()
    _require(checks)


def check_thresholds(thresholds: Mapping[str, ThresholdRecord], document: Document = MANIFEST) -> None:
    """Raise ManifestError where a manifest with these thresholds would be refused.

    Args:
        document: how the message names what holds them.
    """
    _require(_of_thresholds(thresholds), document)


def _require(checks: Iterable[tuple[str, bool, str]], document: Document = MANIFEST) -> None:
    for name, holds, wanted in checks:
        if not holds:
            raise document.error(f"is out of range: it must be {wanted}", name)


def _of_thresholds(thresholds: Mapping[str, ThresholdRecord]) -> list[tuple[str, bool, str]]:
    return [
        ("thresholds", DEFAULT in thresholds, "one with 'default' in it"),
        ("thresholds", len(thresholds) <= MAX_PRODUCTS, f"of {MAX_PRODUCTS} products at most"),
        *(check for each in thresholds.items() for check in _of_threshold(*each)),
    ]


def _of_threshold(product: str, own: ThresholdRecord) -> list[tuple[str, bool, str]]:
    at = f"thresholds.{product}"
    beyond = own.rule in ("interpolated", "generalised-pareto")
    return [
        (at, is_product(product), "of a plain name, up to 64 letters and digits"),
        (f"{at}.false_positive_rate", 0 <= own.false_positive_rate <= 1, "a rate of 0 to 1"),
        (f"{at}.expected_rate", 0 <= own.expected_rate <= 1, "a rate of 0 to 1"),
        (f"{at}.upper_rate", 0 <= own.upper_rate <= 1, "a rate of 0 to 1"),
        (f"{at}.n_images", 0 <= own.n_images <= MAX_IMAGES, f"0 to {MAX_IMAGES}"),
        (f"{at}.false_positive_rate", not own.is_aimed or own.false_positive_rate >= LEAST_RATE,
         f"at least {LEAST_RATE}, where it was aimed at"),
        (f"{at}.n_counted", 0 <= own.n_counted <= own.n_images, "0 to n_images"),
        (f"{at}.n_counted", not beyond or own.n_counted > 1, f"2 or more for rule {own.rule!r}"),
        (f"{at}.upper_rate", not beyond or 0 < own.expected_rate < own.upper_rate < 1,
         f"over expected_rate, and both between 0 and 1, for rule {own.rule!r}"),
        (f"{at}.smallest_area", 0 <= own.smallest_area <= MAX_AREA, f"0 to {MAX_AREA}"),
    ]  # fmt: skip


def is_product(name: str) -> bool:
    """Whether a product may be called so: up to 64 letters, digits and ``. _ + -``."""
    return _PRODUCT.fullmatch(name) is not None


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


__all__ = [
    "FORMAT",
    "MAX_CHANNELS",
    "MAX_INPUT_PIXELS",
    "MAX_MANIFEST_BYTES",
    "MAX_PROBES",
    "MAX_PRODUCTS",
    "READERS",
    "Manifest",
    "check_thresholds",
    "is_product",
]
