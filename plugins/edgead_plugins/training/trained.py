"""From a trained torch module back to a backbone: an ONNX graph that describes itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgead.errors import CompileError, one_line
from edgead.types import Backbone, FeatureInfo, InputSpec, Size
from edgead_plugins.backbones import conversion, graphs
from edgead_plugins.backbones.graphs import IR_VERSION, OPSET, onnx
from edgead_plugins.backbones.preprocessing import (
    IMAGE,
    check_maps,
    check_size,
    prepend_preprocessing,
)
from edgead_plugins.training.pytorch import nn, torch


@dataclass
class TrainedBackbone:
    """A trained network as a backbone of one size; see ``edgead.types.Backbone``.

    Attributes:
        model: the graph with all the maps.
        float_nodes: those of its nodes that stay in FP32 where it's quantised.
    """

    name: str
    feature_info: Mapping[str, FeatureInfo]
    input: InputSpec
    provenance: Mapping[str, Any]
    model: onnx.ModelProto = field(repr=False)
    float_nodes: Sequence[str] = ()

    def onnx(self, feature_maps: Sequence[str], size: Size) -> onnx.ModelProto:
        """Return the graph from ``image`` to these maps; see ``edgead.types.Backbone.onnx``."""
        asked = check_maps(self.name, feature_maps, self.feature_info)
        check_size(self.name, size, self.input)
        return graphs.infer_shapes(graphs.cut(self.model, asked))


def to_backbone(
    module: nn.Module,
    name: str,
    size: Size,
    *,
    base: Backbone | None = None,
    spec: InputSpec | None = None,
    facts: Mapping[str, Any] | None = None,
) -> TrainedBackbone:
    """Convert a module with torch's exporter, and compare the graph with it on a random image.

    Args:
        module: yields a dictionary of maps (N, C, h, w) float32, the finest first. It takes the image,
            (N, H, W, 3) uint8 BGR; or, with ``spec``, (N, 3, H, W) float32 as ``spec`` describes it, and the
            arithmetic before it is put in front.
        name: of the backbone, for manifests and messages.
        size: (H, W), which the graph has for good.
        base: the backbone that the training began from; it is named in the provenance.
        spec: channel order, mean and std, where the module takes the normalised image.
        facts: what else the manifest should know of the training, JSON values.

    Raises:
        CompileError: torch can't convert the module, or the graph computes something else.
    """
    training = module.training
    module.eval().cpu()
    shape, kind = ((1, *size, 3), torch.uint8) if spec is None else ((1, 3, *size), torch.float32)
    probe = torch.zeros(shape, dtype=kind)
    with torch.no_grad():
        maps = module(probe)
    try:
        with conversion.quiet(), torch.no_grad():
            program = torch.onnx.export(
                _Listed(module), (probe,), dynamo=True, opset_version=OPSET, verbose=False
            )
            model = _backbone_graph(program.model_proto, list(maps), size, spec)
            onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the exporter's errors have no common root
        raise CompileError(
            f"torch can't convert the trained '{name}' to ONNX: {one_line(error, 'first')}"
        ) from error
    given = torch.from_numpy(conversion.probe_image(size))
    with torch.no_grad():
        found = module(given if spec is None else conversion.normalised(given, spec))
    conversion.check_same(model, {key: value.numpy() for key, value in found.items()}, size, f"'{name}'")
    module.train(training)
    provenance = {
        "weights_sha256": conversion.weights_sha256(module),
        "torch_version": str(torch.__version__),
    }
    if base is not None:
        provenance["trained_from"] = base.name
        provenance.update({f"trained_from_{key}": value for key, value in base.provenance.items()})
    return TrainedBackbone(
        name,
        {key: FeatureInfo(its.shape[1], max(1, round(size[0] / its.shape[2]))) for key, its in maps.items()},
        InputSpec(size=size, multiple=1),
        {**provenance, **(facts or {})},
        model,
    )


class _Listed(nn.Module):  # type: ignore[misc]
    """The module with a tuple in place of the dictionary, which the exporter would sort."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.module(x).values())


def _backbone_graph(
    exported: onnx.ModelProto, names: Sequence[str], size: Size, spec: InputSpec | None
) -> onnx.ModelProto:
    outputs = {name: value.name for name, value in zip(names, exported.graph.output, strict=True)}
    exported.ir_version = IR_VERSION
    network = graphs.cut(exported, outputs)
    if spec is not None:
        return prepend_preprocessing(network, size, spec)
    graphs.constants_to_initializers(network.graph)
    _fold_constants(network.graph)
    (given,) = [value.name for value in graphs.network_inputs(network)]
    if given != IMAGE:
        graphs.rename_tensors(network.graph, {given: IMAGE, IMAGE: graphs.fresh_name(network.graph, IMAGE)})
    del network.graph.input[:], network.graph.value_info[:]
    shape = [1, *size, 3]
    network.graph.input.append(onnx.helper.make_tensor_value_info(IMAGE, onnx.TensorProto.UINT8, shape))
    return graphs.infer_shapes(network)


def _fold_constants(graph: onnx.GraphProto) -> None:
    """Calculate what depends on weights alone: a quantiser takes a convolution's weights as they lie."""
    known = {value.name: value for value in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type not in ("Div", "Mul") or not all(name in known for name in node.input):
            kept.append(node)
            continue
        one, other = (onnx.numpy_helper.to_array(known[name]) for name in node.input)
        value = np.asarray(one / other if node.op_type == "Div" else one * other, one.dtype)
        known[node.output[0]] = onnx.numpy_helper.from_array(value, node.output[0])
    read = {name for node in kept for name in node.input}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(value for name, value in known.items() if name in read)


__all__ = ["TrainedBackbone", "to_backbone"]
