"""Which packages made a bundle: listed, hashed, the same each time, and told by inspect."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import edgead
from edgead.cli import cli
from edgead.errors import SbomError
from edgead.sbom import FILE, FITTED_FILE, MAX_BYTES, RECORD, installed, read_sbom, sbom


def test_it_lists_what_edgead_needs_in_turn_and_is_installed() -> None:
    found = {package.name.lower(): package for package in installed()}
    for name in ("edgead", "numpy", "opencv-python-headless", "click", "pluggy", "simplejpeg"):
        assert found[name].version == importlib.metadata.version(name)
    if "onnxruntime" in found:  # what it needs in its turn
        assert "protobuf" in found
    assert not {"pytest", "ruff", "mypy"} & found.keys(), "what checks edgead makes no bundle"
    assert list(found) == sorted(found)


def test_a_hash_is_over_the_files_as_they_are_installed() -> None:
    """Against the files themselves, which RECORD only speaks of."""
    distribution = importlib.metadata.distribution("click")
    lines = []
    for file in distribution.files or ():
        name = file.as_posix()
        if (
            ".." in name
            or name.endswith(".pyc")
            or (".dist-info/" in name and not name.endswith("/METADATA"))
        ):
            continue
        lines.append(f"{name} {hashlib.sha256(Path(str(file.locate())).read_bytes()).hexdigest()}\n")
    wanted = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    assert {p.name: p.record for p in installed()}["click"] == wanted


def test_it_is_the_same_each_time_and_is_cyclonedx() -> None:
    content = sbom(["edgead", "not-installed-at-all"])
    assert content == sbom()
    document = json.loads(content)
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert "serialNumber" not in document and "timestamp" not in document["metadata"]
    references = [component["bom-ref"] for component in document["components"]]
    assert len(set(references)) == len(references)
    for component in document["components"]:
        assert component.keys() <= {"type", "name", "version", "purl", "bom-ref", "properties"}
        assert component["purl"] == component["bom-ref"] == component["purl"].lower()
    assert read_sbom(content, "x") == installed()


def test_a_bundle_has_it_listed_and_inspect_tells_it(reference_bundle, compiled) -> None:
    pytest.importorskip("onnxruntime", reason="needs the [onnx] extra")
    made = compiled("onnx").bundle
    for bundle, files in ((reference_bundle, {FILE}), (made, {FILE, FITTED_FILE})):
        listed = {record.path for record in edgead.read_bundle(bundle.path).manifest.files}
        assert files == listed & {FILE, FITTED_FILE}
        out = CliRunner().invoke(cli, ["inspect", str(bundle.path)], catch_exceptions=False).output
        assert "Fitted with" in out and f"numpy {importlib.metadata.version('numpy')}" in out
        assert ("Exported with" in out) == (bundle is made)
    assert (made.path / FITTED_FILE).read_bytes() == (reference_bundle.path / FILE).read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"bomFormat": "SPDX", "components": []}',
        b'{"bomFormat": "CycloneDX", "components": 5}',
        b'{"bomFormat": "CycloneDX", "components": [{"name": "a"}]}',
        b'{"bomFormat": "CycloneDX", "components": [{"name": 5, "version": "1"}]}',
        b'{"bomFormat": "CycloneDX", "components": [{"name": "' + b"a" * 300 + b'", "version": "1"}]}',
        b"[" * 100_000,
        b"\xff\xfe",
        b" " * (MAX_BYTES + 1),
    ],
    ids=range(11),
)
def test_what_is_no_list_of_packages_is_one_error(content: bytes) -> None:
    with pytest.raises(SbomError, match=r"^part\.edgead: not the list of packages") as caught:
        read_sbom(content, "part.edgead")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_odd_properties_are_overlooked() -> None:
    component = {
        "name": "a",
        "version": "1",
        "properties": [{"name": "x", "value": 5}, {"name": RECORD, "value": "0"}],
    }
    document = {"bomFormat": "CycloneDX", "components": [component]}
    (package,) = read_sbom(json.dumps(document).encode(), "x")
    assert (package.name, package.version, package.record) == ("a", "1", "0")
