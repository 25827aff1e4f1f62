"""The first-party backbones, by name. Nothing heavy is imported until one of them is used."""

from __future__ import annotations

from edgead.hookspecs import hookimpl
from edgead.types import Register

edgead_api = 1

_HERE = "edgead_plugins.backbones"
_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2")


@hookimpl
def edgead_register_backbones(register: Register) -> None:
    register("default", f"{_HERE}.default:default_backbone", "small, embedded, needs no weights")
    register("default-small", f"{_HERE}.default:default_small_backbone", "half as wide, embedded, faster")
    for name in _RESNETS:
        register(name, f"{_HERE}.resnet:{name}", "from a .safetensors file (--weights), without torch")
    register("timm", f"{_HERE}.timm:timm_backbone", "timm:NAME, any features_only model, converted once")
    register("onnx", f"{_HERE}.onnx_file:onnx_backbone", "onnx:PATH, an ONNX file with named feature maps")
