"""The hook registers every backbone under its name, and importing it costs nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from edgead import errors
from edgead_plugins import backbones


def registered() -> dict[str, str]:
    found: dict[str, str] = {}

    def register(name, factory, summary=""):
        assert name not in found and summary and isinstance(factory, str)
        found[name] = factory

    backbones.edgead_register_backbones(register)
    return found


def test_the_names():
    assert list(registered()) == [
        "default",
        "default-small",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "wide_resnet50_2",
        "timm",
        "onnx",
    ]


@pytest.mark.parametrize(("name", "factory"), registered().items())
def test_every_factory_can_be_loaded_and_answers_nonsense_in_one_line(name, factory):
    module, _, attribute = factory.partition(":")
    make = getattr(importlib.import_module(module), attribute)
    with pytest.raises(errors.EdgeadError) as caught:
        make("", None) if not name.startswith("default") else make("nonsense", None)
    assert "\n" not in str(caught.value) and "--" in str(caught.value)


def test_importing_the_hook_imports_nothing_heavy():
    heavy = "{'onnx', 'torch', 'timm', 'openvino', 'onnxruntime', 'nncf', 'safetensors', 'cv2'}"
    code = f"import sys, edgead_plugins.backbones; assert not {heavy} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("missing", "act"),
    [
        ("onnx", "import edgead_plugins.backbones.graphs"),
        (
            "safetensors",
            "from edgead_plugins.backbones.weights import SafetensorsFile as f; f(Path(__file__))",
        ),
        ("torch", "from edgead_plugins.backbones.timm import timm_backbone as f; f('resnet18', None)"),
    ],
)
def test_a_missing_package_names_its_extra(missing, act, tmp_path):
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from pathlib import Path; from edgead.errors import MissingDependencyError\n"
        f"try:\n    {act}\n"
        "except MissingDependencyError as error: print(error)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert ran.stdout.count("\n") == 1 and 'pip install "edgead[' in ran.stdout, ran.stderr
