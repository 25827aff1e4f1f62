"""The backbones ``default`` and ``default-small``: small networks that come with the package.

Ten convolutions with ReLU and three shortcuts each, ``default-small``'s of half the width, trained by
tools/train_default.py to give ResNet-18's layers 1 to 3 on generated pictures; docs/default-backbone.md has
their figures. A shipped file stores FP16 weights that it casts to FP32 itself; the graphs made from it have
FP32 initialisers, as a quantiser wants them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgead.errors import OptionError
from edgead.files import sha256_of
from edgead.types import FeatureInfo, InputSpec, Size

if TYPE_CHECKING:
    import onnx

FILE = Path(__file__).with_name("default.onnx")
SMALL_FILE = Path(__file__).with_name("default-small.onnx")


class DefaultBackbone:
    """A shipped network as a ``edgead.types.Backbone``.

    Args:
        file: the network's.

    Attributes:
        name: ``default`` or ``default-small``.
        feature_info: ``stage1`` (stride 4, 64 channels), ``stage2`` (8, 128), ``stage3`` (16, 256). Values
            are at least 0; a channel's standard deviation is about 1 on the pictures it was trained on.
        input: height and width are multiples of 16, up to 8192.
        provenance: how the file was made (script, seed, pictures, teacher and its licence), and
            ``weights_sha256``, the SHA-256 of the shipped file.
    """

    feature_info: Mapping[str, FeatureInfo] = {
        "stage1": FeatureInfo(channels=64, stride=4),
        "stage2": FeatureInfo(channels=128, stride=8),
        "stage3": FeatureInfo(channels=256, stride=16),
    }
    input = InputSpec(multiple=16)

    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        self.name = file.stem

    @property
    def provenance(self) -> Mapping[str, str]:
        facts = {entry.key: entry.value for entry in _network(self._file).metadata_props}
        return {**facts, "weights_sha256": sha256_of(self._file)}

    def onnx(self, feature_maps: Sequence[str], size: Size) -> onnx.ModelProto:
        """Return a graph from ``image`` (1, H, W, 3) uint8 BGR to the asked maps (1, C, h, w) float32.

        h and w are ``size`` over the map's stride. Stages after the last asked one aren't in the graph.

        Raises:
            edgead.errors.OptionError: an unknown map, or a side that isn't a multiple of 16.
            edgead.errors.MissingDependencyError: onnx isn't installed.
        """
        from edgead_plugins.backbones.graphs import cut
        from edgead_plugins.backbones.preprocessing import check_maps, check_size, prepend_preprocessing

        maps = check_maps(self.name, feature_maps, self.feature_info)
        check_size(self.name, size, self.input)
        return prepend_preprocessing(cut(_network(self._file), maps), size, self.input)


def default_backbone(argument: str = "", weights: Path | None = None) -> DefaultBackbone:
    """Return the embedded backbone; raises ``OptionError`` for an argument or a weights file."""
    return _embedded(FILE, argument, weights)


def default_small_backbone(argument: str = "", weights: Path | None = None) -> DefaultBackbone:
    """Return the one of half the width; raises ``OptionError`` for an argument or a weights file."""
    return _embedded(SMALL_FILE, argument, weights)


def _embedded(file: Path, argument: str, weights: Path | None) -> DefaultBackbone:
    if argument:
        raise OptionError(
            f"backbone '{file.stem}' takes no argument, not '{argument}': use --backbone {file.stem}"
        )
    if weights is not None:
        raise OptionError(
            f"backbone '{file.stem}' has its own weights: to use {weights}, name its network, "
            "for instance --backbone resnet18"
        )
    return DefaultBackbone(file)


@cache
def _network(file: Path) -> onnx.ModelProto:
    """A shipped network with FP32 initialisers in place of FP16 ones and their casts; never changed."""
    from edgead_plugins.backbones.graphs import onnx

    model = onnx.load(file)
    stored = {value.name: value for value in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in stored:
            weight = onnx.numpy_helper.to_array(stored[node.input[0]]).astype(np.float32)
            stored[node.output[0]] = onnx.numpy_helper.from_array(weight, node.output[0])
        else:
            nodes.append(node)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    model.graph.initializer.extend(value for name, value in stored.items() if name in read)
    return model
