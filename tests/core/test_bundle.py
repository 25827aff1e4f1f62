"""Reading bundles: a good one loads, and each way to break one, for real, has its own error."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgead.bundle import MAX_FILES, RESERVED, listing, read_bundle, reading, write_bundle
from edgead.errors import (
    BundleError,
    BundleNotFoundError,
    ExtraFileError,
    FileSizeError,
    HashMismatchError,
    HeldOutFileError,
    LinkError,
    ManifestError,
    MissingFileError,
    OutputError,
    UnknownFormatError,
    UnsafePathError,
)
from edgead.held_out import moments_of, read_held_out
from edgead.manifest import (
    MAX_MANIFEST_BYTES,
    ComposedMethod,
    HeldOutRecord,
    InputRecord,
    Manifest,
    ReferenceRecord,
    ThresholdRecord,
)
from edgead.notices import Notice, say
from edgead.runtime.detector import load
from tests.sealed import change_manifest

GOLDEN = Path(__file__).parents[1] / "golden"

MANIFEST = Manifest(
    edgead="0.1.0",
    kind="reference",
    method=ComposedMethod("patchcore", "patchcore", "gaussian", {}, 0),
    input=InputRecord((64, 32), "stretch"),
    thresholds={"default": ThresholdRecord(1.5, 2.0, "given", 0.01, 20, "images", 20, 0.0, 1.0)},
    target="onnx",
    engine="onnxruntime",
    engine_precision="f32",
    precision="fp32",
    model="forms/fp32.onnx",
    reports={},
    provenance={},
    facts={},
    reference=ReferenceRecord(forms={"fp32": "forms/fp32.onnx", "int8": "forms/int8.onnx"}),
)
FILES = {
    "forms/fp32.onnx": b"fp32" * 500,
    "forms/int8.onnx": b"int8",
    "probes/000.png": b"",
    "note.txt": b"n",
}


def make(path: Path, files: dict[str, bytes] = FILES, manifest: Manifest = MANIFEST) -> Path:
    with write_bundle(path) as staging:
        for name, data in files.items():
            (staging.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staging.folder / name).write_bytes(data)
        staging.finish(manifest)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return make(tmp_path / "good.edgead")


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest's JSON, as somebody who knows the format would."""
    change_manifest(path, change)


def listed(folder: Path, name: str, **changes: Any) -> None:
    def change(value: dict[str, Any]) -> None:
        next(file for file in value["files"] if file["path"] == name).update(changes)

    edit(folder, change)


def refused(path: Path, kind: type[BundleError]) -> str:
    with pytest.raises(BundleError) as caught:
        read_bundle(path)
    assert type(caught.value) is kind, caught.value
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text
    return text


# ---------------------------------------------------------------- what is fine


def test_a_good_bundle_loads(good: Path) -> None:
    bundle = read_bundle(good)
    assert [file.path for file in bundle.manifest.files] == sorted(FILES)
    for name, data in FILES.items():
        assert bundle.file(name).read_bytes() == data
    assert dataclasses.replace(bundle.manifest, files=()) == MANIFEST
    assert read_bundle(good, verify=False) == bundle
    assert bundle.digest == hashlib.sha256((good / "manifest.json").read_bytes()).hexdigest()


def test_only_listed_files_are_handed_out(good: Path) -> None:
    bundle = read_bundle(good)
    for name in ("manifest.json", "../secret", "forms", "", "forms/other.onnx"):
        with pytest.raises(MissingFileError):
            bundle.file(name)


def test_the_bundle_itself_may_be_reached_through_a_link(good: Path) -> None:
    link = good.with_name("current.edgead")
    link.symlink_to(good)
    assert read_bundle(link).manifest == read_bundle(good).manifest


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.edgead")), ids=lambda path: path.name)
def test_golden_bundles_keep_loading(path: Path) -> None:
    bundle = read_bundle(path)
    assert path.name == f"v{bundle.manifest.format}.edgead"
    assert bundle.file(bundle.manifest.model).stat().st_size > 0


def test_the_first_golden_bundle_still_means_the_same() -> None:
    manifest = read_bundle(GOLDEN / "v1.edgead").manifest
    assert manifest.format == 1 and manifest.kind == "compiled" and manifest.engine == "onnxruntime"
    assert manifest.method == ComposedMethod(
        "distance-from-grey", "distance-from-grey", "none", {"level": 128}, 0
    )
    assert manifest.input == InputRecord((24, 32), "letterbox", "bgr")
    assert manifest.threshold.score == 100.0 and manifest.threshold.pixel == 90.5
    assert [file.path for file in manifest.files] == ["model.onnx", "probes/000.png"]
    assert manifest.provenance["note"] == "größe 検査"
    assert manifest.threshold == ThresholdRecord(100.0, 90.5, "given", 0.01, 0, "images", 0, 0.0, 1.0)
    assert [(n.code, say(n)) for n in manifest.notices] == [
        ("threshold-note", "about the threshold: a golden file, not a measurement")
    ]
    assert manifest.facts == {"bank": None, "level": 128} and manifest.reference is manifest.held_out is None


def test_the_second_golden_bundle_still_means_the_same() -> None:
    bundle = read_bundle(GOLDEN / "v2.edgead")
    manifest = bundle.manifest
    assert manifest.format == 2 and manifest.kind == "compiled"
    assert manifest.method == ComposedMethod(
        "distance-from-grey", "distance-from-grey", "none", {"level": 128}, 0
    )
    assert manifest.threshold == ThresholdRecord(
        100.0, 90.5, "split-conformal", 0.25, 4, "parts", 3, 0.25, manifest.threshold.upper_rate
    )
    assert manifest.thresholds["bolt-M8"].score == 110.0
    assert manifest.held_out == HeldOutRecord(4, (0, 0, 1, 2), "held-out.f32", {"grey": 2})
    figures = read_held_out(bundle)
    assert figures is not None and figures.scores.tolist() == [97.5, 98.0, 100.0, 90.25]
    assert figures.moments["grey"].mean.tolist() == [128.0, -1.5]
    assert [(probe.file, probe.score) for probe in manifest.probes] == [("probes/000.png", 118.0)]
    assert manifest.notices == (Notice("golden", {"of": 2}, "a golden file of format {of}"),)
    assert say(manifest.notices[0]) == "a golden file of format 2"


def test_the_third_golden_bundle_still_means_the_same() -> None:
    second, third = (read_bundle(GOLDEN / f"v{number}.edgead").manifest for number in (2, 3))
    assert third.notices == (Notice("golden", {"of": 3}, "a golden file of format {of}"),)
    assert third.thresholds["bolt-M8"] == dataclasses.replace(second.thresholds["bolt-M8"], smallest_area=3)
    same = {"format": 2, "notices": second.notices, "thresholds": second.thresholds}
    assert dataclasses.replace(third, **same) == second
    assert third.to_json() == (GOLDEN / "v3.edgead" / "manifest.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.edgead")), ids=lambda path: path.name)
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_golden_bundles_keep_their_verdicts(path: Path, engine: str) -> None:
    """The map is each pixel's distance from grey 128, the score its maximum: by hand."""
    pytest.importorskip(engine)
    detector = load(path, engine=engine)
    for level, score in ((128, 0.0), (10, 118.0), (28, 100.0), (27, 101.0), (255, 127.0)):
        found = detector(np.full((24, 32, 3), level, np.uint8))
        assert found.score == pytest.approx(score, rel=1e-6)
        assert found.is_anomalous == (score > 100)
        assert found.mask.any() == (score > 100)


# ---------------------------------------------------------------- the manifest


def test_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.edgead").write_bytes(b"PK")
    assert "no such bundle" in refused(tmp_path / "nothing.edgead", BundleNotFoundError)
    assert "manifest.json" in refused(tmp_path / "empty", BundleNotFoundError)
    assert "a file" in refused(tmp_path / "file.edgead", BundleNotFoundError)
    with pytest.raises(BundleError, match=r"too long|no such bundle"):  # by Python's version
        read_bundle(tmp_path / ("n" * 300))


def test_an_unreadable_manifest(good: Path) -> None:
    manifest = good / "manifest.json"
    text = manifest.read_bytes()
    for broken in (b"", text[:20], b"\x00" * 50, b"[1]", b"\xff"):
        manifest.write_bytes(broken)
        refused(good, ManifestError)


def test_an_oversized_manifest_is_not_even_read(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.truncate(good / "manifest.json", MAX_MANIFEST_BYTES + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("read"))
    refused(good, ManifestError)


def test_a_broken_schema(good: Path) -> None:
    edit(good, lambda value: value["thresholds"]["default"].update(score=None))
    assert "thresholds.default.score" in refused(good, ManifestError)


def test_a_threshold_that_is_not_finite(good: Path) -> None:
    edit(good, lambda value: value["thresholds"]["default"].update(score=float("nan")))
    assert "thresholds.default.score" in refused(good, ManifestError)


def test_an_unknown_format(good: Path) -> None:
    edit(good, lambda value: value.update(format=99, novelty=[]))
    assert "format 99" in refused(good, UnknownFormatError)


def test_a_model_that_is_not_listed(good: Path) -> None:
    edit(good, lambda value: value.update(model="forms/other.onnx"))
    assert "model" in refused(good, ManifestError)


# ---------------------------------------------------------------- paths and links


UNSAFE = [
    "/etc/passwd",
    "../good.edgead/note.txt",
    "forms/../../secret",
    "forms/../note.txt",
    "..",
    ".",
    "",
    "forms//int8.onnx",
    "forms/",
    "./note.txt",
    "forms\\int8.onnx",
    "..\\secret",
    "C:\\secret",
    "C:/secret",
    "c:secret",
    "\\\\host\\share",
    "//host/share",
    "note.txt\0.png",
    "note.txt\n",
    "note.txt ",
    " note.txt",
    ".hidden",
    "~/note.txt",
    "-rf",
    "note.txt:stream",
    "n\u043ete.txt",  # a Cyrillic letter
    "manifest.json",
    "a/" * 130 + "a",
    "n" * 300,
    "$HOME",
    "*",
]


@pytest.mark.parametrize("name", UNSAFE, ids=ascii)
def test_an_unsafe_path(good: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(good, "note.txt", path=name)
    monkeypatch.setattr(reading, "walk", lambda *_: pytest.fail("the folder was looked at"))
    refused(good, UnsafePathError)


def test_an_unsafe_path_is_refused_even_where_the_file_exists_and_fits(good: Path) -> None:
    secret = good.parent / "secret"
    secret.write_bytes(b"n")
    listed(good, "note.txt", path="../secret")
    (good / "note.txt").unlink()
    refused(good, UnsafePathError)


@pytest.mark.parametrize("name", ["note.txt", "manifest.json", "forms/int8.onnx"])
def test_a_link_in_place_of_a_file(good: Path, name: str) -> None:
    elsewhere = good.parent / "elsewhere"
    shutil.move(good / name, elsewhere)
    (good / name).symlink_to(elsewhere)
    assert name in refused(good, LinkError)


def test_a_link_in_place_of_a_folder(good: Path) -> None:
    shutil.move(good / "forms", good.parent / "elsewhere")
    (good / "forms").symlink_to(good.parent / "elsewhere")
    assert "forms" in refused(good, LinkError)


def test_a_link_that_leads_nowhere_or_round_in_circles(good: Path) -> None:
    (good / "extra").symlink_to("nowhere")
    refused(good, LinkError)
    (good / "extra").unlink()
    (good / "probes" / "extra").symlink_to("..")
    refused(good, LinkError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.parametrize("name", ["note.txt", "manifest.json", "extra"])
def test_a_pipe_neither_hangs_nor_passes(good: Path, name: str) -> None:
    (good / name).unlink(missing_ok=True)
    os.mkfifo(good / name)
    assert name in refused(good, LinkError)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets in the file system here")
def test_a_socket(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(good)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("extra")
        refused(good, LinkError)


# ---------------------------------------------------------------- the listing


def test_a_missing_file(good: Path) -> None:
    (good / "forms" / "int8.onnx").unlink()
    assert "forms/int8.onnx" in refused(good, MissingFileError)


def test_a_missing_folder(good: Path) -> None:
    shutil.rmtree(good / "forms")
    refused(good, MissingFileError)


@pytest.mark.parametrize(
    "name", ["extra.txt", ".hidden", "forms/extra.onnx", "Note.txt", "évil", "two\nlines"]
)
def test_an_extra_file(good: Path, name: str) -> None:
    if (good / name).exists():
        pytest.skip("this file system doesn't tell case apart")
    (good / name).write_bytes(b"")
    refused(good, ExtraFileError)


LITTER = (".DS_Store", "Thumbs.db", "desktop.ini", "._fp32.onnx", "forms/.DS_Store", "forms/._fp32.onnx")


@pytest.mark.parametrize("name", LITTER)
def test_what_a_file_browser_leaves_is_overlooked(good: Path, name: str) -> None:
    (good / name).write_bytes(b"x" * 5000)
    assert name not in {record.path for record in read_bundle(good).manifest.files}


@pytest.mark.parametrize(
    "name", [".DS_Store2", ".ds_store", "thumbs.db", "Desktop.ini", ".hidden", "DS_Store", "_x"]
)
def test_nothing_else_is_overlooked(good: Path, name: str) -> None:
    (good / name).write_bytes(b"x")
    refused(good, ExtraFileError)


@pytest.mark.parametrize("name", LITTER)
def test_what_a_file_browser_leaves_is_a_small_plain_file(good: Path, name: str) -> None:
    (good / name).symlink_to("manifest.json")
    refused(good, LinkError)
    (good / name).unlink()
    (good / name).mkdir()
    refused(good, ExtraFileError)
    (good / name).rmdir()
    with (good / name).open("wb") as file:
        file.truncate(listing.MAX_LITTER_BYTES + 1)
    refused(good, ExtraFileError)


def test_there_is_not_much_of_what_a_file_browser_leaves(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_FILES", 6)
    monkeypatch.setattr(reading, "MAX_FILES", 6)
    for index in range(6):
        (good / f"._{index}").touch()
    read_bundle(good)
    (good / "._6").touch()
    refused(good, ExtraFileError)


def test_what_a_file_browser_leaves_is_never_written(tmp_path: Path) -> None:
    made = make(
        tmp_path / "b.edgead", {**FILES, ".DS_Store": b"x", "forms/._fp32.onnx": b"x", "Thumbs.db": b"x"}
    )
    written = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert written == {*FILES, "manifest.json"}
    (made / ".DS_Store").touch()
    assert read_bundle(make(made)).path == made  # nor is it in the way of the next bundle


def test_an_extra_folder_is_not_entered(good: Path) -> None:
    deep = good / "extra" / "very" / "deep"
    deep.mkdir(parents=True)
    (deep / "link").symlink_to("/")
    assert "'extra'" in refused(good, ExtraFileError)


def test_a_folder_in_place_of_a_file_and_the_other_way_round(good: Path) -> None:
    (good / "note.txt").unlink()
    (good / "note.txt").mkdir()
    refused(good, ExtraFileError)
    (good / "note.txt").rmdir()
    (good / "note.txt").write_bytes(b"n")
    shutil.rmtree(good / "forms")
    (good / "forms").write_bytes(b"")
    refused(good, ExtraFileError)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_truncated_or_longer_file(good: Path, change: int) -> None:
    file = good / "forms" / "fp32.onnx"
    os.truncate(file, file.stat().st_size + change)
    assert "forms/fp32.onnx" in refused(good, FileSizeError)


def test_sizes_over_the_limits_are_refused_before_the_files_are_touched(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "walk", lambda *_: pytest.fail("the folder was looked at"))
    listed(good, "note.txt", bytes=(2 << 30) + 1)
    assert "over the limit" in refused(good, FileSizeError)
    for name in ("note.txt", "forms/int8.onnx", "probes/000.png"):
        listed(good, name, bytes=2 << 30)
    assert "in all" in refused(good, FileSizeError)


def test_an_oversized_sparse_file_is_refused_without_reading_it(good: Path) -> None:
    os.truncate(good / "note.txt", 3 << 30)
    refused(good, FileSizeError)


def test_too_many_files(good: Path) -> None:
    def many(value: dict[str, Any]) -> None:
        file = {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
        value["files"] = [{"path": f"f{i}", **file} for i in range(MAX_FILES + 1)]

    edit(good, many)
    edit(good, lambda value: value["reference"].update(forms={"fp32": "f0"}))
    assert str(MAX_FILES) in refused(good, FileSizeError)


# ---------------------------------------------------------------- reserved folders


def test_signatures_and_what_was_taught_lie_beside_what_is_listed(good: Path) -> None:
    before = read_bundle(good)
    for folder in RESERVED:
        (good / folder / "deep").mkdir(parents=True)
        (good / folder / "deep" / "one.json").write_bytes(b"{}")
    bundle = read_bundle(good)
    assert bundle.manifest == before.manifest and before.unchecked == ()
    assert bundle.unchecked == ("signatures/deep/one.json", "taught/deep/one.json")
    with pytest.raises(MissingFileError):
        bundle.file("taught/deep/one.json")


def test_a_reserved_folder_is_no_way_in(good: Path) -> None:
    (good / "signatures").mkdir()
    (good / "signatures" / "x").symlink_to("/etc/passwd")
    assert "signatures/x" in refused(good, LinkError)
    (good / "signatures" / "x").unlink()
    (good / "signatures" / "two words").touch()
    assert "two words" in refused(good, UnsafePathError)
    (good / "signatures" / "two words").unlink()
    with (good / "signatures" / "large").open("wb") as file:
        file.truncate(listing.MAX_RESERVED_BYTES + 1)
    assert "signatures" in refused(good, FileSizeError)
    (good / "signatures" / "large").unlink()
    for i in range(listing.MAX_RESERVED_FILES + 1):
        (good / "signatures" / f"s{i}").touch()
    assert "signatures" in refused(good, FileSizeError)
    for i in range(2 * listing.MAX_RESERVED_FILES + 10):
        (good / "signatures" / f"d{i}").mkdir()
    assert "signatures" in refused(good, FileSizeError)


def test_a_reserved_name_is_a_folder_and_never_listed(good: Path) -> None:
    (good / "taught").touch()
    assert "taught" in refused(good, ExtraFileError)
    (good / "taught").unlink()
    (good / "taught").mkdir()
    (good / "note.txt").rename(good / "taught" / "note.txt")
    listed(good, "note.txt", path="taught/note.txt")
    assert "reserved" in refused(good, ManifestError)


def test_the_first_format_knows_no_reserved_folders(tmp_path: Path) -> None:
    old = shutil.copytree(GOLDEN / "v1.edgead", tmp_path / "old.edgead")
    (old / "signatures").mkdir()
    (old / "signatures" / "x").touch()
    refused(old, ExtraFileError)


def test_what_a_device_was_taught_is_never_replaced(good: Path) -> None:
    (good / "taught").mkdir()
    (good / "taught" / "rows").write_bytes(b"1")
    with pytest.raises(OutputError, match="taught"):
        make(good)
    assert (good / "taught" / "rows").read_bytes() == b"1"


# ---------------------------------------------------------------- the held-out images' figures


def test_the_held_out_images_figures_are_checked(tmp_path: Path) -> None:
    path = shutil.copytree(GOLDEN / "v2.edgead", tmp_path / "v2.edgead")
    whole = np.fromfile(path / "held-out.f32", "<f4")
    cut, odd, negative = whole[:-1], whole.copy(), whole.copy()
    odd[2], negative[-1] = np.nan, -1
    for values, told in ((cut, "bytes"), (odd, "NaN"), (negative, "variance")):
        content = values.tobytes()
        (path / "held-out.f32").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        listed(path, "held-out.f32", bytes=len(content), sha256=digest)
        with pytest.raises(HeldOutFileError, match=told) as caught:
            read_held_out(read_bundle(path))
        assert str(caught.value).startswith(str(path))


def test_moments_are_numpys_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [{"a": rng.normal(3, 2, (5, 4, 7)).astype(np.float32)} for _ in range(9)]
    found = moments_of(iter(images))["a"]
    values = np.stack([maps["a"] for maps in images]).astype(np.float64)
    np.testing.assert_allclose(found.mean, values.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found.variance, values.var((0, 2, 3)), rtol=1e-6)
    assert moments_of(()) == {}


# ---------------------------------------------------------------- the content


def test_every_changed_bit_is_found(good: Path) -> None:
    file = good / "forms" / "fp32.onnx"
    whole = file.read_bytes()
    for at in range(0, len(whole), 97):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        file.write_bytes(changed)
        assert "forms/fp32.onnx" in refused(good, HashMismatchError)
        read_bundle(good, verify=False)
    file.write_bytes(whole)
    read_bundle(good)


def test_swapped_files(tmp_path: Path) -> None:
    path = make(tmp_path / "x.edgead", {"forms/fp32.onnx": b"aaaa", "forms/int8.onnx": b"bbbb"})
    (path / "forms" / "fp32.onnx").rename(path / "swap")
    (path / "forms" / "int8.onnx").rename(path / "forms" / "fp32.onnx")
    (path / "swap").rename(path / "forms" / "int8.onnx")
    refused(path, HashMismatchError)


def test_a_wrong_hash_in_the_manifest(good: Path) -> None:
    listed(good, "note.txt", sha256="0" * 64)
    assert "note.txt" in refused(good, HashMismatchError)


def test_a_file_that_may_not_be_read(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> str:  # root may read everything, so the system's answer is played
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(reading, "read_listed", denied)
    assert "Permission denied" in refused(good, BundleError)
