"""From a folder of good images to a compiled bundle: gates, choice, reproducibility, faults."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

import edgead
from edgead.bundle import read_bundle
from edgead.errors import CompileError, DatasetError, GateError, InputError, ParityError, PrecisionError
from edgead.notices import say
from edgead.plugins import registry
from edgead.processor import Cpu
from edgead.progress import silent
from edgead.runtime.proof import Parity
from edgead.types import Artifact
from edgead.workbench import choose as choose_module
from edgead.workbench import export as export_module
from edgead.workbench import forms as forms_module
from edgead.workbench import precision as precision_module
from edgead.workbench.choose import processor_ms, remembered_ms
from edgead.workbench.export import export
from edgead.workbench.fit import Settings, fit
from edgead.workbench.form_report import FormReport
from edgead.workbench.precision import Separation
from edgead.workbench.recipe import resolve
from edgead_plugins.patchcore import PatchCore
from tests.bundles import SIZE, bad_image, good_image, make_compiled, make_reference, write_images


def content(path):
    return {
        str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in path.rglob("*")
        if f.is_file()
    }


def test_the_reference_holds_every_form_and_the_held_out_images(reference_bundle):
    manifest = reference_bundle.manifest
    names = {f.path for f in manifest.files}
    assert {"model.onnx", "forms/bf16.onnx", "forms/mixed.onnx", "forms/int8.onnx"} <= names
    assert sum(n.startswith("probes/") for n in names) == manifest.provenance["images"]["held_out"] == 6
    assert manifest.kind == "reference" and manifest.input.size == SIZE
    assert manifest.facts["bank"]["rows"] > 1


def banks(bundle, files):
    """How many patches each form's bank was chosen from, by the rows it has."""
    rows = {}
    for form, file in files.items():
        graph = onnx.load(bundle.file(file)).graph
        rows[form] = next(i for i in graph.initializer if i.name == "memory_bank").dims[0]
    return rows


def test_what_ships_learns_from_all_images_and_the_threshold_from_what_has_not(reference_bundle, tmp_path):
    reference = reference_bundle.manifest.reference
    assert reference.forms.keys() == reference.calibration_forms.keys()
    manifest = reference_bundle.manifest
    patches = manifest.facts["bank"]["patches"] // manifest.provenance["images"]["fitted_on"]
    assert set(banks(reference_bundle, reference.forms).values()) == {int(16 * patches * 0.05)}
    assert set(banks(reference_bundle, reference.calibration_forms).values()) == {int(10 * patches * 0.05)}

    # The calibration forms are just what a fit without a final one ships. Its threshold is of the held-out
    # images; with a final fit all images judge, each by a fit without it.
    once = make_reference(tmp_path, final_fit=False)
    assert once.manifest.reference.calibration_forms == {}
    assert once.manifest.provenance["images"] == {"fitted_on": 10, "held_out": 6}
    assert (once.manifest.held_out.folds, once.manifest.threshold.n_images) == (0, 6)
    assert (manifest.held_out.folds, manifest.threshold.n_images) == (10, 16)
    for form, file in once.manifest.reference.forms.items():
        twin = reference_bundle.file(reference.calibration_forms[form])
        assert once.file(file).read_bytes() == twin.read_bytes()
    one = make_compiled(once, "onnx", "fp32", tmp_path / "one.edgead").bundle.manifest
    two = make_compiled(reference_bundle, "onnx", "fp32", tmp_path / "two.edgead").bundle.manifest
    assert (one.threshold.n_images, two.threshold.n_images) == (6, 16)
    assert two.threshold.score == pytest.approx(manifest.threshold.score, rel=0.02)  # ten are carried over
    assert two.reference is None and "calibration_forms" not in two.facts


@dataclasses.dataclass
class Renamed:
    """A backbone under another name."""

    of: object
    name: str

    def __getattr__(self, name):
        return getattr(self.of, name)


class TrainedPatchCore(PatchCore):
    """Its training leaves a checkpoint and counts the images; the network is the backbone itself."""

    fail = False

    def train(self, examples):
        examples.checkpoint.mkdir(parents=True, exist_ok=True)
        (examples.checkpoint / "step").write_text("1")
        if self.fail:
            raise KeyboardInterrupt
        count = sum(1 for image in examples.images() if image.shape == (*examples.size, 3))
        return Renamed(examples.backbone, f"trained on {count}")


@pytest.mark.parametrize("final_fit", [True, False])
def test_a_network_that_the_scorer_trains_takes_the_backbones_place(tmp_path, final_fit):
    images = write_images(tmp_path / "good", [good_image(i) for i in range(10)])
    recipe = dataclasses.replace(resolve("patchcore"), scorer=TrainedPatchCore())
    settings = Settings(size=SIZE, precisions=("fp32",), final_fit=final_fit)
    out = tmp_path / "t.edgead"
    recipe.scorer.fail = True
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, images, settings, out, silent)
    assert (tmp_path / "t.edgead.checkpoint" / "first" / "step").exists() and not out.exists()
    recipe.scorer.fail = False
    bundle = fit(recipe, images, settings, out, silent).bundle
    expected = "trained on 10" if final_fit else "trained on 8"
    assert bundle.manifest.provenance["backbone"]["name"] == expected
    assert not (tmp_path / "t.edgead.checkpoint").exists()


def test_every_form_has_the_one_interface(reference_bundle):
    for file in reference_bundle.manifest.reference.forms.values():
        graph = onnx.load(reference_bundle.file(file)).graph
        (image,) = graph.input
        assert image.name == "image" and image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, *SIZE, 3]
        assert [o.name for o in graph.output] == ["anomaly_map", "score"]
        initialisers = {i.name: i for i in graph.initializer}
        assert "memory_bank" in initialisers, "inspect can't find the bank"
        assert not any(n.op_type == "Constant" for n in graph.node)
        kind = onnx.TensorProto.FLOAT if file == "model.onnx" else onnx.TensorProto.INT8
        assert initialisers["memory_bank"].data_type == kind


@pytest.mark.parametrize("target", ["openvino", "onnx"])
@pytest.mark.parametrize("precision", ["int8", "mixed", "fp32"])
def test_each_precision_compiles_runs_and_really_is_that_precision(compiled, target, precision):
    made = compiled(target, precision)
    report = next(r for r in made.forms if r.precision == precision)
    assert not report.misses and report.parity.passed
    if precision == "int8":
        assert report.execution["i8"] > report.execution.get("f32", 0)
    elif precision == "fp32":
        assert "i8" not in report.execution
    manifest = read_bundle(made.bundle.path).manifest
    assert (manifest.kind, manifest.target, manifest.precision) == ("compiled", target, precision)
    detector = edgead.load(made.bundle.path)
    assert detector(bad_image(3)).is_anomalous
    files = {f.path for f in manifest.files}
    assert {name for name in files if not name.startswith("probes/")} == (
        {
            "held-out.f32",
            "sbom.cdx.json",
            "sbom-fit.cdx.json",
            "teaching.f32",
            *({"model.onnx"} if target == "onnx" else {"model.xml", "model.bin"}),
        }
    )
    assert {probe.file for probe in manifest.probes} == {n for n in files if n.startswith("probes/")}


def test_auto_takes_a_passing_form_and_keeps_the_table(reference_bundle, tmp_path):
    made = make_compiled(reference_bundle, "openvino", "auto", tmp_path / "auto.edgead")
    kept = made.bundle.manifest.reports["forms"]
    assert [r["precision"] for r in kept] == ["int8", "mixed", "bf16", "fp32"]
    chosen = next(r for r in kept if r["precision"] == made.chosen)
    assert chosen["misses"] == [] and chosen["parity"]["passed"]
    assert all(r.p50_ms > 0 for r in made.forms if r.failure is None)
    assert "p50" not in json.dumps(kept), "latencies differ from run to run: they don't belong in the bundle"


def test_both_engines_agree_on_the_same_form(compiled):
    frames = [good_image(900), bad_image(5)]
    for precision, tolerance in (("fp32", 1e-4), ("int8", 0.05)):
        one, other = (edgead.load(compiled(t, precision).bundle.path) for t in ("openvino", "onnx"))
        for frame in frames:
            assert one(frame).score == pytest.approx(other(frame).score, rel=tolerance)


def test_same_images_options_and_seed_give_the_same_bytes(reference_bundle, tmp_path):
    again = make_reference(tmp_path)
    assert content(reference_bundle.path) == content(again.path)
    one = make_compiled(reference_bundle, "openvino", "int8", tmp_path / "one.edgead")
    two = make_compiled(again, "openvino", "int8", tmp_path / "two.edgead")
    assert content(one.bundle.path) == content(two.bundle.path)
    other = make_reference(tmp_path, out="other.edgead", seed=1, precisions=())
    assert content(other.path)["model.onnx"] != content(again.path)["model.onnx"]


# ---------------------------------------------------------------- gates


class Tampering:
    """The onnx exporter, whose compiled graph differs from the reference as told."""

    target, precisions = "onnx", ("int8", "fp32")

    def __init__(self, tamper, only="int8"):
        self.tamper, self.only = tamper, only

    def compile(self, graph, precision, folder):
        if precision == self.only:
            self.tamper(graph)
        onnx.save(graph, folder / "model.onnx")
        return Artifact("model.onnx", ("model.onnx",), "onnxruntime")


def scale_bank(graph):
    """Another bank: scores and maps change."""
    bank = next(i for i in graph.graph.initializer if i.name == "memory_bank")
    values = onnx.numpy_helper.to_array(bank).copy()
    bank.CopyFrom(onnx.numpy_helper.from_array((values * 0.7).astype(values.dtype), "memory_bank"))


def test_a_graph_that_differs_from_the_reference_misses_parity(reference_bundle, tmp_path):
    out = tmp_path / "x.edgead"
    with pytest.raises(ParityError, match="precision int8 misses a gate"):
        export(reference_bundle, Tampering(scale_bank), "int8", out, silent)
    assert not out.exists()
    made = export(reference_bundle, Tampering(scale_bank), "auto", out, silent)
    assert made.chosen == "fp32" and made.forms[0].misses


def test_no_form_passes_and_nothing_is_written(reference_bundle, tmp_path):
    class Both(Tampering):
        def compile(self, graph, precision, folder):
            scale_bank(graph)
            return super().compile(graph, precision, folder)

    with pytest.raises(GateError, match="no form passes"):
        export(reference_bundle, Both(lambda graph: None), "auto", tmp_path / "x.edgead", silent)
    assert list(tmp_path.iterdir()) == []


def test_a_form_that_separates_worse_misses_precision(reference_bundle, tmp_path, monkeypatch):
    honest = precision_module.run_trial

    def int8_is_blind(session, good, bad, inside=None):
        trial = honest(session, good, bad, inside)
        blind = session.execution().get("i8")
        return dataclasses.replace(trial, bad=np.resize(trial.good, trial.bad.shape)) if blind else trial

    monkeypatch.setattr(precision_module, "run_trial", int8_is_blind)
    exporter = registry().get("exporters", "onnx")()
    with pytest.raises(PrecisionError, match=r"expected to lose \d+\.\d\d points of AUROC, lost"):
        export(reference_bundle, exporter, "int8", tmp_path / "x.edgead", silent)
    assert list(tmp_path.iterdir()) == []
    assert export(reference_bundle, exporter, "auto", tmp_path / "x.edgead", silent).chosen == "fp32"


def test_the_allowed_loss_is_the_users(reference_bundle, tmp_path):
    exporter = registry().get("exporters", "onnx")()
    made = export(reference_bundle, exporter, "int8", tmp_path / "x.edgead", silent, max_loss=0.9)
    assert made.chosen == "int8" and made.bundle.manifest.reports["forms"][0]["separation"]["max_loss"] == 0.9
    with pytest.raises(PrecisionError):
        export(reference_bundle, exporter, "int8", tmp_path / "y.edgead", silent, max_loss=-0.9)


def test_an_engine_that_cannot_compile_a_form(reference_bundle, tmp_path):
    def break_it(graph):
        graph.graph.node[-1].op_type = "NoSuchOperator"

    with pytest.raises(CompileError, match=r"model\.onnx"):
        export(reference_bundle, Tampering(break_it), "int8", tmp_path / "x.edgead", silent)
    made = export(reference_bundle, Tampering(break_it), "auto", tmp_path / "x.edgead", silent)
    assert made.chosen == "fp32" and "model.onnx" in made.forms[0].failure


def test_the_fastest_passing_form_is_taken_and_of_equals_the_most_exact():
    good = Parity(0, 0, 0, 1, 0.1, 0.1)

    def report(precision, cpu_ms, loss=0.0):
        separation = Separation(
            0.9, expected_loss=loss, measured_loss=loss, noise=0.0, max_loss=0.005, defects=80
        )
        return FormReport(precision, parity=good, separation=separation, p50_ms=1.0, cpu_ms=cpu_ms)

    choose = export_module._choose
    assert choose([report("int8", 1.0), report("fp32", 4.0)], "auto").precision == "int8"
    assert choose([report("int8", 1.0, loss=0.02), report("fp32", 4.0)], "auto").precision == "fp32"
    assert choose([report("int8", 4.0), report("fp32", 1.0)], "auto").precision == "fp32"
    assert choose([report("int8", 1.0), report("mixed", 1.05)], "auto").precision == "mixed"
    assert choose([report("int8", 1.0), report("mixed", 1.2)], "auto").precision == "int8"
    assert (
        choose([report("int8", 30.1), report("bf16", 31), report("fp32", 31.1)], "auto").precision == "fp32"
    )
    assert choose([report("int8", None), report("fp32", None)], "auto").precision == "int8", "never timed"


def test_bf16_is_left_out_where_the_processor_lacks_it(reference_bundle, tmp_path, monkeypatch):
    pytest.importorskip("openvino", reason="needs the [openvino] extra")
    old = Cpu("an old one", 2, {"AVX2": True, "BF16": False})
    monkeypatch.setattr(export_module, "cpu", lambda: old)
    made = make_compiled(reference_bundle, "openvino", "auto", tmp_path / "auto.edgead")
    left_out = next(r for r in made.forms if r.precision == "bf16")
    assert "left out: this processor (an old one) has no BF16 unit" in left_out.failure
    assert left_out.parity is None and made.chosen != "bf16"
    with pytest.raises(CompileError, match="no BF16 unit"):
        make_compiled(reference_bundle, "openvino", "bf16", tmp_path / "bf16.edgead")


def test_a_form_that_saturates_elsewhere_is_left_out(reference_bundle, tmp_path, monkeypatch):
    def only_int8(graph):
        return (
            {"conv7": 180}
            if any(i.name == "pixel_zero" or "pixel_zero" in i.name for i in graph.graph.initializer)
            else {}
        )

    monkeypatch.setattr(export_module, "unsafe_layers", only_int8)
    made = make_compiled(reference_bundle, "onnx", "auto", tmp_path / "auto.edgead")
    left_out = next(r for r in made.forms if r.precision == "int8")
    assert "processors without VNNI would clip its sums (layer conv7)" in left_out.failure
    assert made.chosen != "int8"


def test_what_is_compared_is_the_processors_time_and_not_the_clocks(monkeypatch):
    clock = {"now": 0.0}
    monkeypatch.setattr(choose_module.time, "process_time", lambda: clock["now"])

    def takes(seconds):
        def session(image):
            clock["now"] += seconds

        return session

    found = processor_ms({"int8": takes(0.002), "fp32": takes(0.009)}, good_image(0))
    assert found == pytest.approx({"int8": 2.0, "fp32": 9.0})


def test_what_was_measured_of_graphs_of_the_same_shapes_is_taken_again(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))

    def graph(channels, value):
        nodes = [onnx.helper.make_node("Relu", ["x"], ["y"])]
        weights = onnx.numpy_helper.from_array(np.full((channels, 2), value, np.float32), "w")
        return onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], [weights]))

    def measured(value):
        return lambda: {"int8": value, "fp32": 4.0}

    first = {"int8": graph(8, 1), "fp32": graph(8, 2)}
    others = {"int8": graph(8, 3), "fp32": graph(8, 4)}
    assert remembered_ms(first, "onnxruntime", measured(1.0))["int8"] == 1.0
    assert remembered_ms(others, "onnxruntime", measured(2.0))["int8"] == 1.0, "other weights, same shapes"
    assert remembered_ms({**first, "int8": graph(9, 1)}, "onnxruntime", measured(2.0))["int8"] == 2.0
    for text in ("", "{", '{"int8": -1, "fp32": 1}', '{"int8": 1}', "[1]"):
        next(f for f in (tmp_path / "speeds").iterdir() if '"int8": 1.0' in f.read_text()).write_text(text)
        assert remembered_ms(first, "onnxruntime", measured(1.0))["int8"] == 1.0, "damage is measured anew"
    known = choose_module.registry()
    newer = [dataclasses.replace(one, version="99") for one in known.entries("exporters")]
    monkeypatch.setattr(choose_module, "registry", lambda: SimpleNamespace(entries=lambda kind: newer))
    assert remembered_ms(first, "onnxruntime", measured(3.0))["int8"] == 3.0, "others compile other graphs"


# ---------------------------------------------------------------- faults


def test_a_compiled_bundle_is_not_exported_again(compiled, tmp_path):
    exporter = registry().get("exporters", "onnx")()
    with pytest.raises(InputError, match="already compiled for openvino"):
        export(compiled("openvino").bundle, exporter, "auto", tmp_path / "x.edgead", silent)


def test_a_precision_that_the_target_lacks(reference_bundle, tmp_path):
    exporter = registry().get("exporters", "onnx")()
    with pytest.raises(InputError, match=r"precision 'bf16' isn't to be had \(target onnx has no such form"):
        export(reference_bundle, exporter, "bf16", tmp_path / "x.edgead", silent)


def test_a_backbone_that_cannot_be_quantised_still_has_its_other_forms(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise CompileError("nncf can't quantise this backbone (odd operator): it has no int8 form")

    monkeypatch.setattr(forms_module, "quantise_backbone", refuse)
    bundle = make_reference(tmp_path, n=4)
    assert set(bundle.manifest.reference.forms) == {"fp32", "bf16"}
    exporter = registry().get("exporters", "onnx")()
    with pytest.raises(InputError, match=r"isn't to be had \(nncf can't quantise .*choose auto, fp32"):
        export(bundle, exporter, "int8", tmp_path / "x.edgead", silent)
    assert export(bundle, exporter, "auto", tmp_path / "x.edgead", silent).chosen == "fp32"


def test_one_image_is_too_few(tmp_path):
    with pytest.raises(DatasetError, match="only 1 image"):
        make_reference(tmp_path, n=1)
    assert not (tmp_path / "patchcore.edgead").exists()


def test_two_images_are_enough_to_fit(tmp_path):
    bundle = make_reference(tmp_path, n=2, precisions=())
    assert bundle.manifest.threshold.n_images == 2
    assert "2 held-out images can't show" in say(bundle.manifest.threshold.notice())


def test_a_bad_image_is_named_before_any_work(tmp_path):
    folder = write_images(tmp_path / "good", [good_image(i) for i in range(3)])
    (folder / "zz.png").write_text("not a picture")
    from edgead.errors import ImageError
    from edgead.workbench.fit import Settings, fit
    from edgead.workbench.recipe import resolve

    with pytest.raises(ImageError, match=r"zz\.png"):
        fit(resolve("patchcore"), folder, Settings(size=SIZE), tmp_path / "x.edgead", silent)
    assert {p.name for p in tmp_path.iterdir()} == {"good"}
