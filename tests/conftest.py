"""What every test may use: the real images and weights where they are at hand, and quiet engines."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

import edgead  # noqa: F401  (its import turns the engines' telemetry off, before any test imports one)

if "EDGEAD_CACHE" not in os.environ:  # what tests prove and measure is no business of the user's cache
    _cache = tempfile.TemporaryDirectory(prefix="edgead-tests-")
    os.environ["EDGEAD_CACHE"] = _cache.name

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; skips where it's absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"real images are not here ({folder})")
    return folder


@pytest.fixture(scope="session")
def resnet18_weights() -> Path:
    """Real ImageNet weights of ResNet-18, conv1 to layer3; skips where they're absent."""
    file = SHARED / "backbones" / "resnet18_layer1-3.safetensors"
    if not file.is_file():
        pytest.skip(f"real weights are not here ({file})")
    return file


@pytest.fixture(scope="session")
def reference_bundle(tmp_path_factory: pytest.TempPathFactory):
    """A small reference bundle of PatchCore with the embedded backbone."""
    from tests.bundles import make_reference

    return make_reference(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="session")
def compiled(reference_bundle, tmp_path_factory: pytest.TempPathFactory):
    """``compiled(target, precision)``: a compiled bundle, made once."""
    from tests.bundles import make_compiled

    made = {}

    def make(target: str, precision: str = "fp32"):
        if (target, precision) not in made:
            out = tmp_path_factory.mktemp("compiled") / f"{target}.edgead"
            made[target, precision] = make_compiled(reference_bundle, target, precision, out)
        return made[target, precision]

    return make
