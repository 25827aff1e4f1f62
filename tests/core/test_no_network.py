"""Nothing phones home: fit, export and run open no internet socket, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(tmp_path: Path, *arguments: str) -> dict:
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "PYTEST_CURRENT_TEST")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.no_network", str(tmp_path), *arguments],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_fit_export_and_run_open_no_socket(tmp_path):
    assert run(tmp_path) == {"attempts": [], "telemetry": []}
    left = [p.name for p in tmp_path.iterdir()]
    assert not any("intel" in name.lower() for name in left), "a telemetry client id was written"


def test_the_listener_would_hear_telemetry(tmp_path):
    assert run(tmp_path, "--provoke")["attempts"]
