"""Checks of a backbone: that what it says of itself is true of its graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgead.errors import MissingDependencyError, OptionError
from edgead.testing.check import CheckFailed, Skipped, require
from edgead.testing.material import good_image, hostile_frames
from edgead.testing.protocols import require_members
from edgead.testing.running import (
    ENGINES,
    installed_engines,
    opened,
    outputs_by_engine,
    require_agreement,
)
from edgead.types import Backbone

if TYPE_CHECKING:
    import onnx

    from edgead.types import Size

OPSET = 18
LARGE = 1024
"""Values from which a constant is a weight, which must be an initialiser for the quantiser."""


@dataclass
class Opened:
    """A backbone as the user names it, ``NAME`` or ``NAME:ARGUMENT``, opened at first use."""

    name: str
    weights: Path | None = None
    _kept: list[Backbone] = field(default_factory=list)

    def backbone(self) -> Backbone:
        """Open it; skips the check where it needs an argument or weights that nobody gave."""
        from edgead.workbench.recipe import open_backbone

        if not self._kept:
            try:
                self._kept.append(open_backbone(self.name, self.weights))
            except MissingDependencyError:
                raise
            except OptionError as error:
                if self.weights is None and ":" not in self.name:
                    raise Skipped(f"it can't be opened by its name alone ({error})") from None
                raise
        return self._kept[0]

    def size(self) -> Size:
        """A small size that it takes."""
        spec = self.backbone().input
        side = -(-64 // spec.multiple) * spec.multiple
        return spec.size or (side, side)

    def graph(self) -> onnx.ModelProto:
        """All its feature maps, at the small size."""
        backbone = self.backbone()
        return backbone.onnx(list(backbone.feature_info), self.size())


def feature_info_is_true(opened_: Opened) -> None:
    """each map has the channels and the stride that ``feature_info`` says, the finest first"""
    backbone, (height, width) = opened_.backbone(), opened_.size()
    require(backbone.feature_info, "feature_info is empty: name the feature maps")
    strides = [info.stride for info in backbone.feature_info.values()]
    require(strides == sorted(strides), f"the maps' strides are {strides}: list the finest first")
    with opened(opened_.graph(), installed_engines()[0]) as session:
        outputs = session(good_image(0, (height, width))[None])
    for name, info in backbone.feature_info.items():
        require(name in outputs, f"the graph has no map '{name}', its outputs are {', '.join(outputs)}")
        expected = (1, info.channels, -(-height // info.stride), -(-width // info.stride))
        require(
            outputs[name].shape == expected and outputs[name].dtype == np.float32,
            f"map '{name}' is {outputs[name].dtype} {outputs[name].shape}, feature_info says {expected}",
        )


def graph_is_well_formed(opened_: Opened) -> None:
    """opset 18, ``image`` (1, H, W, 3) uint8, float32 maps by name, weights as initialisers"""
    import onnx

    graph, (height, width) = opened_.graph(), opened_.size()
    opset = {o.domain: o.version for o in graph.opset_import}.get("", 0)
    require(opset == OPSET, f"the graph is of opset {opset}, it must be {OPSET}")
    (image, *more) = graph.graph.input
    dims = [d.dim_value for d in image.type.tensor_type.shape.dim]
    require(
        image.name == "image"
        and not more
        and dims == [1, height, width, 3]
        and image.type.tensor_type.elem_type == onnx.TensorProto.UINT8,
        f"the graph's input is '{image.name}' {dims}: it must be 'image' [1, {height}, {width}, 3] uint8",
    )
    weights = [
        node.output[0]
        for node in graph.graph.node
        for attribute in node.attribute
        if node.op_type == "Constant" and np.prod(attribute.t.dims) > LARGE
    ]
    require(not weights, f"weights are Constant nodes ({', '.join(weights[:3])}): make them initialisers")


def chosen_maps_alone(opened_: Opened) -> None:
    """asked for one map, the graph has that output and no other"""
    for name in opened_.backbone().feature_info:
        outputs = [o.name for o in opened_.backbone().onnx([name], opened_.size()).graph.output]
        require(outputs == [name], f"asked for map '{name}', the graph yields {', '.join(outputs)}")


def refuses_what_it_has_not(opened_: Opened) -> None:
    """a map or a size that it can't have is an OptionError"""
    backbone, (height, width) = opened_.backbone(), opened_.size()
    attempts = {"a map 'no_such_map'": (["no_such_map"], (height, width))}
    if backbone.input.multiple > 1:
        attempts[f"height {height + 1}"] = (list(backbone.feature_info)[:1], (height + 1, width))
    for what, (maps, size) in attempts.items():
        try:
            backbone.onnx(maps, size)
        except OptionError:
            continue
        except Exception as error:
            raise CheckFailed(
                f"asked for {what}, it raises {type(error).__name__}: raise OptionError"
            ) from error
        raise CheckFailed(f"asked for {what}, it says nothing: raise OptionError")


def same_bytes_twice(opened_: Opened) -> None:
    """asked twice for the same, it yields the same bytes"""
    first, second = (opened_.graph().SerializeToString(deterministic=True) for _ in range(2))
    require(first == second, "two graphs of the same maps and size differ: name nodes by what they are")


def finite_on_hostile_images(opened_: Opened) -> None:
    """dark, bright and noisy images get finite maps on every engine"""
    size = opened_.size()
    frames = {n: f for n, f in hostile_frames().items() if f.shape == (64, 64, 3)}
    import cv2

    images = [
        np.ascontiguousarray(cv2.resize(f, size[::-1])) for f in map(np.ascontiguousarray, frames.values())
    ]
    for engine, found in outputs_by_engine(opened_.graph(), images).items():
        for what, outputs in zip(frames, found, strict=True):
            for name, array in outputs.items():
                require(
                    np.isfinite(array).all(),
                    f"map '{name}' of a {what} image isn't finite ({ENGINES[engine]})",
                )


def engines_agree(opened_: Opened) -> None:
    """ONNX Runtime and OpenVINO yield the same maps"""
    require_agreement(opened_.graph(), [good_image(0, opened_.size())])


def has_every_member(opened_: Opened) -> None:
    """it has every member of a backbone; ``float_nodes``, where it has them, are names"""
    require_members(opened_.backbone(), Backbone)


def says_where_it_is_from(opened_: Opened) -> None:
    """``provenance`` holds the weights' SHA-256, for the bundle's manifest"""
    found = dict(opened_.backbone().provenance)
    digest = found.get("weights_sha256", "")
    require(
        len(digest) == 64 and set(digest) <= set("0123456789abcdef"),
        f"provenance is {found}: add 'weights_sha256', 64 hexadecimal digits",
    )


CHECKS = (
    has_every_member,
    feature_info_is_true,
    graph_is_well_formed,
    chosen_maps_alone,
    refuses_what_it_has_not,
    same_bytes_twice,
    finite_on_hostile_images,
    engines_agree,
    says_where_it_is_from,
)
