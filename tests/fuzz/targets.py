"""Every parser of untrusted input, a row each: how it's called, on what it starts, what it may raise.

A new one is a function that takes bytes, and a row in ``TARGETS``; ``seeds.py`` gives it something to start
from. Where a file has a seal of its own, the damaged content is sealed anew, as whoever means harm would.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click

import edgead
from edgead.errors import EdgeadError, ExtraFileError
from edgead.manifest import FileRecord

GOLDEN = Path(__file__).parents[1] / "golden"
_DIGEST = hashlib.sha256(b"x").hexdigest()
PICTURE = FileRecord(f"{_DIGEST[:32]}.png", 1, _DIGEST)
"""The file that the lesson to start from lists."""


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        parse: takes an input; ImportError where a package that it's of isn't installed.
        seconds: of processor time that an input may take.
        refuses: what it may raise.
        seeds: the target whose seeds it starts from, where it isn't its own.
    """

    parse: Callable[[bytes], object]
    seconds: float = 5
    refuses: tuple[type[Exception], ...] = (EdgeadError,)
    seeds: str = ""


@cache
def _folder() -> Path:
    """A folder of this process's own, in memory where there's such a disk."""
    shared = Path("/dev/shm")
    made = tempfile.TemporaryDirectory(prefix="fuzz-edgead-", dir=shared if shared.is_dir() else None)
    _kept.append(made)
    return Path(made.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


def _file(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


@cache
def _bundle() -> Path:
    path = _folder() / "v2.edgead"
    shutil.copytree(GOLDEN / "v2.edgead", path)
    return path


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _dump(value: Any, **how: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, **how).encode("utf-8", "surrogatepass")


# ---------------------------------------------------------------- what a bundle holds


def manifest(data: bytes) -> None:
    from edgead.manifest import Manifest
    from edgead.manifest.sealing import sealed

    value = _object(data)
    if value is not None and value.get("format") == 3:
        with contextlib.suppress(TypeError, ValueError, RecursionError):  # what JSON can't say stays as it is
            data = sealed(value).encode()
    Manifest.from_json(data)
    path = _bundle()
    whole = (GOLDEN / "v2.edgead" / "manifest.json").read_bytes()
    try:
        (path / "manifest.json").write_bytes(data)
        with contextlib.suppress(ExtraFileError):  # an older format's lists fewer files
            edgead.read_bundle(path)
    finally:
        (path / "manifest.json").write_bytes(whole)


def revision(data: bytes) -> None:
    path = _bundle()
    if (value := _object(data)) is not None:
        value["parent"] = hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()
        content = {name: each for name, each in value.items() if name != "digest"}
        value["digest"] = hashlib.sha256(_dump(content, separators=(",", ":"))).hexdigest()
        data = _dump(value, indent=1) + b"\n"
    _with(path, {"revisions/0001.json": data})


def lesson(data: bytes) -> None:
    path = _bundle()
    if (value := _object(data)) is not None:
        value["bundle"] = hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()
        value["digest"] = hashlib.sha256(_dump(value | {"digest": ""})).hexdigest()
        data = _dump(value, indent=2) + b"\n"
    _with(path, {"taught/0001.json": data, f"taught/{PICTURE.path}": b"x"})


def _with(path: Path, files: dict[str, bytes]) -> None:
    """Read the bundle with more files in it."""
    try:
        for name, data in files.items():
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_bytes(data)
        edgead.read_bundle(path)
    finally:
        for name in ("revisions", "taught"):
            shutil.rmtree(path / name, ignore_errors=True)


def held_out(data: bytes) -> None:
    from edgead.held_out import read_held_out

    path, name = _bundle(), "held-out.f32"
    whole = (path / "manifest.json").read_bytes()
    value = json.loads(whole)
    for record in value["files"]:
        if record["path"] == name:
            record |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    try:
        (path / name).write_bytes(data)
        (path / "manifest.json").write_bytes(_dump(value, indent=2) + b"\n")
        read_held_out(edgead.read_bundle(path))
    finally:
        (path / "manifest.json").write_bytes(whole)
        shutil.copyfile(GOLDEN / "v2.edgead" / name, path / name)


def model(data: bytes) -> None:
    from edgead.modelfile import check_model

    check_model("model.xml" if data.lstrip()[:1] == b"<" else "model.onnx", data, strict=True)


def statement(data: bytes) -> None:
    from edgead.trust import SignedStatement

    SignedStatement.from_bytes(data)


def slots(data: bytes) -> None:
    from edgead.slots.state import STATE, read_state

    read_state(_file(STATE, data).parent)


def serials(data: bytes) -> None:
    from edgead.trust.floors import Mark, check_floor

    check_floor(_file("serials.json", data), Mark("L1", 7, "0" * 64))


def public_key(data: bytes) -> None:
    from edgead.trust.keys import read_public

    read_public([_file("key.pub", data)])


def packages(data: bytes) -> None:
    from edgead.sbom import read_sbom

    read_sbom(data, "part.edgead: 'sbom.cdx.json'")


# ---------------------------------------------------------------- images


def image(data: bytes) -> None:
    from edgead.images import read_image

    read_image(_file("image.png", data))  # what a file is, its content tells


def mask(data: bytes) -> None:
    from edgead.masks.file import read_mask_file

    read_mask_file(_file("mask.png", data))


def orientation(data: bytes) -> None:
    from edgead.exif import orientation

    assert 1 <= orientation(data) <= 8


# ---------------------------------------------------------------- other files, and words


def drift(data: bytes) -> None:
    from edgead.device.drift.state import read_state
    from edgead.device.drift.watch import Setting

    value = _object(data) or {}
    read_state(_file("drift.json", data), str(value.get("model", "")), Setting(10, 10))


def grid(data: bytes) -> None:
    from edgead.cli.benchmark import command
    from edgead.cli.gridfile import read_grid

    read_grid(_file("grid.toml", data), {max(p.opts, key=len).removeprefix("--"): p for p in command.params})


def results(data: bytes) -> None:
    from edgead.evaluation.grid import read_lines

    read_lines(_file("results.jsonl", data))


def visa(data: bytes) -> None:
    from edgead.plugins import registry

    root = _folder() / "visa"
    for name in ("Images/Normal/0.JPG", "Images/Anomaly/0.JPG", "Masks/Anomaly/0.png"):
        file = root / "part" / "Data" / name
        if not file.exists():
            file.parent.mkdir(parents=True)
            file.touch()
    (root / "split_csv").mkdir(exist_ok=True)
    (root / "split_csv" / "1cls.csv").write_bytes(data)
    registry().get("layouts", "visa")().read(root / "part")


def polygons(data: bytes) -> None:
    from edgead.roi.polygons import read_polygons

    found = read_polygons(data)
    if found.width * found.height <= 1 << 20:  # larger ones only take longer to draw
        found.mask()


def options(data: bytes) -> None:
    from edgead.options import parse_options
    from edgead.plugins import registry

    scorer = registry().get("scorers", "patchcore")
    parse_options(scorer.Options, data.decode("utf-8", "surrogateescape").split("\n"))


def words(data: bytes) -> None:
    from edgead.cli.arguments import Cores
    from edgead.image_score import parse

    text = data.decode("utf-8", "surrogateescape")
    try:
        parse(text)
    except EdgeadError:
        with contextlib.suppress(click.ClickException):  # which the command line brings to one line
            Cores().convert(text, None, None)


# ---------------------------------------------------------------- a line


def line(data: bytes) -> None:
    """The file that a line is described in, and each thing that's made of it before a process is started."""
    from edgead.line.config import read_line
    from edgead.line.crew import Plan
    from edgead.line.starts import plain

    found = read_line(_file("line.toml", data))
    plan = Plan(found)
    assert plan.rules("0").hung >= plan.rules("0").deadline > 0 and len(plan.cameras()) == len(found.cameras)
    for camera in found.cameras:
        plain(camera.options, camera.table.source)
    for sink in found.sinks:
        plain(sink.options, sink.table.kind)


def fault_script(data: bytes) -> None:
    from edgead.line.faults import of_word, read_script

    for fault in read_script(_file("faults.toml", data))[:100]:
        assert of_word(fault.word).what == fault.what


def line_status(data: bytes) -> None:
    """What a line shows of itself, as whoever installs a bundle reads it."""
    from edgead.line.config import line_of
    from edgead.line.installing import phases

    file = _file("line.toml", b"")
    _file("line.toml.status", data)
    camera = {"name": "top", "source": "generated", "bundle": "slots"}
    found = line_of({"camera": [camera], "sink": [{"kind": "file"}]}, "line.toml", file.parent)
    told, whys = phases(file, found, ["top"], Path("0" * 64), None)
    assert all(len(each) <= 500 for each in (*told.values(), *whys))


TARGETS = {
    "manifest": Target(manifest),
    "revision": Target(revision),
    "lesson": Target(lesson),
    "held-out": Target(held_out),
    "model": Target(model),
    "statement": Target(statement),
    "slots": Target(slots),
    "serials": Target(serials),
    "public-key": Target(public_key),
    "packages": Target(packages),
    "image": Target(image),
    "mask": Target(mask, seeds="image"),
    "orientation": Target(orientation),
    "drift": Target(drift),
    "grid": Target(grid),
    "results": Target(results),
    "visa": Target(visa),
    "polygons": Target(polygons),
    "options": Target(options),
    "words": Target(words),
    "line": Target(line),
    "fault-script": Target(fault_script),
    "line-status": Target(line_status),
}

__all__ = ["TARGETS", "Target"]
