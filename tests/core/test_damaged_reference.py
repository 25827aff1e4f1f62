"""A reference bundle that was damaged, or made, by somebody who can hash: export refuses it as a bundle."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgead.cli import main
from tests.sealed import change_manifest

pytest.importorskip("onnx", reason="needs the [fit] extra")

Change = Callable[[dict[str, Any]], object]


def default(**values: Any) -> Change:
    return lambda v: v["thresholds"]["default"].update(values)


def held_out(**values: Any) -> Change:
    return lambda v: v["held_out"].update(values)


def each_group(number: int) -> Change:
    return lambda v: v["held_out"].update(groups=[number] * v["held_out"]["n_images"])


def a_picture(value: dict[str, Any]) -> str:
    return next(file["path"] for file in value["files"] if file["path"].endswith(".png"))


def without_pictures(value: dict[str, Any]) -> None:
    value["probes"] = []
    value["files"] = [file for file in value["files"] if not file["path"].endswith(".png")]


def only_twin(value: dict[str, Any]) -> None:
    value["reference"]["calibration_forms"] = {"int8": value["model"]}


FACTS: dict[str, Change] = {
    "a rate of nothing": default(rule="given", false_positive_rate=0.0),
    "a rate of all": default(false_positive_rate=1.0, expected_rate=1.0, upper_rate=1.0),
    "a seed under zero": lambda v: v["method"].update(seed=-1),
    "all unlike each other": each_group(-2),
    "more images": held_out(n_images=1000, groups=[]),
    "defects that aren't there": held_out(n_defects=5),
    "no channels": held_out(channels={}),
    "another size": lambda v: v["input"].update(size=[32, 32]),
    "the largest size": lambda v: v["input"].update(size=[32768, 32768]),
    "no fp32": lambda v: v["reference"].update(forms={"int8": v["model"]}, calibration_forms={}),
    "a form that is a picture": lambda v: v["reference"]["forms"].update(fp32=a_picture(v)),
    "a twin that is a picture": lambda v: v["reference"]["calibration_forms"].update(fp32=a_picture(v)),
    "no twin": only_twin,
    "matrices that are a picture": lambda v: v["teaching"].update(file=a_picture(v)),
    "a tensor that isn't there": lambda v: v["teaching"].update(embedding="nothing"),
    "no pictures": without_pictures,
}


@pytest.fixture
def reference(reference_bundle: Any, tmp_path: Path) -> Path:
    return shutil.copytree(reference_bundle.path, tmp_path / "part.edgead")


def refused(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = reference.with_name("out.edgead")
    words = [
        "export",
        str(reference),
        "--target",
        "onnx",
        "--precision",
        "fp32",
        "--out",
        str(out),
        "--quiet",
    ]
    assert main(words) == 3
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1 and told[0].startswith(f"error: {reference}: "), told
    assert not out.exists() and not list(reference.parent.glob(".out*"))


@pytest.mark.parametrize("change", FACTS.values(), ids=FACTS)
def test_facts_that_fit_never_writes(change: Change, reference: Path, capsys: Any) -> None:
    change_manifest(reference, change)
    if change is without_pictures:
        shutil.rmtree(reference / "probes")
    refused(reference, capsys)


def rewrite(reference: Path, name: str, content: bytes) -> None:
    """Another file under a name, listed with its own hash."""
    (reference / name).write_bytes(content)

    def change(value: dict[str, Any]) -> None:
        (record,) = (file for file in value["files"] if file["path"] == name)
        record.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    change_manifest(reference, change)


FILES: dict[str, tuple[str, bytes]] = {
    "no graph": ("model.onnx", b"junk" * 100),
    "an empty graph": ("model.onnx", b""),
    "a graph of zeros": ("model.onnx", bytes(5000)),
    "no picture": ("probes/000.png", b"junk" * 100),
    "an empty picture": ("probes/000.png", b""),
    "a small picture": ("probes/000.png", cv2.imencode(".png", np.zeros((20, 20), np.uint8))[1].tobytes()),
    "no figures": ("held-out.f32", b""),
    "no matrices": ("teaching.f32", b"\xff" * 16),
    "a twin that is none": ("calibration/fp32.onnx", b"\x08\x07"),
}


@pytest.mark.parametrize(("name", "content"), FILES.values(), ids=FILES)
def test_files_that_fit_never_writes(name: str, content: bytes, reference: Path, capsys: Any) -> None:
    rewrite(reference, name, content)
    refused(reference, capsys)


def test_a_file_that_changes_between_the_check_and_its_use(reference: Path, capsys: Any) -> None:
    from edgead.bundle import read_bundle
    from edgead.errors import BundleError
    from edgead.plugins import registry
    from edgead.progress import silent
    from edgead.workbench.export import export

    bundle = read_bundle(reference)
    content = bytearray((reference / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (reference / "model.onnx").write_bytes(content)
    exporter = registry().get("exporters", "onnx")()
    with pytest.raises(BundleError, match=r"model\.onnx' was changed"):
        export(bundle, exporter, "fp32", reference.with_name("out.edgead"), silent)
