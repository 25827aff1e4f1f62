"""Post-training quantisation of the backbone, and of nothing else.

NNCF turns the backbone's ONNX graph into QuantizeLinear/DequantizeLinear form, which both engines run in
INT8. It never sees the scorer: a squared distance is a small difference of large numbers, and quantising the
whole graph takes the AUROC to chance. The backbone is quantised first and the scorer then fitted on *its*
features, so that the memory bank lives in the space that the queries come from. What was tried and what
it gained: docs/quantisation.md.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import onnx

from edgead.errors import CompileError, MissingDependencyError, one_line
from edgead.extras import install
from edgead.quiet import quiet_stdout
from edgead.runtime.openvino_session import block_telemetry
from edgead.runtime.signal_stack import keeps_signal_stack
from edgead.sampling import spread
from edgead.types import Image
from edgead.workbench.integer_weights import requantise
from edgead.workbench.stem import centre_on_level, exact_input, find_stem

CALIBRATION_IMAGES = 64
"""How many training images activation ranges are read off; more gain nothing (docs/quantisation.md)."""


@keeps_signal_stack  # nncf loads OpenVINO to ask for the processor
def quantise_backbone(
    model: onnx.ModelProto,
    images: Iterable[Image],
    keep_first_float: bool = False,
    float_nodes: Sequence[str] = (),
) -> onnx.ModelProto:
    """Return the backbone's graph in INT8, as QuantizeLinear/DequantizeLinear.

    Args:
        model: from ``image`` (1, H, W, 3) uint8 to feature maps; weights are initialisers.
        images: good training images (H, W, 3) uint8, which the activation ranges are read off.
        keep_first_float: leave the first convolution in FP32.
        float_nodes: other nodes to leave in FP32, by name; of those, what the graph holds.

    Raises:
        MissingDependencyError: nncf isn't installed.
        CompileError: nncf can't quantise this graph.
    """
    nncf = _import_nncf()
    model = _named(model)
    sample = [image[None] for image in images]
    stem = None if keep_first_float else find_stem(model)
    source = model if stem is None else centre_on_level(model, stem)
    floats = [*_coordinates(model), *(node.name for node in model.graph.node if node.name in float_nodes)]
    floats = [*floats, *(_first_convolution(model, floats) if keep_first_float else ())]
    ignored = nncf.IgnoredScope(names=floats) if floats else None
    # Weights and biases are made by ``requantise``: NNCF's weights saturate on processors without VNNI, and
    # its bias correction rounds a mean, which isn't the mean of what was rounded.
    parameters = nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.quantization.advanced_parameters.OverflowFix.DISABLE, disable_bias_correction=True
    )
    try:
        with quiet_stdout():  # its progress bars know no quiet
            quantised = nncf.quantize(
                source,
                nncf.Dataset(sample, lambda image: {"image": image}),
                subset_size=len(sample),
                ignored_scope=ignored,
                advanced_parameters=parameters,
            )
    except Exception as error:  # nncf raises plain RuntimeErrors and classes of its own
        raise CompileError(
            f"nncf can't quantise this backbone ({one_line(error)}): it has no int8 form"
        ) from error
    quantised = quantised if stem is None else exact_input(quantised, stem)
    try:
        return requantise(source, quantised, [image[0] for image in sample])
    except Exception as error:  # a graph of a kind that it hasn't met: then there's no such form
        raise CompileError(
            f"the quantised backbone can't be made safe ({one_line(error)}): it has no int8 form"
        ) from error


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose nodes have names of their own: NNCF names nameless ones, and then nobody finds them."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    seen: set[str] = set()
    for place, node in enumerate(copy.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.name or node.op_type}_{place}"
        seen.add(node.name)
    return copy


def calibration_indices(count: int) -> list[int]:
    """Which of so many training images: evenly spread, because neighbours in a folder are often alike."""
    return spread(count, CALIBRATION_IMAGES)


def _first_convolution(model: onnx.ModelProto, floats: Sequence[str]) -> Sequence[str]:
    return [n.name for n in model.graph.node if n.op_type == "Conv" and n.name not in floats][:1]


def _coordinates(model: onnx.ModelProto) -> Sequence[str]:
    """Nodes that sample at a grid, all that only calculates where, and what is calculated from that.

    A coordinate in 256 steps is off by half a position on a map of 128; sampling itself needs no INT8.
    """
    nodes = {name: node for node in model.graph.node for name in node.output}
    samplers = [node for node in model.graph.node if node.op_type == "GridSample"]

    def needed(name: str) -> set[str]:
        found: set[str] = set()
        pending = [name]
        while pending:
            node = nodes.get(pending.pop())
            if node is not None and node.name not in found:
                found.add(node.name)
                pending.extend(node.input)
        return found

    floats = {node.name for node in samplers}
    for node in samplers:
        floats |= needed(node.input[1]) - needed(node.input[0])
    sampled = {name for node in samplers for name in node.output}
    for node in model.graph.node:  # in order: each after what it reads
        given = [name for name in node.input if name in nodes]
        if given and all(nodes[name].name in floats and name not in sampled for name in given):
            floats.add(node.name)
    return [node.name for node in model.graph.node if node.name in floats]


def _import_nncf() -> Any:
    block_telemetry()
    try:
        import nncf
    except ImportError as error:
        raise MissingDependencyError(f"quantising needs nncf: {install('fit')}") from error
    # Not nncf.set_log_level: it would also silence handlers that the logger shares with others.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf
