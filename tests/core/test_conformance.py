"""The conformance kit over everything that edgead itself registers."""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.plugins import registry
from edgead.testing import Check, checks
from edgead.testing.material import good_image, write_images
from edgead_plugins.backbones import resnet_layers
from tests import quick
from tests.plugins import layout_trees as trees
from tests.plugins.backbones_support import random_tensors, save_safetensors, tiny_network

# The segmentation of so few steps is noise, and engines round INT8 noise apart: here the student's own map.
OPTIONS: dict[str, tuple[str, ...]] = {
    **quick.TRAINING,
    "destseg": (*quick.TRAINING["destseg"], "map=dest"),
}

_scratch = tempfile.TemporaryDirectory(prefix="edgead-layouts-")
_root = Path(_scratch.name)
write_images(_root / "pictures", [good_image(index) for index in range(3)])
os.environ.setdefault("PYLON_CAMEMU", "1")  # before its library is loaded: a virtual camera
_genicam = find_spec("genicam")
_video = cv2.VideoWriter(str(_root / "video.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
for _index in range(5):
    _video.write(np.full((48, 64, 3), 40 * _index, np.uint8))
_video.release()
OPTIONS |= {
    "gentl": (f"cti={Path(str(_genicam and _genicam.origin)).parent / 'viky.cti'}", "camera=1", "rate=50"),
    "pylon": ("device_class=BaslerCamEmu", "width=64", "height=48"),
    "opencv": (f"device={_root / 'video.avi'}", "rate=50", "loop=true"),
    "folder": (f"path={_root / 'pictures'}", "rate=50", "loop=true"),
    "file": (f"path={_root / 'verdicts.jsonl'}",),
    "webhook": ("url=http://127.0.0.1:9/",),  # where nobody listens
    "mqtt": ("url=mqtt://127.0.0.1:9/line",),
    "modbus": ("listen=127.0.0.1:0",),
    "opcua": ("listen=192.0.2.1:4840",),  # nobody's: opening one takes a second, its own tests do that
}
FOLDERS = {
    "plain": trees.put(_root / "plain", "good/a.jpg", "good/b.jpg", "ng/c.jpg") or _root / "plain",
    "mvtec": trees.mvtec(_root / "bottle"),
    "mvtec-loco": trees.loco(_root / "pushpins"),
    "mvtec-ad-2": trees.ad2(_root / "can"),
    "mpdd": trees.mvtec(_root / "bracket_black"),
    "btad": trees.btad(_root / "01"),
    "visa": trees.visa(_root / "visa"),
    "kolektor-sdd": trees.kolektor(_root / "KolektorSDD"),
    "kolektor-sdd2": trees.kolektor2(_root / "KolektorSDD2"),
}
NEED_A_FILE = ("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2", "timm", "onnx")
"""Backbones that nobody can open by name alone; their other checks would only say so again."""


def _needs_a_file(check: Check) -> bool:
    return check.kind == "backbone" and check.subject in NEED_A_FILE


_onnx, _weights = _root / "network.onnx", _root / "resnet18.safetensors"
_onnx.write_bytes(tiny_network().SerializeToString())
ALL = [
    check
    for check in checks("edgead", folders=FOLDERS, options=OPTIONS)
    if (check.kind, check.name) == ("backbone", "feature-info-is-true") or not _needs_a_file(check)
    if check.subject != "aravis"  # it looks around on every network: test_camera_aravis.py has one for it
]
WITH_A_FILE = [*checks(f"onnx:{_onnx}"), *checks("resnet18", weights=_weights)]


def _trains(check: Check) -> bool:
    return check.kind == "method" and check.subject in quick.TRAINING


@pytest.mark.parametrize("check", [check for check in ALL if not _trains(check)], ids=str)
def test_a_built_in_conforms(check: Check) -> None:
    check()


@pytest.fixture(scope="module")
def weights() -> Path:
    """A ResNet-18 that knows nothing."""
    convs = resnet_layers.convolutions(resnet_layers.ARCHITECTURES["resnet18"], 3)
    return save_safetensors(random_tensors(resnet_layers.expected_shapes(convs)), _weights)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("check", WITH_A_FILE, ids=lambda check: f"{check.subject[:8]}-{check.name}")
def test_a_backbone_from_a_file_conforms(check: Check) -> None:
    check()


@pytest.mark.torch
@pytest.mark.parametrize("check", [check for check in ALL if _trains(check)], ids=str)
def test_a_built_in_that_trains_conforms(check: Check) -> None:
    check()


def test_every_built_in_is_checked() -> None:
    subjects = {(check.kind, check.subject) for check in ALL}
    for plugin in registry().plugins:
        for entry in plugin.registers:
            subject = _kind(entry.kind), entry.name
            elsewhere = subject == ("source", "aravis")
            assert entry.distribution != "edgead" or elsewhere or subject in subjects


def _kind(kind: str) -> str:
    from edgead.registry import singular

    return singular(kind)  # type: ignore[arg-type]
