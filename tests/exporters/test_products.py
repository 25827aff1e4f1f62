"""Integer products become convolutions of 1 x 1 with the same sums; what isn't such a product stays."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import spox
import spox.opset.ai.onnx.v18 as op
from spox import Tensor, Var

from edgead.testing.running import in_another_process
from edgead.workbench.graph import tidy
from edgead_exporters.openvino import FILES, OpenVINOExporter
from edgead_exporters.products import as_convolutions

pytest.importorskip("openvino", reason="needs the [openvino] extra")

DIM = 48


def rounded(x: Var) -> Var:
    scale, zero = op.const(np.float32(0.02)), op.const(np.int8(0))
    return op.dequantize_linear(op.quantize_linear(x, scale, zero), scale, zero)


def product(queries: int, rows: int, cut: slice | None = None, batched: bool = False) -> onnx.ModelProto:
    """Queries times an int8 bank, or times a slice of it; the bank's first row is read elsewhere, too."""
    weights = np.random.default_rng(0).integers(-63, 64, (rows, DIM)).astype(np.int8)
    x = spox.argument(Tensor(np.float32, (1, queries, DIM) if batched else (queries, DIM)))
    bank = op.const(weights)
    part = bank if cut is None else op.slice(bank, *(op.const([v]) for v in (cut.start, cut.stop, 0)))
    plain = op.dequantize_linear(part, op.const(np.float32(0.01)), op.const(np.int8(0)))
    found = op.matmul(rounded(x), op.transpose(plain, perm=[1, 0]))
    first = op.cast(op.gather(bank, op.const([0]), axis=0), to=np.float32)
    return built(x, found, first)


def built(x: Var, y: Var, *more: Var) -> onnx.ModelProto:
    """With its constants as initialisers, as edgead composes graphs."""
    named = {f"more_{number}": var for number, var in enumerate(more)}
    return tidy(spox.build({"x": x}, {"y": y} | named), {})


def run(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})


def assert_same(queries: int, model: onnx.ModelProto, there: onnx.ModelProto) -> None:
    x = np.random.default_rng(1).normal(size=(queries, DIM)).astype(np.float32)
    for a, b in zip(run(model, x), run(there, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("queries", [1, 7, 36, 50])
@pytest.mark.parametrize("cut", [None, slice(5, 25)])
def test_the_sums_are_the_same(queries, cut) -> None:
    model = product(queries, 40, cut)
    there = as_convolutions(model)
    kinds = [node.op_type for node in there.graph.node]
    assert "MatMul" not in kinds and kinds.count("Conv") == 1
    assert_same(queries, model, there)
    # The bank is in the graph once, whoever reads it.
    assert [tuple(v.dims) for v in there.graph.initializer if len(v.raw_data) >= 40 * DIM] == [(40, DIM)]


@pytest.mark.parametrize("kind", ["batched", "float", "by row"])
def test_other_products_stay(kind) -> None:
    x = spox.argument(Tensor(np.float32, (6, DIM)))
    if kind == "batched":
        model = product(6, 40, batched=True)
    elif kind == "float":
        model = built(x, op.matmul(x, op.const(np.ones((DIM, 4), np.float32))))
    else:
        steps = op.const(np.linspace(0.01, 0.02, 4).astype(np.float32))
        rows = op.const(np.ones((4, DIM), np.int8))
        plain = op.dequantize_linear(rows, steps, op.const(np.zeros(4, np.int8)), axis=0)
        model = built(x, op.matmul(rounded(x), op.transpose(plain, perm=[1, 0])))
    assert [node.op_type for node in as_convolutions(model).graph.node].count("MatMul") == 1


def test_a_product_that_the_graph_yields_stays_and_others_do_not() -> None:
    model = product(6, 40)
    more = model.graph.node.add()
    matmul = next(node for node in model.graph.node if node.op_type == "MatMul")
    more.CopyFrom(matmul)
    more.name, more.output[0] = "again", "again"
    model.graph.output.append(onnx.helper.make_tensor_value_info("again", onnx.TensorProto.FLOAT, (6, 40)))
    there = as_convolutions(model)
    kinds = [node.op_type for node in there.graph.node]
    assert (kinds.count("MatMul"), kinds.count("Conv")) == (1, 1)
    assert_same(6, model, there)


def test_new_names_are_nobody_elses() -> None:
    """A network's own tensors may be numbered alike: TorchScript names them input.1, input.2."""
    model = product(6, 40)
    matmul = next(node for node in model.graph.node if node.op_type == "MatMul")
    last, own = matmul.output[0], model.graph.output[0].name
    matmul.output[0] = "input"
    for number in range(1, 13):
        before = "input" if number == 1 else f"input.{number - 1}"
        kind = "Neg" if number == 1 else "Identity"
        model.graph.node.append(onnx.helper.make_node(kind, [before], [f"input.{number}"]))
    for node in model.graph.node:
        node.input[:] = ["input.12" if name == last else name for name in node.input]
    if last == own:
        model.graph.node.append(onnx.helper.make_node("Identity", ["input.12"], [own]))
    there = as_convolutions(model)
    onnx.checker.check_model(there)
    assert "Conv" in [node.op_type for node in there.graph.node]
    assert_same(6, model, there)


def test_a_graph_with_branches_stays() -> None:
    """What their own graphs read is known to nobody here."""
    model = product(6, 40)
    matmul = next(node for node in model.graph.node if node.op_type == "MatMul")
    value = onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, (6, 40))
    branch = onnx.helper.make_graph(
        [onnx.helper.make_node("Neg", [matmul.output[0]], ["z"])], "branch", [], [value]
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "which"))
    model.graph.node.append(
        onnx.helper.make_node("If", ["which"], ["chosen"], then_branch=branch, else_branch=branch)
    )
    model.graph.output.append(onnx.helper.make_tensor_value_info("chosen", onnx.TensorProto.FLOAT, (6, 40)))
    there = as_convolutions(model)
    x = np.random.default_rng(1).normal(size=(6, DIM)).astype(np.float32)
    for a, b in zip(run(model, x), run(there, x), strict=True):
        np.testing.assert_array_equal(a, b)


def test_openvino_calculates_the_same_integers_with_and_without_vnni(tmp_path) -> None:
    model = product(36, 300)
    OpenVINOExporter().compile(model, "int8", tmp_path)
    assert all((tmp_path / name).is_file() for name in FILES)
    x = np.random.default_rng(1).normal(size=(36, DIM)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    code = (
        "import json, numpy as np, openvino as ov\n"
        "options = {'INFERENCE_PRECISION_HINT': 'f32'}\n"
        f"model = ov.Core().compile_model({str(tmp_path / 'model.xml')!r}, 'CPU', options)\n"
        f"found = model(np.load({str(tmp_path / 'x.npy')!r}))[0]\n"
        "print(json.dumps(np.rint(found / (0.02 * 0.01)).astype(int).tolist()))"
    )
    weights = np.random.default_rng(0).integers(-63, 64, (300, DIM))
    steps = np.clip(np.rint(x / np.float32(0.02)), -128, 127).astype(int)
    for variables in ({}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}):
        found = np.array(in_another_process(code, variables=variables))
        np.testing.assert_array_equal(found, steps @ weights.T)
