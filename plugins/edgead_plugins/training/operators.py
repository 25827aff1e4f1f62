"""ONNX operators as torch functions: those that the backbones' convolutional networks are made of.

Each takes its node's inputs (None for an absent one) and attributes. Whatever holds the batch size in a
constant, as Reshape does, isn't here: a graph is made for one image and trained on many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgead_plugins.backbones.graphs import onnx
from edgead_plugins.training.pytorch import functional, torch

Tensor = Any
Attributes = Mapping[str, Any]
Operator = Callable[..., Tensor]


class Unsupported(Exception):
    """An operator, or one of its settings, that can't be trained through; the message names it."""


def _padded(x: Tensor, attributes: Attributes, value: float = 0.0) -> tuple[Tensor, Any]:
    """Return x and the symmetric padding that the operator does itself; other padding is done here."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise Unsupported(f"auto_pad={attributes['auto_pad'].decode()}")
    rank = x.dim() - 2
    pads = list(attributes.get("pads", [0] * 2 * rank))
    if pads[:rank] == pads[rank:]:
        return x, pads[:rank]
    ends = [side for axis in reversed(range(rank)) for side in (pads[axis], pads[rank + axis])]
    return functional.pad(x, ends, value=value), [0] * rank


def _conv(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor = None) -> Tensor:
    x, padding = _padded(x, a)
    ones = [1] * (weight.dim() - 2)
    return functional.conv2d(
        x, weight, bias, a.get("strides", ones), padding, a.get("dilations", ones), a.get("group", 1)
    )


def _max_pool(a: Attributes, x: Tensor) -> Tensor:
    x, padding = _padded(x, a, float("-inf"))
    k = a["kernel_shape"]
    ones = [1] * len(k)
    return functional.max_pool2d(
        x, k, a.get("strides", ones), padding, a.get("dilations", ones), bool(a.get("ceil_mode", 0))
    )


def _average_pool(a: Attributes, x: Tensor) -> Tensor:
    inside = not a.get("count_include_pad", 0)
    moved, padding = _padded(x, a)
    if moved is not x and inside:
        raise Unsupported("AveragePool with uneven pads that don't count")
    k = a["kernel_shape"]
    return functional.avg_pool2d(
        moved, k, a.get("strides", [1] * len(k)), padding, bool(a.get("ceil_mode", 0)), not inside
    )


def _batch_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, var, scale, bias, training=False, eps=a.get("epsilon", 1e-5))


def _gemm(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor = None) -> Tensor:
    if a.get("transA", 0):
        raise Unsupported("Gemm with transA")
    product = a.get("alpha", 1.0) * (x @ (weight.T if a.get("transB", 0) else weight))
    return product if bias is None else product + a.get("beta", 1.0) * bias


def _cast(a: Attributes, x: Tensor) -> Tensor:
    kinds = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.INT64: torch.int64}
    if a["to"] not in kinds:
        raise Unsupported(f"Cast to {onnx.TensorProto.DataType.Name(a['to'])}")
    return x.to(kinds[a["to"]])


def _clip(a: Attributes, x: Tensor, low: Tensor = None, high: Tensor = None) -> Tensor:
    return x if low is None and high is None else torch.clamp(x, low, high)


def _reduce_mean(a: Attributes, x: Tensor, axes: Tensor = None) -> Tensor:
    if axes is None or 0 in axes.tolist():
        raise Unsupported("ReduceMean over the batch")
    return x.mean(axes.tolist(), keepdim=bool(a.get("keepdims", 1)))


def _transpose(a: Attributes, x: Tensor) -> Tensor:
    if a.get("perm", [None])[0] != 0:
        raise Unsupported("Transpose of the batch")
    return x.permute(*a["perm"])


def _concat(a: Attributes, *xs: Tensor) -> Tensor:
    if a["axis"] == 0:
        raise Unsupported("Concat of the batch")
    return torch.cat(xs, a["axis"])


def _gather(a: Attributes, x: Tensor, index: Tensor) -> Tensor:
    if a.get("axis", 0) == 0 or index.dim() != 1:
        raise Unsupported("Gather of the batch, or with an index that isn't a list")
    return x.index_select(a["axis"], index)


OPERATORS: Mapping[str, Operator] = {
    "Add": lambda a, x, y: x + y,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": lambda a, x, y: x / y,
    "Flatten": lambda a, x: x.flatten(a.get("axis", 1)),
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
    "HardSigmoid": lambda a, x: torch.clamp(a.get("alpha", 0.2) * x + a.get("beta", 0.5), 0, 1),
    "HardSwish": lambda a, x: functional.hardswish(x),
    "Identity": lambda a, x: x,
    "LeakyRelu": lambda a, x: functional.leaky_relu(x, a.get("alpha", 0.01)),
    "MaxPool": _max_pool,
    "Mul": lambda a, x, y: x * y,
    "ReduceMean": _reduce_mean,
    "Relu": lambda a, x: functional.relu(x),
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Sub": lambda a, x, y: x - y,
    "Tanh": lambda a, x: torch.tanh(x),
    "Transpose": _transpose,
}

LEARNT: Mapping[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2),
    "Conv": (1, 2),
    "Gemm": (1, 2),
}
"""Which inputs of an operator are weights to learn; every other constant stays what it is."""

__all__ = ["LEARNT", "OPERATORS", "Unsupported"]
