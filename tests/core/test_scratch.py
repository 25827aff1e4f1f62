"""Scratch lies where the bundle will: temporary files on another disk change nothing, and nothing stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bundles import make_compiled

OTHER_DISK = Path("/dev/shm")


@pytest.mark.skipif(
    not OTHER_DISK.is_dir() or OTHER_DISK.stat().st_dev == Path.cwd().stat().st_dev,
    reason="there's no second file system here",
)
@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_temporary_files_may_be_on_another_disk(reference_bundle, tmp_path, monkeypatch, target):
    if target == "openvino":
        pytest.importorskip("openvino", reason="needs the [openvino] extra")
    monkeypatch.setenv("TMPDIR", str(OTHER_DISK))
    monkeypatch.setattr("tempfile.tempdir", None)
    if tmp_path.stat().st_dev == OTHER_DISK.stat().st_dev:
        pytest.skip("tests' own folders are there too")
    made = make_compiled(reference_bundle, target, "int8", tmp_path / "x.edgead")
    assert not (made.bundle.path / "scratch").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["x.edgead"]
    assert not list(OTHER_DISK.glob("edgead-*"))
