"""Telemetry is off from ``import edgead`` on, and where it can't be, that is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from edgead import telemetry
from edgead.machine import installed


def python(code: str, **environment: str) -> str:
    """Run it where nothing was set before."""
    clean = {k: v for k, v in os.environ.items() if k != telemetry.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean | environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def home(folder):
    return {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / ".cache"), "TMPDIR": str(folder)}


@pytest.mark.parametrize("before", [None, "0", "", "1"])
def test_import_edgead_turns_it_off_for_itself_and_its_children(before):
    child = f"import os; print(os.environ['{telemetry.VARIABLE}'])"
    code = f"import edgead, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    assert python(code, **({} if before is None else {telemetry.VARIABLE: before})).split() == ["1"]


def test_it_costs_no_import_of_weight():
    heavy = ("numpy", "cv2", "onnxruntime", "openvino", "logging", "click")
    assert json.loads(python(
        f"import sys, json, edgead; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    )) == []  # fmt: skip


@pytest.mark.parametrize(
    ("first", "off"),
    [
        ("import edgead, onnxruntime", True),
        ("import os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'; import onnxruntime", True),
        ("import sys; sys.modules['onnxruntime'] = None", True),
        ("import onnxruntime", False),
        ("import openvino_telemetry", False),
    ],
)
def test_doctor_says_what_came_before_edgead(first, off, tmp_path):
    package = first.split()[-1]
    if not off and installed(package.replace("_", "-")) is None:
        pytest.skip(f"{package} isn't installed")
    doctor = f"{first}\nfrom edgead.cli import main\nmain(['doctor', '--json'])"
    told = json.loads(python(doctor, **home(tmp_path)))["telemetry"]
    assert told == "off" if off else told.startswith(f"not surely off: {package} came before edgead")
    if not off:
        shown = python(doctor.replace(", '--json'", ""), **home(tmp_path))
        advice = ", or set ORT_DISABLE_TELEMETRY=1 before" * (package == "onnxruntime")
        assert f"; import edgead first{advice}\n" in shown


def test_loading_a_bundle_warns_of_it_once(compiled, tmp_path):
    path = str(compiled("onnx").bundle.path)
    load = f"import edgead\nfor _ in range(2): edgead.load({path!r})"
    assert python(load, **home(tmp_path)) == ""
    (line,) = python(f"import onnxruntime\n{load}", **home(tmp_path)).splitlines()
    assert line.startswith("the engines' telemetry is not surely off: onnxruntime came before edgead")
