"""What is shipped: one wheel, three packages, each typed, the default backbone inside, nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import edgead
from edgead.extras import EXTRAS

ROOT = Path(__file__).parents[2]
PACKAGES = ("edgead", "edgead_plugins", "edgead_exporters")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    loaded: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return loaded


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling", reason="hatchling, of the [dev] extra, isn't installed")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


def test_the_wheel_holds_what_is_needed(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    for package in PACKAGES:
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names
    assert "edgead_plugins/backbones/default.onnx" in names
    assert "edgead_plugins/backbones/default-small.onnx" in names
    assert "edgead_plugins/students/teacher.safetensors" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(PACKAGES)


def test_the_wheel_holds_every_source_file(wheel: zipfile.ZipFile) -> None:
    roots = (ROOT, ROOT / "plugins", ROOT / "exporters")
    sources = {
        path.relative_to(root).as_posix()
        for root, package in zip(roots, PACKAGES, strict=True)
        for path in (root / package).rglob("*")
        if path.suffix in (".py", ".html", ".css", ".js", ".onnx", ".in")
    }
    assert sources <= set(wheel.namelist())


def test_the_wheel_names_its_plugins_and_licence(wheel: zipfile.ZipFile) -> None:
    info = f"edgead-{edgead.__version__}.dist-info"
    points = wheel.read(f"{info}/entry_points.txt").decode()
    assert "edgead = edgead.cli:main" in points
    for line in ("backbones = edgead_plugins.backbones", "methods = edgead_plugins.methods"):
        assert line in points
    assert "exporters = edgead_exporters" in points
    assert f"{info}/licenses/LICENSE" in wheel.namelist()


def test_one_version(project: dict[str, Any]) -> None:
    assert project["project"]["version"] == edgead.__version__
    assert f"## [{edgead.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


IMPORTED_AS = {"paho-mqtt": "paho", "prometheus-client": "prometheus_client"}


def test_the_extras_are_those_that_messages_name(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    for extra, packages in EXTRAS.items():
        asked = [
            text
            for text in extras[extra]
            if sys.version_info < (3, 11) or "python_version<'3.11'" not in text
        ]
        required = {re.split(r"[<>=\[ ]", requirement)[0] for requirement in asked}
        assert {IMPORTED_AS.get(each, each) for each in required - {"edgead"}} == set(packages)


def test_the_camera_needs_no_workbench(project: dict[str, Any]) -> None:
    required = {re.split(r"[<>=\[ ]", requirement)[0] for requirement in project["project"]["dependencies"]}
    assert required == {"numpy", "opencv-python-headless", "pluggy", "click", "simplejpeg"}
