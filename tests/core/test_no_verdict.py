"""A model that yields no number gives no verdict, and a frame that passes has no mask."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

import edgead
from edgead.bundle import write_bundle
from edgead.cli import main
from edgead.errors import EngineError, FrameError, NotFiniteError
from edgead.manifest import ComposedMethod, InputRecord, Manifest, ThresholdRecord

pytest.importorskip("onnx", reason="needs the [fit] extra")
pytest.importorskip("openvino", reason="needs the [openvino] extra")

SIZE = (32, 48)
ENGINES = ("openvino", "onnxruntime")
POISON = {
    "nan in the map": ("map", "Sqrt"),
    "infinity in the map": ("map", "Reciprocal"),
    "nan as the score": ("score", "Sqrt"),
    "infinity as the score": ("score", "Reciprocal"),
}
"""Where, and the operator that spoils what is white: of 0 or less."""


def graph(where: str = "", operator: str = "") -> bytes:
    """The map is the mean over the colours and the score its maximum, plus a term that only white spoils."""
    from onnx import TensorProto, helper

    node, value = helper.make_node, helper.make_tensor_value_info
    limit = {"Sqrt": 254.5, "Reciprocal": 255.0}.get(operator)
    nodes = [
        node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        node("ReduceMean", ["float", "channel"], ["mean"], keepdims=1),
        node("Transpose", ["mean"], ["plain_map"], perm=[0, 3, 1, 2]),
        node("ReduceMax", ["plain_map", "all"], ["plain_score"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("channel", TensorProto.INT64, (1,), [3]),
        helper.make_tensor("all", TensorProto.INT64, (3,), [1, 2, 3]),
    ]
    for name in ("map", "score"):
        if name == where:
            nodes += [
                node("Sub", ["limit", f"plain_{name}"], ["left"]),
                node(operator, ["left"], ["term"]),
                node("Mul", ["term", "small"], ["none"]),
                node("Add", [f"plain_{name}", "none"], ["anomaly_map" if name == "map" else "score"]),
            ]
            constants += [
                helper.make_tensor("limit", TensorProto.FLOAT, (1,), [limit]),
                helper.make_tensor("small", TensorProto.FLOAT, (1,), [1e-9]),
            ]
        else:
            nodes.append(node("Identity", [f"plain_{name}"], ["anomaly_map" if name == "map" else "score"]))
    model = helper.make_graph(
        nodes,
        "line",
        [value("image", TensorProto.UINT8, (1, *SIZE, 3))],
        [value("anomaly_map", TensorProto.FLOAT, (1, 1, *SIZE)), value("score", TensorProto.FLOAT, (1,))],
        constants,
    )
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(model, opset_imports=opset, ir_version=9).SerializeToString())


def make(folder, name="line.edgead", where="", operator="", image=100.0, pixel=100.0, engine="onnxruntime"):
    manifest = Manifest(
        edgead="0.1.0",
        kind="compiled",
        method=ComposedMethod("line", "line", "none", {}, 0),
        input=InputRecord(SIZE, "stretch"),
        thresholds={"default": ThresholdRecord(image, pixel, "given", 0.01, 20, "images", 20, 0.0, 1.0)},
        target="onnx",
        engine=engine,
        engine_precision="f32",
        precision="fp32",
        model="model.onnx",
        reports={},
        provenance={},
        facts={},
    )
    with write_bundle(folder / name) as staging:
        (staging.folder / "model.onnx").write_bytes(graph(where, operator))
        staging.finish(manifest)
    return folder / name


def picture(spot: int) -> np.ndarray:
    image = np.full((*SIZE, 3), 50, np.uint8)
    image[8:20, 10:30] = spot
    return image


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", POISON)
def test_no_number_is_the_models_fault_and_never_a_verdict(kind, engine, tmp_path):
    detector = edgead.load(make(tmp_path, "line.edgead", *POISON[kind]), engine=engine)
    assert detector(picture(200)).is_anomalous
    for run in (detector, lambda frame: list(detector.map([frame]))):
        with pytest.raises(NotFiniteError, match=r"^line\.edgead: .*no verdict.*rejected") as error:
            run(picture(255))
        assert isinstance(error.value, EngineError) and not isinstance(error.value, FrameError)
    predictions = detector.map([picture(60), picture(200), picture(255), picture(60)])
    assert [next(predictions).is_anomalous for _ in range(2)] == [False, True]


def test_the_command_ends_there_with_the_engines_code(tmp_path, capsys):
    bundle = make(tmp_path, "line.edgead", *POISON["nan in the map"])
    for name, spot in (("a", 60), ("b", 255), ("c", 60)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture(spot))
    assert main(["run", str(bundle), *(str(tmp_path / f"{name}.png") for name in "abc")]) == 5
    out, err = capsys.readouterr()
    judged, failed = map(json.loads, out.splitlines())
    assert judged["is_anomalous"] is False
    assert failed["source"].endswith("b.png") and "NaN" in failed["error"] and "is_anomalous" not in failed
    assert err.startswith("error: line.edgead: the model yields NaN") and len(err.splitlines()) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_frame_that_passes_has_no_mask_and_the_whole_map(engine, tmp_path):
    detector = edgead.load(make(tmp_path, image=150.0, pixel=100.0), engine=engine)
    passes, caught = detector(picture(140)), detector(picture(200))
    assert not passes.is_anomalous and not passes.mask.any() and passes.regions == ()
    assert passes.mask.shape == SIZE and passes.mask.dtype == bool
    expected = np.full(SIZE, 50, np.float32)
    expected[8:20, 10:30] = 140
    np.testing.assert_array_equal(passes.anomaly_map, expected)
    assert caught.is_anomalous and [r.box for r in caught.regions] == [(10, 8, 20, 12)]
    np.testing.assert_array_equal(caught.mask, expected == 140)


def test_the_other_way_round_an_anomalous_frame_may_have_no_mask(tmp_path):
    detector = edgead.load(make(tmp_path, image=100.0, pixel=220.0))
    prediction = detector(picture(200))
    assert prediction.is_anomalous and not prediction.mask.any() and prediction.regions == ()


def test_pictures_outline_nothing_on_a_frame_that_passes(tmp_path, capsys):
    bundle = make(tmp_path, image=150.0, pixel=100.0)
    for name, spot in (("passes", 140), ("caught", 200)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture(spot))
    words = [str(tmp_path / f"{name}.png") for name in ("passes", "caught")]
    assert main(["run", str(bundle), *words, "--out", str(tmp_path / "maps")]) == 0
    passes, caught = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert passes["regions"] == [] and len(caught["regions"]) == 1
    drawn = {n: cv2.imread(str(tmp_path / "maps" / f"{n}.png.heatmap.png")) for n in ("passes", "caught")}
    white = {name: bool((image == 255).all(axis=2).any()) for name, image in drawn.items()}
    assert white == {"passes": False, "caught": True}
    assert (drawn["passes"][12, 20] != 140).any(), "the colours stay"


def test_the_report_outlines_nothing_on_a_frame_that_passes(tmp_path):
    pytest.importorskip("jinja2", reason="needs the [report] extra")
    from pathlib import Path

    from edgead.evaluation.evaluate import Judged
    from edgead.evaluation.report.gallery import Gallery
    from edgead.types import Sample

    detector = edgead.load(make(tmp_path, image=150.0, pixel=100.0))
    gallery = Gallery(detector)
    for spot in (140, 200):
        prediction = detector(picture(spot))
        judged = Judged(Sample(Path("a.png"), "good"), prediction.score, prediction.is_anomalous)
        gallery.add(judged, picture(spot), prediction, np.zeros(SIZE, bool))
    white = [(decode(entry.pictures[1]) > 235).all(axis=2).any() for entry in gallery.entries]
    assert white == [False, True]


def decode(picture):
    import base64

    return cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_COLOR)


def test_metrics_are_of_the_map_whatever_the_verdict(tmp_path):
    from edgead.evaluation.evaluate import evaluate
    from edgead.types import Sample

    good, bad, mask = tmp_path / "good.png", tmp_path / "bad.png", tmp_path / "mask.png"
    cv2.imwrite(str(good), picture(60))
    cv2.imwrite(str(bad), picture(140))
    cv2.imwrite(str(mask), (picture(255) == 255).astype(np.uint8) * 255)
    samples = [Sample(good, "good"), Sample(bad, "spot", (mask,))]
    for threshold in (1.0, 1000.0):  # everything anomalous; everything passes
        found = evaluate(edgead.load(make(tmp_path), threshold=threshold), samples, draws=0).metrics
        assert found["pixel_auroc"].value == found["iap"].value == 1.0
