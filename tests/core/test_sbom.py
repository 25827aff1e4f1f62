"""Which packages made a bundle: listed, hashed, the same each time, and told by inspect."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

import edgead
from edgead.cli import cli
from edgead.errors import SbomError
from edgead.sbom import FILE, FITTED_FILE, MAX_BYTES, RECORD, Package, installed, read_sbom, sbom


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
    assert all(component["purl"] == component["bom-ref"] for component in document["components"])
    assert read_sbom(content, "x") == installed()


def a(required: str, **properties: Any) -> dict[str, Any]:
    """The schema of an object that may have these properties and no others."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


TEXT = {"type": "string"}
COMPONENT = a(
    "type name",
    type={"enum": ["application", "framework", "library"]},
    name=TEXT,
    version={"type": "string", "maxLength": 1024},
    purl=TEXT,
    properties={"type": "array", "items": a("name", name=TEXT, value=TEXT)},
    **{"bom-ref": {"type": "string", "minLength": 1}},
)
SCHEMA = a(
    "bomFormat specVersion",
    bomFormat={"const": "CycloneDX"},
    specVersion=TEXT,
    version={"type": "integer", "minimum": 1},
    metadata=a("", component=COMPONENT),
    components={"type": "array", "items": COMPONENT, "uniqueItems": True},
)
"""Of the official schema of CycloneDX 1.6 what concerns the properties that edgead writes."""


def test_it_has_what_cyclonedx_requires_and_nothing_that_it_does_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jsonschema.validate(json.loads(sbom()), SCHEMA)
    odd = Package("Odd_name.x", "1!2.6.0+cpu", "")
    monkeypatch.setattr("edgead.sbom.installed", lambda plugins: (odd,))
    document = json.loads(sbom())
    jsonschema.validate(document, SCHEMA)
    assert document["components"][0]["purl"] == "pkg:pypi/odd-name.x@1%212.6.0%2Bcpu"  # as packageurl has it
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "timestamp": 0}, SCHEMA)


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
