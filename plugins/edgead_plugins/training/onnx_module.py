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
        pixel_unit: what one unit of the network's normalised input is in the image's grey levels, where the
            normalisation has moved into the first convolution. Its weights are learnt in that unit: in grey
            levels they are 57 times smaller and their gradients 57 times larger, and the first step of an
            optimiser would destroy the network.

    Attributes:
        first_convolution: the tensor that the first Conv reads: the image (N, 3, H, W) as the network wants
            it; "" where there is none.

    Raises:
        OptionError: an operator isn't among ``OPERATORS``; the message names it.
    """

    def __init__(self, name: str, model: onnx.ModelProto, pixel_unit: float = 1.0) -> None:
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
        scaled = {
            n.inputs[1] for n in self._nodes if n.kind == "Conv" and n.inputs[0] == self.first_convolution
        }
        self._unit = dict.fromkeys(scaled, pixel_unit)
        self._where: dict[str, str] = {}
        for value in model.graph.initializer:
            attribute = re.sub(r"\W", "_", f"{value.name}")
            while hasattr(self, attribute) or attribute in self._where.values():
                attribute += "_"
            tensor = torch.from_numpy(np.array(onnx.numpy_helper.to_array(value)))
            if value.name in scaled:
                tensor = tensor * pixel_unit
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
        known.update({name: known[name] / unit for name, unit in self._unit.items()})
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
    model = backbone.onnx(feature_maps, size)
    return OnnxModule(backbone.name, model, _pixel_unit(backbone, model))


def _pixel_unit(backbone: Backbone, model: onnx.ModelProto) -> float:
    """The mean std of the backbone's normalisation, where the first convolution reads grey levels; else 1."""
    module = OnnxModule(backbone.name, model)
    seen: list[torch.Tensor] = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x

    sides = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:3]
    noise = np.random.default_rng(0).integers(0, 256, (1, *sides, 3), np.uint8)
    with torch.no_grad():
        module(torch.from_numpy(noise), {module.first_convolution: look})
    in_levels = bool(seen) and float(seen[0].std()) > 8  # normalised noise has about 1.3
    return float(np.mean(backbone.input.std)) if in_levels else 1.0


__all__ = ["OnnxModule", "torch_backbone"]
