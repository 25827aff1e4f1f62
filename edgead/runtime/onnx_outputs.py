"""Further outputs of an ONNX model without the onnx package, which no camera has.

A protocol buffer that follows another of its type is merged into it, and a field that may come several times
is added to. So a few bytes behind a model, ``graph { output { name, type { float tensor } } }``, give the
graph another output. [Protocol Buffers, Encoding: "Last One Wins" and embedded messages; onnx.proto3 has the
numbers.]
"""

from __future__ import annotations

from collections.abc import Sequence

# ModelProto.graph, GraphProto.output, ValueInfoProto.name and type, TypeProto.tensor_type, elem_type 1.
GRAPH, OUTPUT, NAME, TYPE, TENSOR = 7, 12, 1, 2, 1
FLOAT = b"\x08\x01"


def with_outputs(model: bytes, outputs: Sequence[str]) -> bytes:
    """Return what ONNX Runtime opens: the model with further float32 outputs, if any."""
    if not outputs:
        return model
    return model + _field(GRAPH, b"".join(map(_output, outputs)))


def _output(name: str) -> bytes:
    described = _field(NAME, name.encode()) + _field(TYPE, _field(TENSOR, FLOAT))
    return _field(OUTPUT, described)


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


__all__ = ["with_outputs"]
