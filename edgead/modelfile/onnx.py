"""An ONNX graph's protocol buffer, walked without the onnx package, which no camera has.

Only the messages that may hold a tensor are gone into. A tensor's values may lie in another file, or at an
address of this process' memory, by fields of their own (onnx.proto: TensorProto.external_data and
data_location): of these there must be none. [Protocol Buffers, Encoding; onnx.proto3 has the numbers.]
"""

from __future__ import annotations

from collections.abc import Mapping

from edgead.modelfile.faults import MalformedModel, UnsafeModel, check_shape

MOST_FIELDS = 1_000_000
"""Of all messages that are gone into; a graph of a thousand nodes has some ten thousand."""
MOST_LEVELS = 64

MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, SPARSE, TRAINING, FUNCTION = range(8)
INNER: Mapping[int, Mapping[int, int]] = {
    MODEL: {7: GRAPH, 20: TRAINING, 25: FUNCTION},
    GRAPH: {1: NODE, 5: TENSOR, 15: SPARSE},
    NODE: {5: ATTRIBUTE},
    ATTRIBUTE: {5: TENSOR, 6: GRAPH, 10: TENSOR, 11: GRAPH, 22: SPARSE, 23: SPARSE},
    TENSOR: {},
    SPARSE: {1: TENSOR, 2: TENSOR},
    TRAINING: {1: GRAPH, 2: GRAPH},
    FUNCTION: {7: NODE, 11: ATTRIBUTE},
}
"""Which fields of which message are which message."""
DIMS, EXTERNAL, LOCATION, OPERATOR = 1, 13, 14, 4
"""TensorProto's dims, external_data and data_location; NodeProto's op_type."""
VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5

_ELSEWHERE = "it names data outside of its file (ONNX external data)"


def check(data: bytes) -> None:
    """Walk a model once.

    Raises:
        UnsafeModel: it names data outside of its file, has a huge tensor, or more than anybody's graph has.
        MalformedModel: it isn't an ONNX graph.
    """
    if data[4:8] == b"ORTM":  # ONNX Runtime would read it as its own format
        raise UnsafeModel("it is in ONNX Runtime's own format under the name of an ONNX graph")
    waiting, fields, graphs = [(0, len(data), MODEL, 0)], 0, 0
    while waiting:
        at, end, kind, level = waiting.pop()
        if level > MOST_LEVELS:
            raise UnsafeModel(f"its graphs are nested more than {MOST_LEVELS} levels deep")
        inner, sides = INNER[kind], []
        graphs += kind == GRAPH
        while at < end:
            fields += 1
            if fields > MOST_FIELDS:
                raise UnsafeModel(f"its graph has more than {MOST_FIELDS} fields")
            key, at = _varint(data, at, end)
            number, wire = key >> 3, key & 7
            if wire == LENGTH:
                length, at = _varint(data, at, end)
                stop = at + length
                if stop > end:
                    raise MalformedModel("it isn't an ONNX graph, or cut short")
                if number in inner:
                    waiting.append((at, stop, inner[number], level + 1))
                elif kind == TENSOR and number == EXTERNAL:
                    raise UnsafeModel(_ELSEWHERE)
                elif kind == TENSOR and number == DIMS:
                    while at < stop:
                        side, at = _varint(data, at, stop)
                        sides.append(side)
                elif kind == NODE and number == OPERATOR and data[at:stop] == b"EPContext":
                    raise UnsafeModel("it names a compiled engine's file (an EPContext node)")
                at = stop
            elif wire == VARINT:
                value, at = _varint(data, at, end)
                if kind == TENSOR and number == LOCATION and value:
                    raise UnsafeModel(_ELSEWHERE)
                if kind == TENSOR and number == DIMS:
                    sides.append(value)
            elif wire in (EIGHT, FOUR):
                at += 8 if wire == EIGHT else 4
            else:
                raise MalformedModel("it isn't an ONNX graph")
            if number == 0 or at > end:
                raise MalformedModel("it isn't an ONNX graph, or cut short")
        check_shape(side - (1 << 64) if side >> 63 else side for side in sides)
    if not graphs:
        raise MalformedModel("it isn't an ONNX graph")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of 64 bits at most, and where it ends."""
    number = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise MalformedModel("it isn't an ONNX graph, or cut short")


__all__ = ["check"]
