"""Nothing phones home: fit, export and run use no internet socket, in this process or one that they start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTENER = Path(__file__).parent / "listener"


def run(tmp_path: Path, *arguments: str) -> tuple[list[str], list[str]]:
    """Return the attempts to use the network, and the telemetry modules that were loaded."""
    attempts = tmp_path / "attempts.txt"
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "PYTEST_CURRENT_TEST")}
    environment |= {
        "HOME": str(tmp_path),
        "NETWORK_ATTEMPTS": str(attempts),
        "PYTHONPATH": os.pathsep.join([str(LISTENER), str(ROOT), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.no_network", str(tmp_path), *arguments],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    heard = attempts.read_text().splitlines() if attempts.exists() else []
    return heard, json.loads(done.stdout.splitlines()[-1])


def test_fit_export_and_run_use_no_socket(tmp_path):
    assert run(tmp_path) == ([], [])
    left = [p.name.lower() for p in tmp_path.iterdir()]
    assert not any("intel" in name for name in left), "a telemetry client id was written"


def test_the_listener_would_hear_telemetry(tmp_path):
    heard, loaded = run(tmp_path, "--provoke")
    assert heard and "openvino_telemetry" in loaded
