"""A sample of the fault matrix: every call that fails is told, and nothing half-written stays.

All of it is ``make faults``, which takes an hour; see docs/reliability.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.matrix import OTHER_DISK, ROOT, compiled, fill

pytest.importorskip("onnxruntime", reason="needs the [onnx] extra")
pytest.importorskip("openvino", reason="needs the [openvino] extra")
pytest.importorskip("spox", reason="needs the [fit] extra")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shim")
    if compiled(folder) is None:
        pytest.skip("calls can be failed on Linux with a C compiler (cc) only")
    fill(folder / "template")
    return folder / "template"


def matrix(template: Path, folder: Path, *words: str, code: int = 0) -> list[dict[str, Any]]:
    out = folder / "rows.json"
    given = ("--template", str(template), "--json", str(out))
    command = [sys.executable, "-m", "tests.faults.matrix", *given, *words]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(folder)}
    )
    assert done.returncode == code, done.stderr[-4000:]
    rows: list[dict[str, Any]] = json.loads(out.read_text())
    return rows


def verbs(*names: str) -> Sequence[str]:
    return [word for name in names for word in ("--verb", name)]


def test_every_few_calls_that_fail_are_told_and_undone(template: Path, tmp_path: Path) -> None:
    rows = matrix(template, tmp_path, *verbs("teach"), "--every", "8")
    assert [row["verb"] for row in rows] == ["teach"]
    for row in rows:
        assert row["tries"]["write ENOSPC"] and row["tries"]["fsync EIO"] and row["tries"]["open EACCES"], row
        assert row["calls"]["write"] and row["calls"]["fsync"], row


@pytest.mark.skipif(not OTHER_DISK.is_dir(), reason="there's no second file system here")
def test_homes_and_temporary_folders_of_all_kinds_will_do(template: Path, tmp_path: Path) -> None:
    places = ("other-tmp", "read-only-home", "no-home")
    rows = matrix(
        template,
        tmp_path,
        *verbs("cache"),
        "--every",
        "0",
        *(word for place in places for word in ("--place", place)),
    )
    assert [row["place"] for row in rows] == list(places)


def test_a_verb_that_leaves_something_is_found(template: Path, tmp_path: Path) -> None:
    """The driver's own proof: a name that isn't among a verb's outputs is a violation, whatever it is."""
    rows = matrix(template, tmp_path, *verbs("leaves-something"), "--every", "0", code=1)
    assert any("out/drift.json is no output" in fault for fault in rows[0]["faults"])
