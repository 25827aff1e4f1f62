"""docs/backbones.md: its code runs, its commands parse, its table is the registry's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgead_plugins.backbones.onnx_file import onnx_backbone
from edgead_plugins.backbones.resnet import ARCHITECTURES, resnet_backbone

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "backbones.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^\$ (edgead [^#\n]+)", PAGE, re.MULTILINE)


def test_the_page_has_what_these_tests_look_for():
    assert len(SNIPPETS) == 3 and len(COMMANDS) >= 6


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command):
    from edgead.cli import cli

    verb, *arguments = shlex.split(command)[1:]
    found = cli.get_command(click.Context(cli), verb)
    assert found is not None
    found.parse_args(click.Context(found, info_name=verb, resilient_parsing=False), arguments)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_resnet_has_its_file(name):
    assert f"https://huggingface.co/timm/{name}.tv_in1k/resolve/main/model.safetensors" in PAGE


@pytest.mark.torch
def test_the_snippets_run_and_lead_to_backbones(tmp_path):
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "resnet18.pth")
    for snippet in SNIPPETS:
        subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, check=True, capture_output=True)
    assert "layer4" in resnet_backbone("resnet18", "", tmp_path / "resnet18.safetensors").feature_info
    mine = onnx_backbone(str(tmp_path / "mine.onnx"), None)
    assert list(mine.feature_info) == ["fine", "coarse"]
    assert mine.provenance["preprocessing"].startswith("as the file's metadata asks: rgb, mean 0 0 0")
