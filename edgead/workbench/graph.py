"""Composition: backbone + scorer + post-processor become one ONNX graph.

The graph takes ``image`` (1, H, W, 3) uint8 BGR and yields ``anomaly_map`` (1, 1, H, W) and ``score`` (1,),
both float32. spox joins the parts; what spox leaves as Constant nodes becomes initialisers, so that every
engine treats them as weights, and the parts' own arrays (a memory bank) keep their names for ``inspect``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import spox
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from onnx import numpy_helper
from spox import Tensor, Var

from edgead.errors import PluginError
from edgead.teaching import EMBEDDING, PATCH
from edgead.types import BankPrecision, FittedScorer, PostProcessor, Scorer, Scores, Size
from edgead.workbench.teachable import Teachable, name_inside, teachable

OPSET = 18
IR_VERSION = 10
FEATURE_PREFIX = "embedded_"
"""Of the outputs of ``compose_features``, which may not share a name with the backbone's own maps."""

_parameters: ContextVar[dict[str, tuple[Var, NDArray[Any]]] | None] = ContextVar("parameters", default=None)


def parameter(name: str, value: NDArray[Any]) -> Var:
    """Name an array that belongs to the graph, a memory bank say: it becomes the initialiser ``name``.

    Only for use while a graph is composed, in ``FittedScorer.graph`` or ``PostProcessor.graph``.

    Args:
        name: unique in the graph.
        value: the array; float32, float16, int8, uint8, int32 or int64.
    """
    known = _parameters.get()
    if known is None:
        raise PluginError("parameter() is only for graph(): call it while a graph is composed")
    if name in known:
        raise PluginError(f"two parameters of one graph are named '{name}'; rename one of them")
    value = np.ascontiguousarray(value)
    var = spox.argument(Tensor(value.dtype, value.shape))
    known[name] = (var, value)
    return var


def static_shape(var: Var) -> tuple[int, ...]:
    """The shape of a tensor of the graph.

    Raises:
        PluginError: it isn't known before the graph runs.
    """
    shape = var.unwrap_tensor().shape
    known = tuple(n for n in shape or () if isinstance(n, int))
    if shape is None or len(known) < len(shape):
        raise PluginError("a part of the graph has no static shape; use operators whose shapes are inferred")
    return known


def compose_features(backbone: onnx.ModelProto, scorer: Scorer, size: Size) -> onnx.ModelProto:
    """Join the backbone and the scorer's ``embed``: the graph whose outputs the scorer is fitted on."""
    image = spox.argument(Tensor(np.uint8, (1, *size, 3)))
    with collected_parameters() as parameters:
        maps = dict(scorer.embed(spox.inline(_single_opset(backbone))(image=image)))
        for name, var in maps.items():
            shape = static_shape(var)
            if len(shape) != 4 or shape[0] != 1:
                raise PluginError(f"embed() must yield maps (1, C, h, w), but '{name}' is {shape}")
        model = spox.build(
            _inputs(image, parameters), {f"{FEATURE_PREFIX}{n}": op.identity(v) for n, v in maps.items()}
        )
        return tidy(model, arrays_of(parameters))


@dataclass(frozen=True)
class Composed:
    """A graph, and what teaching needs to know of it; None where its method has no bank to teach."""

    model: onnx.ModelProto
    teachable: Teachable | None


def compose(
    backbone: onnx.ModelProto,
    scorer: Scorer,
    fitted: FittedScorer,
    postprocessor: PostProcessor,
    size: Size,
    bank: BankPrecision,
) -> Composed:
    """Join all parts into the one graph.

    Args:
        backbone: from ``image`` to the feature maps, of opset 18, quantised already where it will be.
        scorer: for its ``embed``.
        fitted: the scorer's fitted part.
        postprocessor: makes the two outputs.
        size: (H, W) of the image.
        bank: the arithmetic of the scorer's own search; see ``FittedScorer.graph``.

    Raises:
        PluginError: a part yields something of another type or shape than it must.
    """
    image = spox.argument(Tensor(np.uint8, (1, *size, 3)))
    with collected_parameters() as parameters:
        maps = spox.inline(_single_opset(backbone))(image=image)
        scores = fitted.graph(scorer.embed(maps), bank)
        outputs = _finished(scores, postprocessor, size)
        found, named = _taught(scores, postprocessor, size)
        model = spox.build(_inputs(image, parameters), outputs | named)
        name_inside(model, named)
        return Composed(tidy(model, arrays_of(parameters)), found)


def _taught(
    scores: Scores, postprocessor: PostProcessor, size: Size
) -> tuple[Teachable | None, dict[str, Var]]:
    """What teaching needs to know, and the tensors that it reads by name."""
    if scores.embedding is None:
        return None, {}
    _, _, h, w = static_shape(scores.patch)
    found = teachable(scores, static_shape(scores.embedding), postprocessor, (h, w), size)
    return found, {} if found is None else {EMBEDDING: scores.embedding, PATCH: scores.patch}


def compose_head(
    shapes: Mapping[str, tuple[int, int, int]], fitted: FittedScorer, postprocessor: PostProcessor, size: Size
) -> onnx.ModelProto:
    """The same in FP32 from what ``embed`` yields on, for many fits on the features of one backbone.

    Args:
        shapes: (C, h, w) of each map; they are the graph's inputs, (1, C, h, w) float32, by name.

    Returns:
        The graph, which yields the scores ``patch`` (1, 1, h, w) as well.

    Raises:
        PluginError: as ``compose`` does.
    """
    maps = {name: spox.argument(Tensor(np.float32, (1, *shape))) for name, shape in shapes.items()}
    with collected_parameters() as parameters:
        scores = fitted.graph(maps, "fp32")
        outputs = {**_finished(scores, postprocessor, size), "patch": op.identity(scores.patch)}
        inputs = maps | {name: var for name, (var, _) in parameters.items()}
        return tidy(spox.build(inputs, outputs), arrays_of(parameters))


def compose_finish(shape: Size, postprocessor: PostProcessor, size: Size, own: bool) -> onnx.ModelProto:
    """The post-processor alone, for scores that were calculated elsewhere.

    Args:
        shape: (h, w) of the scores ``patch`` (1, 1, h, w) float32, which the graph takes, and yields again.
        own: whether it takes the scorer's own ``image`` score too, (1,) float32.
    """
    given = {"patch": spox.argument(Tensor(np.float32, (1, 1, *shape)))}
    if own:
        given["image"] = spox.argument(Tensor(np.float32, (1,)))
    scores = Scores(given["patch"], given.get("image"))
    with collected_parameters() as parameters:
        outputs = _finished(scores, postprocessor, size)
        built = spox.build(given | {name: var for name, (var, _) in parameters.items()}, outputs)
        return tidy(built, arrays_of(parameters))


def _finished(scores: Scores, postprocessor: PostProcessor, size: Size) -> dict[str, Var]:
    """The graph's outputs, checked."""
    shape = static_shape(scores.patch)
    if len(shape) != 4 or shape[:2] != (1, 1):
        raise PluginError(f"a scorer's patch scores must be (1, 1, h, w), not {shape}")
    grid = shape[2], shape[3]
    anomaly_map, score = postprocessor.graph(scores, grid, size)
    if static_shape(anomaly_map) != (1, 1, *size) or static_shape(score) != (1,):
        raise PluginError(
            f"a post-processor must yield (1, 1, {size[0]}, {size[1]}) and (1,), "
            f"not {static_shape(anomaly_map)} and {static_shape(score)}"
        )
    return {"anomaly_map": anomaly_map, "score": score}


Parameters = dict[str, tuple[Var, NDArray[Any]]]
"""By name: the graph's input that stands for an array while the graph is composed, and the array."""


def _inputs(image: Var, parameters: Parameters) -> dict[str, Var]:
    return {"image": image} | {name: var for name, (var, _) in parameters.items()}


def arrays_of(parameters: Parameters) -> dict[str, NDArray[Any]]:
    """The arrays themselves, by name, taken out: what ``tidy`` makes initialisers of."""
    return {name: parameters.pop(name)[1] for name in list(parameters)}


@contextmanager
def collected_parameters() -> Iterator[Parameters]:
    """Collect what ``parameter`` names within the block; a graph composed in it takes them as inputs."""
    collected: Parameters = {}
    token = _parameters.set(collected)
    try:
        yield collected
    finally:
        _parameters.reset(token)


def _single_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """The default domain alone, in one opset: spox converts what differs, and its converter is lossy."""
    versions = {o.domain: o.version for o in model.opset_import}
    if versions.get("", 0) != OPSET:
        raise PluginError(f"a backbone graph must be of opset {OPSET}, not {versions.get('', 0)}")
    return model


def tidy(model: onnx.ModelProto, arrays: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """Make initialisers of a built graph's constants and parameters, each value once.

    Nothing in the file varies by run.

    Args:
        model: as ``spox.build`` yields it; it's changed.
        arrays: the parameters, which are the graph's inputs until now; see ``arrays_of``. It's emptied: they
            may be gigabytes, and are in the model then.

    Returns:
        The same model, checked.
    """
    # Before the arrays are in it: the checker would write them all out and read them again.
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    graph = model.graph
    seen: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    renamed: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type != "Constant" or value is None:
            nodes.append(node)
            continue
        key = (value.data_type, tuple(value.dims), numpy_helper.to_array(value).tobytes())
        if key in seen:
            renamed[node.output[0]] = seen[key]
            continue
        seen[key] = node.output[0]
        initialiser = graph.initializer.add()
        initialiser.CopyFrom(value)
        initialiser.name = node.output[0]
    for node in nodes:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
    del graph.node[:]
    graph.node.extend(nodes)
    kept = [value for value in graph.input if value.name not in arrays]
    del graph.input[:]
    graph.input.extend(kept)
    for name in list(arrays):
        _initialise(graph.initializer.add(), name, arrays.pop(name))
    graph.name = "edgead"
    model.producer_name, model.producer_version, model.doc_string = "edgead", "", ""
    return model


def _initialise(initialiser: onnx.TensorProto, name: str, value: NDArray[Any]) -> None:
    """As ``numpy_helper.from_array``, in place."""
    initialiser.dims.extend(value.shape)
    initialiser.data_type = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
    initialiser.name = name
    content = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
    del value  # nobody else has it: there would be three of it in the next line
    initialiser.raw_data = content


__all__ = [
    "FEATURE_PREFIX",
    "IR_VERSION",
    "OPSET",
    "Composed",
    "Parameters",
    "arrays_of",
    "collected_parameters",
    "compose",
    "compose_features",
    "compose_finish",
    "compose_head",
    "parameter",
    "static_shape",
    "tidy",
]
