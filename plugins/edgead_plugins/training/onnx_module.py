"""A torch module from a backbone's own ONNX graph: whatever a recipe names as its backbone can be trained."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgead.errors import OptionError
from edgead.types import Backbone, Size
from edgead_plugins.backbones.graphs import onnx
from edgead_plugins.training.operators import LEARNT, OPERATORS, Unsupported
from edgead_plugins.training.pytorch import nn, torch

After = Mapping[str, Callable[[torch.Tensor], torch.Tensor]]


class OnnxModule(nn.Module):  # type: ignore[misc]
    """Runs an ONNX graph node by node in torch; its weights are parameters.

    Weights of convolutions, fully connected layers and BatchNorm's scale and bias learn; BatchNorm's
    statistics and all other constants stay what they are.

    Args:
        name: of the backbone, for messages.
        model: its graph, of any size; it isn't changed.

    Attributes:
        first_convolution: the tensor that the first Conv reads: the image (N, 3, H, W) as the network wants
            it; "" where there is none.

    Raises:
        OptionError: an operator isn't among ``OPERATORS``; the message names it.
    """

    def __init__(self, name: str, model: onnx.ModelProto) -> None:
        super().__init__()
        self.name = name
        self._nodes = [_Node(node) for node in model.graph.node]
        for kind in sorted({node.kind for node in self._nodes}):
            if kind not in OPERATORS:
                raise OptionError(
                    f"backbone '{name}' can't be trained through its operator '{kind}': use default, a "
                    f"resnet, or a network of {', '.join(sorted(OPERATORS))}"
                )
        (self._input,) = [value.name for value in model.graph.input]
        self._outputs = [value.name for value in model.graph.output]
        self.first_convolution = next((n.inputs[0] for n in self._nodes if n.kind == "Conv"), "")
        learnt = {n.inputs[i] for n in self._nodes for i in LEARNT.get(n.kind, ()) if i < len(n.inputs)}
        self._where: dict[str, str] = {}
        for value in model.graph.initializer:
            attribute = re.sub(r"\W", "_", f"{value.name}")
            while hasattr(self, attribute) or attribute in self._where.values():
                attribute += "_"
            tensor = torch.from_numpy(np.array(onnx.numpy_helper.to_array(value)))
            self._where[value.name] = attribute
            if value.name in learnt and tensor.is_floating_point():
                self.register_parameter(attribute, nn.Parameter(tensor))
            else:
                self.register_buffer(attribute, tensor)

    def forward(self, image: torch.Tensor, after: After | None = None) -> dict[str, torch.Tensor]:
        """Run the graph.

        Args:
            image: what the graph takes, (N, H, W, 3) uint8 BGR for a backbone's, with any N.
            after: for each of these tensors, a function whose result takes its place for all that follows.

        Returns:
            The graph's outputs by name.
        """
        after = after or {}
        known: dict[str, Any] = {name: getattr(self, where) for name, where in self._where.items()}
        known[self._input] = image
        for node in self._nodes:
            inputs = [known[name] if name else None for name in node.inputs]
            try:
                found = OPERATORS[node.kind](node.attributes, *inputs)
            except Unsupported as error:
                raise OptionError(f"backbone '{self.name}' can't be trained: no {error} in torch") from error
            known[node.output] = after[node.output](found) if node.output in after else found
        return {name: known[name] for name in self._outputs}


class _Node:
    def __init__(self, node: onnx.NodeProto) -> None:
        self.kind = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        self.inputs, self.output = list(node.input), node.output[0]
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def torch_backbone(backbone: Backbone, feature_maps: Sequence[str], size: Size) -> OnnxModule:
    """The backbone's network in torch: ``image`` (N, H, W, 3) uint8 BGR -> the maps by name.

    Args:
        size: (H, W) of the images; a convolutional network then takes others too.

    Raises:
        OptionError: a map that the backbone hasn't, or an operator that can't be trained through.
    """
    return OnnxModule(backbone.name, backbone.onnx(feature_maps, size))


__all__ = ["OnnxModule", "torch_backbone"]
