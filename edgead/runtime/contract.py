"""What a bundle's graph takes and yields, looked at once it's compiled, before any frame.

An engine runs whatever graph it's given: one with two images has memory that nobody wrote for the second, and
a score without a dimension is a number all the same. A verdict needs one image and these two outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgead.errors import CompileError, GraphError
from edgead.runtime.session import Outputs, Session
from edgead.types import Size

_ADVICE = "export it again, and don't use it if it isn't your own"


def only_input(model: str, inputs: Sequence[tuple[str, Sequence[object]]]) -> tuple[str, tuple[int, ...]]:
    """The type and the shape of a compiled graph's only input.

    Args:
        model: the file's name, for the message.
        inputs: of each the type, in numpy's name, and the shape.

    Raises:
        CompileError: there are several, or none, or a side of it is open.
    """
    if len(inputs) != 1:
        raise CompileError(f"{model}: the graph takes {len(inputs)} inputs, not one image; {_ADVICE}")
    kind, shape = inputs[0]
    sides = tuple(side for side in shape if isinstance(side, int))
    if len(sides) != len(shape):
        raise CompileError(f"{model}: the graph takes images of any size, not of one; {_ADVICE}")
    return kind, sides


def check_input(session: Session, size: Size, where: str) -> None:
    """Raise GraphError where the graph's image isn't (1, H, W, 3) uint8 of the manifest's size."""
    if session.input_type != "uint8":
        raise GraphError(f"{where}: the graph's image is {session.input_type}, not uint8; {_ADVICE}")
    if tuple(session.input_shape) != (wanted := (1, *size, 3)):
        raise GraphError(
            f"{where}: the graph takes an image of shape {tuple(session.input_shape)}, its manifest says "
            f"{wanted}; {_ADVICE}"
        )


def check_outputs(outputs: Outputs, size: Size, where: str) -> None:
    """Raise GraphError where a graph doesn't yield a score (1,) and a map (1, 1, H, W) in float32."""
    for name, wanted in (("score", (1,)), ("anomaly_map", (1, 1, *size))):
        if name not in outputs:
            told = ", ".join(map(repr, sorted(outputs)[:5])) or "nothing"
            raise GraphError(f"{where}: the graph yields no '{name}', only {told}; {_ADVICE}")
        kind, shape = np.asarray(outputs[name]).dtype, np.shape(outputs[name])
        if shape != wanted:
            raise GraphError(f"{where}: the graph's '{name}' has the shape {shape}, not {wanted}; {_ADVICE}")
        if kind != np.float32:
            raise GraphError(f"{where}: the graph's '{name}' is {kind}, not float32; {_ADVICE}")


def check_finite(outputs: Outputs, where: str) -> None:
    """Raise GraphError where score or map of a plain image hold no number."""
    for name in ("score", "anomaly_map"):
        if not np.isfinite(outputs[name]).all():
            raise GraphError(f"{where}: the graph's '{name}' of a plain image is no number; {_ADVICE}")


__all__ = ["check_finite", "check_input", "check_outputs", "only_input"]
