"""The published schemas: they're the records', take what edgead writes, and refuse what it would refuse."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgead.bundle.signing import Claim, sign_bundle
from edgead.cli import main
from edgead.errors import ManifestError, StatementError
from edgead.manifest import Manifest
from edgead.schemas import NAMES, generate, schema
from edgead.trust import SignedStatement
from edgead.trust.keys import make_keys
from tests.core.test_manifest import EXAMPLES

GOLDEN = Path(__file__).parents[1] / "golden"


def validator(name: str) -> jsonschema.Draft202012Validator:
    document = json.loads(schema(name))
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("signed")
    make_keys(folder / "qa.key", folder / "qa.pub")
    bundle = Path(shutil.copytree(GOLDEN / "v2.edgead", folder / "a.edgead"))
    sign_bundle(bundle, folder / "qa.key", Claim(7, "L1", "anna", "2099-01-31", ("parity", "trial")))
    (file,) = (bundle / "signatures").iterdir()
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def manifests() -> list[dict[str, Any]]:
    made = [json.loads(manifest.to_json()) for manifest in EXAMPLES.values()]
    upgraded = Manifest.from_json((GOLDEN / "v1.edgead" / "manifest.json").read_bytes())
    golden = Manifest.from_json((GOLDEN / "v2.edgead" / "manifest.json").read_bytes())
    newest = json.loads((GOLDEN / "v3.edgead" / "manifest.json").read_text())
    return [*made, newest, *(json.loads(each.to_json()) for each in (upgraded, golden))]


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the objects are in a document, itself among them."""
    if isinstance(value, dict):
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from objects(each, (*path, name))


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


def test_the_shipped_schemas_are_the_records() -> None:
    for name in NAMES:
        assert schema(name) == generate.rendered(getattr(generate, name)()), (
            "python -m edgead.schemas.generate writes them anew"
        )


def test_every_manifest_that_is_written_keeps_the_schema() -> None:
    check = validator("manifest")
    for document in manifests():
        check.validate(document)


def test_a_signed_statement_keeps_the_schema(signed: dict[str, Any]) -> None:
    validator("statement").validate(signed)


def reads_manifest(document: Any) -> bool:
    try:
        Manifest.from_json(json.dumps(document))
    except ManifestError:
        return False
    return True


def reads_statement(document: Any) -> bool:
    text = json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    try:
        SignedStatement.from_bytes(text.encode())
    except StatementError:
        return False
    return True


def check_changes(documents: list[Any], check: jsonschema.Draft202012Validator, reads: Any) -> int:
    """A field more, a field less, another type: nothing is read that the schema refuses."""
    refused = 0
    for document in documents:
        for path in objects(document):
            changes: list[tuple[str, Any]] = [("a_field_that_nobody_knows", 1)]
            changes += [
                (name, value) for name in at(document, path) for value in (..., None, "x", [], {}, True)
            ]
            for name, value in changes:
                changed = copy.deepcopy(document)
                inner = at(changed, path)
                if value is ...:
                    del inner[name]
                else:
                    inner[name] = value
                valid, read = check.is_valid(changed), reads(changed)
                assert valid or not read, f"{path} {name} {value!r}: read, and not by the schema"
                refused += not valid
    return refused


def test_what_the_schema_of_manifests_refuses_the_reader_refuses() -> None:
    assert check_changes(manifests()[:2], validator("manifest"), reads_manifest) > 200


def test_what_the_schema_of_statements_refuses_the_reader_refuses(signed: dict[str, Any]) -> None:
    assert check_changes([signed], validator("statement"), reads_statement) > 40


def test_unknown_fields_are_refused_in_every_record(signed: dict[str, Any]) -> None:
    free = {"options", "reports", "provenance", "facts", "values", "thresholds", "channels", "forms",
            "calibration_forms", "lacking", "separations"}  # fmt: skip
    for name, documents in (("manifest", manifests()), ("statement", [signed])):
        check = validator(name)
        for document in documents:
            for path in objects(document):
                if not free & set(path[-1:]) and not {"options", "reports", "provenance", "facts"} & set(
                    path
                ):
                    changed = copy.deepcopy(document)
                    at(changed, path)["a_field_that_nobody_knows"] = 1
                    assert not check.is_valid(changed), path


def test_the_command_prints_them(capsys) -> None:
    for name in NAMES:
        assert main(["schema", name]) == 0
        assert capsys.readouterr().out == schema(name)
    assert main(["schema", "bundle"]) == 2
