"""An ONNX graph's protocol buffer, walked without the onnx package, which no camera has.

A tensor's values may lie in another file, or at an address of this process' memory, by fields of their own
(onnx.proto: TensorProto.external_data and data_location): of these there must be none. Parsers differ in what
they make of odd bytes: one drops the high bits of a tag, another joins a message that is given twice, a third
takes the file for another format's. So one way to write a graph is accepted: the model's version first, and
then fields that onnx.proto has, each of its own wire type, in the shortest form, and once unless it's a list.
[Protocol Buffers, Encoding; onnx.proto3 has the numbers.]
"""

from __future__ import annotations

from collections.abc import Mapping

from edgead.modelfile.faults import MalformedModel, UnsafeModel, check_shape

MOST_FIELDS = 1_000_000
"""Of all messages; a graph of a thousand nodes has some ten thousand."""
MOST_LEVELS = 64
VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5
WIRES: Mapping[str, int] = {"int": VARINT, "double": EIGHT, "float": FOUR, "bytes": LENGTH}
"""Wire types of kinds of fields; a message's is LENGTH."""

Fields = Mapping[int, tuple[str, bool]]
"""By number: one of ``WIRES`` or a message's name, and whether it's a list."""


def _fields(text: str) -> Fields:
    words = (word.partition(":") for word in text.split())
    return {int(number): (kind.rstrip("*"), kind.endswith("*")) for number, _, kind in words}


MESSAGES: Mapping[str, Fields] = {name: _fields(text) for name, text in {
    "ModelProto": "1:int 2:bytes 3:bytes 4:bytes 5:int 6:bytes 7:GraphProto 8:OperatorSetIdProto*"
                  " 14:StringStringEntryProto* 20:TrainingInfoProto* 25:FunctionProto*"
                  " 26:DeviceConfigurationProto*",
    "GraphProto": "1:NodeProto* 2:bytes 5:TensorProto* 10:bytes 11:ValueInfoProto* 12:ValueInfoProto*"
                  " 13:ValueInfoProto* 14:TensorAnnotation* 15:SparseTensorProto* 16:StringStringEntryProto*",
    "NodeProto": "1:bytes* 2:bytes* 3:bytes 4:bytes 5:AttributeProto* 6:bytes 7:bytes 8:bytes"
                 " 9:StringStringEntryProto* 10:NodeDeviceConfigurationProto*",
    "AttributeProto": "1:bytes 2:float 3:int 4:bytes 5:TensorProto 6:GraphProto 7:float* 8:int* 9:bytes*"
                      " 10:TensorProto* 11:GraphProto* 13:bytes 14:TypeProto 15:TypeProto* 20:int 21:bytes"
                      " 22:SparseTensorProto 23:SparseTensorProto*",
    "TensorProto": "1:int* 2:int 3:Segment 4:float* 5:int* 6:bytes* 7:int* 8:bytes 9:bytes 10:double*"
                   " 11:int* 12:bytes 13:StringStringEntryProto* 14:int 16:StringStringEntryProto*",
    "Segment": "1:int 2:int",
    "SparseTensorProto": "1:TensorProto 2:TensorProto 3:int*",
    "TrainingInfoProto": "1:GraphProto 2:GraphProto 3:StringStringEntryProto* 4:StringStringEntryProto*",
    "FunctionProto": "1:bytes 4:bytes* 5:bytes* 6:bytes* 7:NodeProto* 8:bytes 9:OperatorSetIdProto* 10:bytes"
                     " 11:AttributeProto* 12:ValueInfoProto* 13:bytes 14:StringStringEntryProto*",
    "OperatorSetIdProto": "1:bytes 2:int",
    "StringStringEntryProto": "1:bytes 2:bytes",
    "TensorAnnotation": "1:bytes 2:StringStringEntryProto*",
    "ValueInfoProto": "1:bytes 2:TypeProto 3:bytes 4:StringStringEntryProto*",
    "TypeProto": "1:Tensor 4:Sequence 5:Map 6:bytes 7:Opaque 8:SparseTensor 9:Optional",
    "Tensor": "1:int 2:TensorShapeProto",
    "Sequence": "1:TypeProto",
    "Map": "1:int 2:TypeProto",
    "Opaque": "1:bytes 2:bytes",
    "SparseTensor": "1:int 2:TensorShapeProto",
    "Optional": "1:TypeProto",
    "TensorShapeProto": "1:Dimension*",
    "Dimension": "1:int 2:bytes 3:bytes",
    "DeviceConfigurationProto": "1:bytes 2:int 3:bytes*",
    "NodeDeviceConfigurationProto": "1:bytes 2:ShardingSpecProto* 3:int",
    "ShardingSpecProto": "1:bytes 2:int* 3:IntIntListEntryProto* 4:ShardedDimProto*",
    "IntIntListEntryProto": "1:int 2:int*",
    "ShardedDimProto": "1:int 2:SimpleShardedDimProto*",
    "SimpleShardedDimProto": "1:int 2:bytes 3:int",
}.items()}  # fmt: skip
"""What each message may hold."""

MODEL, GRAPH = "ModelProto", "GraphProto"
DIMS = {("TensorProto", 1), ("SparseTensorProto", 3)}
EXTERNAL, LOCATION, OPERATOR = ("TensorProto", 13), ("TensorProto", 14), ("NodeProto", 4)
"""external_data, data_location and op_type."""
VERSION_TAG = 0x08
"""What a model begins with: ir_version, a number. OpenVINO asks each of its readers whether the file is its
own, and what begins otherwise may be taken for another framework's."""

_ELSEWHERE = "it names data outside of its file (ONNX external data)"
_LARGEST_TAG = (1 << 32) - 1


def check(data: bytes) -> None:
    """Walk a model once.

    Raises:
        UnsafeModel: it names data outside of its file, has a huge tensor, more than anybody's graph has, or
            bytes of which two parsers could make two graphs.
        MalformedModel: it isn't an ONNX graph.
    """
    if data[4:8] == b"ORTM":  # ONNX Runtime would read it as its own format
        raise UnsafeModel("it is in ONNX Runtime's own format under the name of an ONNX graph")
    if data[:1] != bytes([VERSION_TAG]):
        raise MalformedModel("it isn't an ONNX graph (it doesn't begin with the version of its format)")
    waiting, fields, graphs = [(0, len(data), MODEL, 0)], 0, 0
    while waiting:
        at, end, message, level = waiting.pop()
        if level > MOST_LEVELS:
            raise UnsafeModel(f"its graphs are nested more than {MOST_LEVELS} levels deep")
        known, sides, seen = MESSAGES[message], list[int](), set[int]()
        graphs += message == GRAPH
        while at < end:
            fields += 1
            if fields > MOST_FIELDS:
                raise UnsafeModel(f"its graph has more than {MOST_FIELDS} fields")
            tag, at = _varint(data, at, end)
            number, wire = tag >> 3, tag & 7
            if tag > _LARGEST_TAG or number not in known:  # that limits the number to 29 bits, too
                raise UnsafeModel(f"its graph holds a field that ONNX doesn't have ({message}, {number})")
            kind, is_list = known[number]
            expected = WIRES.get(kind, LENGTH)
            packed = is_list and kind in WIRES and wire == LENGTH != expected
            if wire != expected and not packed:
                raise UnsafeModel(f"its graph holds a field of a wrong type ({message}, {number})")
            if not is_list and number in seen:
                raise UnsafeModel(f"its graph holds a field twice ({message}, {number})")
            seen.add(number)
            place = (message, number)
            if place == EXTERNAL:
                raise UnsafeModel(_ELSEWHERE)
            if wire == VARINT:
                value, at = _varint(data, at, end)
                if place == LOCATION and value:
                    raise UnsafeModel(_ELSEWHERE)
                if place in DIMS:
                    sides.append(value)
                continue
            length = 8 if wire == EIGHT else 4
            if wire == LENGTH:
                length, at = _varint(data, at, end)
            stop = at + length
            if stop > end:
                raise MalformedModel("it isn't an ONNX graph, or cut short")
            if kind in MESSAGES:
                waiting.append((at, stop, kind, level + 1))
            elif packed and place in DIMS:
                while at < stop:
                    side, at = _varint(data, at, stop)
                    sides.append(side)
            elif place == OPERATOR and data[at:stop] == b"EPContext":
                raise UnsafeModel("it names a compiled engine's file (an EPContext node)")
            at = stop
        check_shape(side - (1 << 64) if side >> 63 else side for side in sides)
    if not graphs:
        raise MalformedModel("it isn't an ONNX graph")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of 64 bits at most, in its shortest form, and where it ends."""
    number = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            if (not byte and shift) or number >> 64:
                raise UnsafeModel("its graph holds a number that isn't in its shortest form")
            return number, at
        shift += 7
    raise MalformedModel("it isn't an ONNX graph, or cut short")


__all__ = ["check"]
