"""What a model's file may not say, before any engine sees it; and what its graph must be, once compiled."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgead
from edgead.bundle import read_bundle, write_bundle
from edgead.cli import main
from edgead.errors import (
    CompileError,
    EdgeadError,
    GraphError,
    InferenceError,
    ModelFormatError,
    UnsafeModelError,
)
from edgead.manifest import ComposedMethod, InputRecord, Manifest, ThresholdRecord
from edgead.modelfile import check_model, ir
from edgead.modelfile import onnx as walk
from edgead.runtime.engines import open_session
from edgead.runtime.exact import ExactSession
from edgead.runtime.model_bytes import ModelBytes
from tests.mean_bundle import HEIGHT, WIDTH, graph
from tests.sealed import change_manifest

onnx = pytest.importorskip("onnx", reason="needs the [fit] extra")
pytest.importorskip("openvino", reason="needs the [openvino] extra")

ENGINES = ("openvino", "onnxruntime")
IMAGES = str(Path(__file__).parents[1] / "golden" / "v3.edgead" / "probes")


def mean() -> Any:
    return onnx.load_model_from_string(graph())


def bundle_of(path: Path, files: dict[str, bytes], model: str, engine: str) -> Path:
    manifest = Manifest(
        edgead="0.1.0",
        kind="compiled",
        method=ComposedMethod("mean", "mean", "none", {}, 7),
        input=InputRecord((HEIGHT, WIDTH), "stretch"),
        thresholds={"default": ThresholdRecord(100.0, 100.0, "given", 0.01, 20, "images", 20, 0.0, 1.0)},
        target="onnx",
        engine=engine,
        engine_precision="f32",
        precision="fp32",
        model=model,
        reports={},
        provenance={},
        facts={},
    )
    with write_bundle(path) as staging:
        for name, content in files.items():
            (staging.folder / name).write_bytes(content)
        staging.finish(manifest)
    return path


# ---------------------------------------------------------------- ONNX, walked without the package


def test_the_messages_and_their_fields_are_those_of_onnx() -> None:
    """By the package's own description. Older versions of it lack some of them."""
    kinds = {1: "double", 2: "float", 9: "bytes", 12: "bytes"}
    found: dict[str, dict[int, tuple[str, bool]]] = {}
    waiting = [onnx.ModelProto.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.name in found:
            continue
        found[message.name] = {}
        for field in message.fields:
            kind = field.message_type.name if field.message_type else kinds.get(field.type, "int")
            is_list = field.is_repeated if hasattr(field, "is_repeated") else field.label == 3
            found[message.name][field.number] = (kind, is_list)
            waiting += [field.message_type] if field.message_type else []
    for name, fields in found.items():
        assert fields.items() <= walk.MESSAGES[name].items()
    if tuple(map(int, onnx.__version__.split(".")[:2])) >= (1, 20):
        assert found == dict(walk.MESSAGES)
    tensor, sparse = onnx.TensorProto.DESCRIPTOR, onnx.SparseTensorProto.DESCRIPTOR
    told = [(tensor.name, tensor.fields_by_name[name].number) for name in ("external_data", "data_location")]
    assert told == [walk.EXTERNAL, walk.LOCATION]
    assert {(each.name, each.fields_by_name["dims"].number) for each in (tensor, sparse)} == walk.DIMS
    assert onnx.NodeProto.DESCRIPTOR.fields_by_name["op_type"].number == walk.OPERATOR[1]


def outside(tensor: Any, location: str = "elsewhere.bin") -> None:
    tensor.ClearField("raw_data")
    tensor.ClearField("int64_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "140737488355328"), ("length", "8")):
        tensor.external_data.add(key=key, value=value)


def in_initializer(model: Any) -> None:
    outside(model.graph.initializer[0])


def at_an_address(model: Any) -> None:
    outside(model.graph.initializer[0], "*/_ORT_MEM_ADDR_/*")


def without_a_location(model: Any) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="x")


def a_location_alone(model: Any) -> None:
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


def in_an_attribute(model: Any) -> None:
    outside(model.graph.node.add(op_type="Constant", output=["c"]).attribute.add(name="value", type=4).t)


def in_a_list(model: Any) -> None:
    outside(model.graph.node.add(op_type="X").attribute.add(name="values", type=9).tensors.add())


def in_a_subgraph(model: Any) -> None:
    inner = model.graph.node.add(op_type="If").attribute.add(name="then_branch", type=5).g
    outside(inner.node.add(op_type="Loop").attribute.add(name="body", type=5).g.initializer.add())


def in_a_function(model: Any) -> None:
    node = model.functions.add(name="f", domain="d").node.add(op_type="Constant")
    outside(node.attribute.add(name="value", type=4).t)


def in_a_sparse_tensor(model: Any) -> None:
    outside(model.graph.sparse_initializer.add().indices)


def in_training(model: Any) -> None:
    outside(model.training_info.add().initialization.initializer.add())


def a_compiled_engine(model: Any) -> None:
    model.graph.node.add(op_type="EPContext", domain="com.microsoft")


def a_negative_side(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [-(1 << 63)]


def a_huge_tensor(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]


def deep(model: Any) -> None:
    graph = model.graph
    for _ in range(40):
        graph = graph.node.add(op_type="If").attribute.add(name="then_branch", type=5).g


UNSAFE_ONNX = (
    in_initializer, at_an_address, without_a_location, a_location_alone, in_an_attribute, in_a_list,
    in_a_subgraph, in_a_function, in_a_sparse_tensor, in_training, a_compiled_engine, a_negative_side,
    a_huge_tensor, deep,
)  # fmt: skip


@pytest.mark.parametrize("change", UNSAFE_ONNX, ids=lambda change: change.__name__)
def test_an_onnx_graph_that_reaches_outside_is_refused_by_everything(
    change: Callable[[Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    model = mean()
    change(model)
    content = model.SerializeToString()
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *_, **__: pytest.fail("an engine has seen it"))
    monkeypatch.setattr("openvino.Core", lambda *_, **__: pytest.fail("an engine has seen it"))
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    for engine in ENGINES:
        with pytest.raises(UnsafeModelError, match=r"^model\.onnx: .*; don't use this model$"):
            open_session(file, engine)
    with pytest.raises(UnsafeModelError):
        ExactSession(content)
    path = bundle_of(tmp_path / "b.edgead", {"model.onnx": content}, "model.onnx", "onnxruntime")
    for words in (["verify", str(path)], ["inspect", str(path)], ["run", str(path), IMAGES]):
        assert main(words) == 3
        assert f"error: {path}: model.onnx: " in capsys.readouterr().err
    with pytest.raises(UnsafeModelError):
        edgead.load(path)
    unverified = read_bundle(path, verify=False)
    with pytest.raises(UnsafeModelError):
        edgead.Detector(unverified)


def varint(number: int, bytes_: int = 0) -> bytes:
    """Longer than it need be where ``bytes_`` says so."""
    out = bytearray()
    while number > 127 or len(out) + 1 < bytes_:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def part(number: int, content: bytes, high: int = 0) -> bytes:
    """A field of bytes; ``high`` is added to its tag, above the 32 bits that some parsers keep."""
    return varint((number << 3 | 2) + (high << 32)) + varint(len(content)) + content


ENTRY = part(1, b"location") + part(2, b"w.bin")
TENSOR = b"\x08\x01\x10\x01" + part(8, b"level")
HIDDEN = {
    "external data": TENSOR + part(13, ENTRY, high=1),
    "external data, far up": TENSOR + part(13, ENTRY, high=1 << 20),
    "a location": TENSOR + varint((14 << 3) + (1 << 32)) + b"\x01",
    "a tag that is longer than it need be": TENSOR + varint(13 << 3 | 2, 4) + varint(len(ENTRY)) + ENTRY,
    "a length that is longer than it need be": TENSOR + varint(9 << 3 | 2) + varint(4, 3) + b"abcd",
    "a value that is longer than it need be": b"\x08" + varint(1, 10) + b"\x10\x01",
    "field 0": TENSOR + varint(2) + b"\0",
    "a number over 29 bits": TENSOR + varint((1 << 29) << 3) + b"\x01",
    "an unknown field": TENSOR + part(15, b""),
    "another wire type": TENSOR + varint(9 << 3) + b"\x01",
    "a fixed length for a list of numbers": TENSOR + varint(1 << 3 | 5) + bytes(4),
    "a group": TENSOR + bytes([4 << 3 | 3, 4 << 3 | 4]),
    "wire type 6": TENSOR + bytes([4 << 3 | 6, 0]),
    "wire type 7": TENSOR + bytes([4 << 3 | 7, 0]),
    "its values twice": TENSOR + part(9, b"abcd") * 2,
}
PLACES: dict[str, Callable[[bytes], bytes]] = {
    "an initializer": lambda tensor: part(5, tensor),
    "an attribute": lambda tensor: part(1, part(5, part(5, tensor))),
    "an attribute's list": lambda tensor: part(1, part(5, part(10, tensor))),
    "a subgraph": lambda tensor: part(1, part(5, part(6, part(5, tensor)))),
    "a sparse tensor": lambda tensor: part(15, part(2, tensor)),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("tensor", HIDDEN.values(), ids=HIDDEN)
def test_what_two_parsers_could_read_in_two_ways_is_refused(
    tensor: bytes, place: Callable[[bytes], bytes]
) -> None:
    plain = b"\x08\x09" + part(7, place(TENSOR))
    check_model("model.onnx", plain, strict=True)
    for content in (b"\x08\x09" + part(7, place(tensor)), plain + part(25, part(7, part(5, part(5, tensor)))),
                    plain + part(20, part(2, place(tensor)))):  # fmt: skip
        with pytest.raises(UnsafeModelError, match=r"^model\.onnx: its graph holds a .*; don't use"):
            check_model("model.onnx", content)


def test_a_message_that_is_given_twice_is_refused() -> None:
    """A parser joins the two, so that the dims of the one and those of the other are one tensor's."""
    half = b"\x08" + varint(1 << 20)
    attribute = part(1, b"value") + part(5, half)
    check_model("model.onnx", b"\x08\x09" + part(7, part(1, part(5, attribute))), strict=True)
    value = part(1, b"x") + part(2, b"")
    for graph_ in (part(1, part(5, attribute + part(5, half))), part(1, part(5, part(6, b"") * 2)),
                   part(15, part(1, half) * 2), part(15, part(2, half) * 2), part(11, value + part(2, b"")),
                   part(1, part(4, b"Add") + part(4, b"EPContext"))):  # fmt: skip
        with pytest.raises(UnsafeModelError, match="twice"):
            check_model("model.onnx", b"\x08\x09" + part(7, graph_))
    with pytest.raises(UnsafeModelError, match="twice"):
        check_model("model.onnx", b"\x08\x09" + part(7, b"") * 2)


@pytest.mark.parametrize("place", [
    lambda mark: part(8, b"\x10\x07" + mark), lambda mark: part(14, mark), lambda mark: part(26, mark),
    lambda mark: part(7, part(14, part(1, b"t") + mark)), lambda mark: part(7, part(14, part(2, mark))),
    lambda mark: part(7, part(16, mark)),
    lambda mark: part(7, part(11, part(2, part(1, part(2, part(1, mark)))))),
    lambda mark: part(7, part(1, part(10, mark))),
    lambda mark: part(7, part(1, part(4 + (1 << 29), b"EPContext"))),
])  # fmt: skip
def test_an_unknown_field_is_found_in_every_message(place: Callable[[bytes], bytes]) -> None:
    content = b"\x08\x09" + place(part(99, b""))
    with pytest.raises(UnsafeModelError, match="a field that ONNX doesn't have"):
        check_model("model.onnx", content)


def test_another_frameworks_file_never_reaches_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO's readers of Paddle's and TensorFlow's files skip what they don't know, too."""
    block = part(1, b"\x08\0\x10\0")  # a Paddle program, a TensorFlow graph
    node = part(1, part(1, b"a") + part(2, b"NoOp"))
    monkeypatch.setattr("openvino.Core", lambda *_, **__: pytest.fail("an engine has seen it"))
    for content in (block, node, part(15, bytes(8)) + graph(), part(15, bytes(8)) + node + graph()):
        with pytest.raises(CompileError, match="isn't an ONNX graph"):
            open_session(ModelBytes("model.onnx", content), "openvino")
    for content in (b"\x08\x09" + part(15, bytes(8)) + graph()[2:], graph() + part(15, bytes(8))):
        with pytest.raises(UnsafeModelError, match="ONNX doesn't have"):
            open_session(ModelBytes("model.onnx", content), "openvino")


def test_openvino_reads_a_graph_as_one_of_onnx_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    monkeypatch.setattr(openvino.Core, "read_model", lambda *_, **__: pytest.fail("it guesses"))
    session = open_session(ModelBytes("model.onnx", graph()), "openvino")
    outputs = session(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8))
    assert {"anomaly_map", "score"} <= set(outputs)


def test_every_form_of_a_reference_bundle_is_looked_at(tmp_path: Path) -> None:
    model = mean()
    at_an_address(model)
    files = {"model.onnx": graph(), "other.onnx": model.SerializeToString()}
    path = bundle_of(tmp_path / "b.edgead", files, "model.onnx", "onnxruntime")
    with pytest.raises(UnsafeModelError, match=r"other\.onnx"):
        read_bundle(path)


def test_a_model_in_another_format_under_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnsafeModelError, match="ONNX Runtime's own format"):
        check_model("model.onnx", b"\x08\x00\x00\x00ORTM" + graph())
    for content in (
        b"",
        b"\x08\x07",
        b"x" * 100,
        graph()[:-1],
        b"\xff" * 50,
        b"\x80" * 20,
        b"\x0b\x0c",
        b"\x00" * 9,
    ):
        check_model("model.onnx", content)  # not what it's looked at for
        with pytest.raises(CompileError, match=r"^model\.onnx: it isn't an ONNX graph"):
            check_model("model.onnx", content, strict=True)


NO_MODELS = {
    "model.onnx": (b"", b"PK\3\4" + bytes(60), graph()[:-1]),
    "model.xml": (b"", b"<html></html>", b"<net", graph()),
}


@pytest.mark.parametrize(
    ("name", "content"), [(name, each) for name, contents in NO_MODELS.items() for each in contents]
)
def test_verifying_finds_a_model_that_is_none_without_an_engine(
    name: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("edgead.runtime.engines.open_session", None)
    path = bundle_of(tmp_path / "b.edgead", {name: content}, name, "openvino")
    with pytest.raises(
        ModelFormatError, match=rf"b\.edgead: model\{name[5:]}: it isn't an .*; export it again"
    ):
        edgead.verify(path)
    assert main(["verify", str(path), "--json"]) == 3
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["ok"], record["kind"]) == (False, "ModelFormatError")
    assert read_bundle(path).manifest.model == name, "who only looks at a bundle may"


def test_verifying_looks_at_every_form_of_a_reference_bundle(reference_bundle: Any, tmp_path: Path) -> None:
    path = Path(shutil.copytree(reference_bundle.path, tmp_path / "b.edgead"))
    edgead.verify(path)
    reference = reference_bundle.manifest.reference
    forms = {*reference.forms.values(), *reference.calibration_forms.values()}
    assert len(forms) > 1
    for name in forms:
        whole = (path / name).read_bytes()
        (path / name).write_bytes(whole[:-1])
        change_manifest(path, lambda document: relist(document, path, name))  # noqa: B023
        with pytest.raises(ModelFormatError, match=re.escape(name)):
            edgead.verify(path)
        (path / name).write_bytes(whole)
        change_manifest(path, lambda document: relist(document, path, name))  # noqa: B023
    edgead.verify(path)


def relist(document: dict[str, Any], path: Path, name: str) -> None:
    """Let the manifest list the file as it is now."""
    content = (path / name).read_bytes()
    (listed,) = (file for file in document["files"] if file["path"] == name)
    listed |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_walk_is_bounded() -> None:
    with pytest.raises(UnsafeModelError, match="fields"):
        check_model("model.onnx", b"\x08\x07" + b"\x42\0" * walk.MOST_FIELDS)


def test_real_graphs_pass(reference_bundle: Any) -> None:
    for record in reference_bundle.manifest.files:
        if record.path.endswith(".onnx"):
            check_model(record.path, reference_bundle.read(record.path), strict=True)


# ---------------------------------------------------------------- OpenVINO's XML


@pytest.fixture(scope="module")
def representation(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    import openvino

    folder = tmp_path_factory.mktemp("ir")
    openvino.save_model(
        openvino.Core().read_model(graph(), b""), folder / "model.xml", compress_to_fp16=False
    )
    return (folder / "model.xml").read_text(), (folder / "model.bin").read_bytes()


SHAPE = f'shape="1,{HEIGHT},{WIDTH},3"'
UNSAFE_IR = {
    "a negative shape": (SHAPE, 'shape="1,-9223372036854775808,48,3"'),
    "any shape": (SHAPE, 'shape="1,-1,48,3"'),
    "a huge side": (SHAPE, 'shape="1,9223372036854775807,48,3"'),
    "a huge product": (SHAPE, 'shape="65536,65536,48,3"'),
    "a side that is no number": (SHAPE, 'shape="1,0x20,48,3"'),
    "a number of many digits": (SHAPE, f'shape="1,{"9" * 5000},48,3"'),
    "a huge port": (f"<dim>{WIDTH}</dim>", "<dim>99999999999</dim>"),
    "a negative port": (f"<dim>{WIDTH}</dim>", "<dim>-2</dim>"),
    "weights elsewhere": ('offset="0"', 'offset="-8"'),
    "weights far away": ('size="8"', 'size="18446744073709551608"'),
    "a document type": ("<net ", '<!DOCTYPE net [<!ENTITY a "b">]><net '),
    "a comment": ("<net ", "<!-- a --><net "),
    "an instruction": ("<net ", "<?x y?><net "),
    "levels": ("<layers>", "<layers>" * 100),
    "levels of notes": ("<rt_info>", "<rt_info>" + "<a>" * 100),
    "an element in a side": (f"<dim>{WIDTH}</dim>", "<dim>-9223372036854775808<x/></dim>"),
    "an element before a side": (f"<dim>{WIDTH}</dim>", f"<dim><x/>{WIDTH}</dim>"),
    "a side without a number": (f"<dim>{WIDTH}</dim>", "<dim/>"),
    "text beside sides": (f"<dim>{WIDTH}</dim>", f"{WIDTH}<dim>{WIDTH}</dim>"),
    "a graph in a layer": ("<output>", "<body><layers/></body><output>"),
    "layers twice": ("</layers>", "</layers><layers/>"),
    "edges twice": ("<edges>", "<edges/><edges>"),
    "data twice": ("<data ", "<data /><data "),
    "outputs twice": ("<output>", "<output/><output>"),
    "a port outside": ("<layers>", '<layers><port id="0"/>'),
    "an element that isn't OpenVINO's": ("<layers>", "<weights/><layers>"),
    "two layers of one id": ('layer id="7"', 'layer id="1"'),
    "a layer without an id": ('layer id="7"', "layer"),
    "a layer of a huge id": ('layer id="7"', 'layer id="99999999999999999999"'),
    "a layer of a hexadecimal id": ('layer id="7"', 'layer id="0x7"'),
    "two ports of one id": ('<port id="1" precision="I64">', '<port id="0" precision="I64">'),
    "a negative port's id": ('<port id="1" precision="I64">', '<port id="-1" precision="I64">'),
    "an edge between layers that aren't there": (
        "</edges>", '<edge from-layer="99" from-port="1" to-layer="98" to-port="0" /></edges>'
    ),
    "an edge from an input": ('from-layer="1" from-port="1"', 'from-layer="1" from-port="0"'),
    "an edge from a port that isn't there": ('from-layer="1" from-port="1"', 'from-layer="1" from-port="5"'),
    "an edge to an output": ('to-layer="1" to-port="0"', 'to-layer="1" to-port="1"'),
    "an edge without an end": (' to-layer="1" to-port="0"', ' to-layer="1"'),
    "two edges to one input": (
        "<edges>", '<edges><edge from-layer="2" from-port="0" to-layer="1" to-port="0"/>'
    ),
    "a circle": ('<edge from-layer="0" from-port="0"', '<edge from-layer="1" from-port="1"'),
    "an input without an edge": ('<edge from-layer="0" from-port="0" to-layer="1" to-port="0" />', ""),
}  # fmt: skip


@pytest.mark.parametrize("change", UNSAFE_IR.values(), ids=UNSAFE_IR)
def test_an_openvino_model_with_odd_sizes_is_refused_before_openvino(
    change: tuple[str, str],
    representation: tuple[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text, weights = representation
    assert change[0] in text
    content = text.replace(*change, 1).encode()
    monkeypatch.setattr("openvino.Core", lambda *_, **__: pytest.fail("an engine has seen it"))
    with pytest.raises(UnsafeModelError) as caught:
        open_session(ModelBytes("model.xml", content, {"model.bin": weights}), "openvino")
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
    files = {"model.xml": content, "model.bin": weights}
    with pytest.raises(UnsafeModelError):
        edgead.load(bundle_of(tmp_path / "b.edgead", files, "model.xml", "openvino"))


def test_what_is_no_such_model_and_weights_that_are_not_there(representation: tuple[str, bytes]) -> None:
    text, weights = representation
    for content in (
        b"",
        b"<a/>",
        b"<?xml version='1.0'?><a/>",
        text.encode()[:-20],
        text.encode("utf-16"),
        b"<net",
    ):
        with pytest.raises(CompileError, match=r"^model\.xml: it isn't an OpenVINO model"):
            open_session(ModelBytes("model.xml", content, {"model.bin": weights}), "openvino")
    for beside in ({}, {"other.bin": weights}):
        with pytest.raises(CompileError, match="its weights"):
            open_session(ModelBytes("model.xml", text.encode(), beside), "openvino")
    for short in (b"", weights[:4]):
        with pytest.raises(CompileError):
            open_session(ModelBytes("model.xml", text.encode(), {"model.bin": short}), "openvino")
    assert ir.check(text.encode()) is None


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch, representation: tuple[str, bytes]) -> None:
    monkeypatch.setattr(ir, "MOST_ELEMENTS", 5)
    with pytest.raises(UnsafeModelError, match="elements"):
        check_model("model.xml", representation[0].encode())
    monkeypatch.setattr(ir, "MOST_ELEMENTS", 10_000)
    monkeypatch.setattr(ir, "MOST_IN_A_ROW", 3)
    with pytest.raises(UnsafeModelError, match="in a row"):
        check_model("model.xml", representation[0].encode())
    monkeypatch.setattr(ir, "MOST_BYTES", 5)
    with pytest.raises(UnsafeModelError, match="bytes"):
        check_model("model.xml", representation[0].encode())


# ---------------------------------------------------------------- the graph's contract


def tiny(
    inputs: tuple[tuple[str, int, Any], ...] = (("image", 2, (1, HEIGHT, WIDTH, 3)),),
    outputs: tuple[str, ...] = ("anomaly_map", "score"),
    score: tuple[int, ...] = (1,),
    shape: tuple[int, ...] = (1, 1, HEIGHT, WIDTH),
    kind: int = 1,
    spoil: float = 1.0,
) -> bytes:
    """Every pixel of the map is the sum of all images' maxima, times ``spoil``; the score likewise."""
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes, names = [], []
    for name, _, _ in inputs:
        nodes += [
            node("Cast", [name], [f"{name}_float"], to=1),
            node("ReduceMax", [f"{name}_float"], [f"{name}_max"], keepdims=0),
        ]
        names.append(f"{name}_max")
    nodes += [
        node("Sum", names, ["most"]),
        node("Mul", ["most", "spoil"], ["spoilt"]),
        node("Expand", ["spoilt", "map_shape"], ["map_float"]),
        node("Cast", ["map_float"], ["anomaly_map"], to=kind),
        node("Reshape", ["spoilt", "score_shape"], ["score_float"]),
        node("Cast", ["score_float"], ["score"], to=kind),
    ]
    shapes = {"anomaly_map": shape, "score": score}
    tensors = [
        onnx.helper.make_tensor("spoil", 1, (), [spoil]),
        onnx.helper.make_tensor("map_shape", 7, (len(shape),), list(shape)),
        onnx.helper.make_tensor("score_shape", 7, (len(score),), list(score)),
    ]
    made = onnx.helper.make_graph(
        nodes,
        "tiny",
        [value(*each) for each in inputs],
        [value(name, kind, shapes[name]) for name in outputs],
        tensors,
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


IMAGE = ("image", 2, (1, HEIGHT, WIDTH, 3))
NOT_THE_CONTRACTS = {
    "two inputs": (tiny((IMAGE, ("second", 2, (1, HEIGHT, WIDTH, 3)))), "the graph takes 2 inputs, not one"),
    "no score": (tiny(outputs=("anomaly_map",)), "the graph yields no 'score', only 'anomaly_map'"),
    "no map": (tiny(outputs=("score",)), "the graph yields no 'anomaly_map', only 'score'"),
    "a score that is a scalar": (tiny(score=()), "the graph's 'score' has the shape (), not (1,)"),
    "two scores": (tiny(score=(1, 1)), "the graph's 'score' has the shape (1, 1), not (1,)"),
    "another size": (tiny((("image", 2, (1, 16, 16, 3)),)), "takes an image of shape (1, 16, 16, 3)"),
    "channels first": (tiny((("image", 2, (1, 3, HEIGHT, WIDTH)),)), f"shape (1, 3, {HEIGHT}, {WIDTH})"),
    "four colours": (tiny((("image", 2, (1, HEIGHT, WIDTH, 4)),)), f"shape (1, {HEIGHT}, {WIDTH}, 4)"),
    "float pixels": (tiny((("image", 1, (1, HEIGHT, WIDTH, 3)),)), "image is float32, not uint8"),
    "any size": (tiny((("image", 2, (1, "h", "w", 3)),)), "takes images of any size"),
    "another map": (
        tiny(shape=(1, HEIGHT, WIDTH, 1)),
        f"'anomaly_map' has the shape (1, {HEIGHT}, {WIDTH}, 1)",
    ),
    "a map of half the size": (tiny(shape=(1, 1, 16, 24)), "'anomaly_map' has the shape (1, 1, 16, 24)"),
    "float64": (tiny(kind=11), "is float64, not float32"),
    "float16": (tiny(kind=10), "is float16, not float32"),
    "NaN": (tiny(spoil=float("nan")), "of a plain image is no number"),
    "infinity": (tiny(spoil=float("inf")), "of a plain image is no number"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("content", "said"), NOT_THE_CONTRACTS.values(), ids=NOT_THE_CONTRACTS)
def test_a_graph_that_is_not_a_bundles_is_refused_when_it_is_loaded(
    content: bytes, said: str, engine: str, tmp_path: Path, capsys: Any
) -> None:
    path = bundle_of(tmp_path / "b.edgead", {"model.onnx": content}, "model.onnx", engine)
    with pytest.raises(EdgeadError) as caught:
        edgead.load(path)
    assert isinstance(caught.value, GraphError | CompileError) and said in str(caught.value)
    assert "\n" not in str(caught.value) and "don't use it if it isn't your own" in str(caught.value)
    for words in (["run", str(path), IMAGES], ["verify", str(path), "--on-device", "--images", IMAGES]):
        assert main(words) in (3, 5)
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("engine", ENGINES)
def test_the_contracts_own_graph_is_taken(engine: str, tmp_path: Path) -> None:
    path = bundle_of(tmp_path / "b.edgead", {"model.onnx": tiny()}, "model.onnx", engine)
    assert edgead.load(path)(np.full((HEIGHT, WIDTH, 3), 7, np.uint8)).score == 7.0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_that_fails_while_it_runs_or_compiles_is_an_error_of_edgeads(
    engine: str, tmp_path: Path
) -> None:
    unknown, gathers = mean(), mean()
    unknown.graph.node[1].op_type = "Unheard"
    gathers.graph.node[3].CopyFrom(onnx.helper.make_node("Gather", ["anomaly_map", "all"], ["score"]))
    constant = mean()
    constant.graph.input.pop()
    pixels = onnx.numpy_helper.from_array(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8), "image")
    constant.graph.initializer.append(pixels)
    contents = {
        "unknown": unknown.SerializeToString(),
        "gathers": gathers.SerializeToString(),
        "any-rank": tiny((("image", 2, None),)),
        "no-image": constant.SerializeToString(),
    }
    for name, content in contents.items():
        files = {"model.onnx": content}
        path = bundle_of(tmp_path / f"{name}.edgead", files, "model.onnx", engine)
        with pytest.raises(EdgeadError) as caught:
            edgead.load(path)
        assert isinstance(caught.value, GraphError | CompileError | InferenceError), caught.value
        assert "\n" not in str(caught.value)
