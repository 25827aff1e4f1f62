"""An ONNX graph of bytes that were checked, as the onnx package has it."""

from __future__ import annotations

import onnx

from edgead.errors import GraphError, UnsafeModelError, one_line
from edgead.modelfile import check_model


def load_graph(content: bytes, where: str) -> onnx.ModelProto:
    """Return the graph.

    Args:
        where: what the message begins with.

    Raises:
        UnsafeModelError: it names data elsewhere, or a size that no engine should try.
        GraphError: it's no graph.
    """
    try:
        check_model("model.onnx", content, f"{where}: ", strict=True)
        model = onnx.load_model_from_string(content)
    except UnsafeModelError:
        raise
    except Exception as error:  # protobuf's own, too
        raise GraphError(f"{where} is no ONNX graph ({one_line(error)}); fit it again") from None
    if not model.graph.node:
        raise GraphError(f"{where} is an empty graph; fit it again")
    return model


__all__ = ["load_graph"]
