"""From a trained torch module back to a backbone: an ONNX graph that describes itself."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgead.errors import CompileError
from edgead.types import Backbone, FeatureInfo, InputSpec, Size
from edgead_plugins.backbones import graphs
from edgead_plugins.backbones.graphs import IR_VERSION, OPSET, onnx
from edgead_plugins.backbones.preprocessing import (
    IMAGE,
    check_maps,
    check_size,
    prepend_preprocessing,
)
from edgead_plugins.training.pytorch import nn, torch

TOLERANCE = 1e-3
"""Of the graph's maps against torch's, relative to the largest value."""


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
    provenance: Mapping[str, str]
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
    facts: Mapping[str, str] | None = None,
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
        facts: what else the manifest should know of the training.

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
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                _Listed(module), (probe,), dynamo=True, opset_version=OPSET, verbose=False
            )
            model = _backbone_graph(program.model_proto, list(maps), size, spec)
            onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the exporter's errors have no common root
        raise CompileError(f"torch can't convert the trained '{name}' to ONNX: {_line(error)}") from error
    _compare(module, model, name, size, spec)
    module.train(training)
    provenance = {"weights_sha256": weights_sha256(module), "torch_version": str(torch.__version__)}
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


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 of a module's parameters and buffers, names and all."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        array = value.detach().cpu().contiguous().numpy()
        digest.update(f"{key} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


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


def _compare(
    module: nn.Module, model: onnx.ModelProto, name: str, size: Size, spec: InputSpec | None
) -> None:
    """Raise ``CompileError`` where ONNX Runtime and torch differ on a random image."""
    import onnxruntime

    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    given = torch.from_numpy(image)
    if spec is not None:
        pixels = given.float() if spec.channel_order == "bgr" else given.float().flip(3)
        given = ((pixels - torch.tensor(spec.mean)) / torch.tensor(spec.std)).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = module(given)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for (key, right), got in zip(wanted.items(), session.run(None, {IMAGE: image}), strict=True):
        error = float(np.abs(got - right.numpy()).max()) / max(float(right.abs().max()), 1e-12)
        if not error <= TOLERANCE:
            raise CompileError(f"'{key}' of '{name}' differs by {error:.1e} after conversion to ONNX")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's chatter off the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(lines[0], 160, placeholder=" ...")


__all__ = ["TrainedBackbone", "quiet", "to_backbone", "weights_sha256"]
