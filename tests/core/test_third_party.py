"""From wheels, in environments of their own: the example plugin, and a reader of docs/write-a-plugin.md.

Slow, and it needs a package index: `make test-plugin` runs it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgead
from edgead.testing.material import good_image, write_images
from tests.core.guide import apply, blocks

pytestmark = pytest.mark.fresh
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with python3, the system's programs, and edgead as a wheel of this checkout."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(sys.executable)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheels")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (folder / "wheels").glob("*.whl")
    (folder / "constraint.txt").write_text(f"edgead=={edgead.__version__}\n")
    network = ("PIP_", "HTTP", "http", "SSL", "no_")
    keep = {name: value for name, value in os.environ.items() if name.startswith(network)}
    return {
        **keep,
        "HOME": os.environ.get("HOME", str(folder)),
        "LANG": "C.UTF-8",
        "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
        "PIP_FIND_LINKS": str(wheel.parent),
        "PIP_CONSTRAINT": str(folder / "constraint.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_QUIET": "1",
    }


def shell(commands: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a reader's commands, which must all succeed, in one shell."""
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_reader_of_the_guide_ends_with_a_published_plugin_and_a_camera_without_it(
    tmp_path: Path, bare: dict[str, str]
) -> None:
    """The page from top to bottom in an empty folder, and its template's twin, the example, beside it."""
    write_images(tmp_path / "photos" / "good", [good_image(i, (128, 128)) for i in range(16)])
    write_images(tmp_path / "photos" / "new", [good_image(100, (128, 128))])
    page, activate = blocks(), ""
    said = ""
    for block in page:
        if block.language != "console":
            apply(block, tmp_path / "edgead-glow")
            continue
        said += shell(activate + block.commands, tmp_path, bare)
        activate = "source .venv/bin/activate\n"
    assert "failed" not in said and said.count("passed") > 50
    verdict = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    assert verdict["source"].endswith("000.png") and verdict["score"] >= 0
    camera = shell("device/bin/pip list --format freeze", tmp_path, bare)
    for absent in ("edgead-glow", "torch", "spox", "onnx=", "nncf"):
        assert absent not in camera

    # What was edited works too, and so does the example, as others get it: a wheel beside a wheel.
    example = activate + (
        f"pip wheel --no-deps -w example {ROOT / 'examples' / 'third_party_plugin'}\n"
        "pip install --no-deps example/*.whl\n"
        "python -c 'import edgead, edgead_kmeans; print(edgead.__file__, edgead_kmeans.__file__)'\n"
        "edgead plugins check edgead-kmeans\n"
        "edgead fit kmeans photos/good --quiet\n"
        "edgead export kmeans --target openvino --precision fp32 --quiet\n"
        "device/bin/edgead run kmeans-openvino.edgead photos/new\n"
        f"pytest -q -p no:cacheprovider --rootdir . {ROOT / 'examples' / 'third_party_plugin' / 'tests'}\n"
    )
    said = shell(example, tmp_path, bare)
    assert str(ROOT) not in said.splitlines()[0], "the checkout was imported, not the wheels"
    assert "failed" not in said and '"score"' in said
    assert "edgead-kmeans" not in camera
