"""What a backbone says of itself before its file is given is what it says with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgead.cli import main
from edgead.errors import NeedsFileError, OptionError
from edgead.plugins import registry
from edgead.workbench.recipe import open_backbone

# He et al., arXiv 1512.03385, table 1: channels of conv2_x to conv5_x; strides 4 to 32.
PUBLISHED = {
    "resnet18": (64, 128, 256, 512),
    "resnet34": (64, 128, 256, 512),
    "resnet50": (256, 512, 1024, 2048),
    "resnet101": (256, 512, 1024, 2048),
    "wide_resnet50_2": (256, 512, 1024, 2048),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_maps_are_listed_without_weights(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = {f"layer{i}": {"channels": c, "stride": 2 << i} for i, c in enumerate(PUBLISHED[name], 1)}
    assert found["feature_maps"] == expected
    assert found["input"]["multiple"] == 32
    assert "needs --weights" in found["needs"]
    assert main(["backbones", name]) == 0
    out = capsys.readouterr().out
    assert "layer4" in out and f"{PUBLISHED[name][3]}      32" in out and "--weights FILE" in out


def test_what_is_said_without_is_what_is_said_with(
    resnet18_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backbones", "resnet18", "--json"]) == 0
    without = json.loads(capsys.readouterr().out)
    assert main(["backbones", "resnet18", "--weights", str(resnet18_weights), "--json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert held["needs"] is None
    assert held["feature_maps"].items() <= without["feature_maps"].items()


@pytest.mark.parametrize("name", ["timm", "onnx"])
def test_one_that_needs_a_name_says_where_its_maps_come_from(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backbones", name]) == 0
    out = capsys.readouterr().out
    assert f"`edgead backbones {name}:" in out and "needs a" in out
    assert main(["backbones", name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["feature_maps"] == {} and found["needs"] and found["maps"]


def test_every_backbone_of_ours_is_described_by_its_bare_name(capsys: pytest.CaptureFixture[str]) -> None:
    for name in registry().names("backbones"):
        assert main(["backbones", name]) == 0
        assert name in capsys.readouterr().out


def test_fitting_without_weights_is_still_an_error() -> None:
    with pytest.raises(NeedsFileError, match="needs --weights"):
        open_backbone("resnet18")
    assert issubclass(NeedsFileError, OptionError) and NeedsFileError("x").exit_code == 2
