"""``--target auto``: every target's forms through the gates, and the fastest ships."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

import edgead
from edgead.bundle import read_bundle
from edgead.cli import main
from edgead.errors import CompileError, EngineError, GateError, InputError, OutputError
from edgead.evaluation.faster import FEWEST_FRAMES, Timed, slower_for_their_engine
from edgead.notices import say
from edgead.plugins import registry
from edgead.progress import silent
from edgead.workbench import engine_pace, targets
from edgead.workbench.targets import Contestant, export_fastest, timed_targets
from tests.bundles import good_image

pytest.importorskip("openvino", reason="needs the [openvino] extra")


def exporters(*names: str) -> dict[str, Any]:
    return {name: registry().get("exporters", name)() for name in names or ("onnx", "openvino")}


def say_times(monkeypatch: pytest.MonkeyPatch, times: dict[str, float]) -> None:
    """No clock decides in these tests."""

    def engines_ms(reference: Any, contenders: Any, seconds: float = 1.0) -> dict[str, float]:
        return {name: times[name] for name in contenders} if len(contenders) > 1 else {}

    monkeypatch.setattr(targets, "engines_ms", engines_ms)
    monkeypatch.setattr(engine_pace, "engines_ms", engines_ms)


class Refused:
    """An exporter that can't compile anything."""

    target = "refused"
    precisions = ("int8", "fp32")

    def compile(self, graph: Any, precision: Any, folder: Path) -> Any:
        raise CompileError("nothing doing")


def test_targets_that_are_timed_elsewhere_do_not_compete() -> None:
    assert {"onnx", "openvino"} <= timed_targets().keys()
    assert "jetson" in registry().names("exporters") and "jetson" not in timed_targets()
    assert timed_targets("somebody-else") == {}


def test_a_target_that_cannot_be_made_is_told_and_left_out(monkeypatch, caplog) -> None:
    real = registry().get

    def get(kind: Any, name: str) -> Any:
        if name == "onnx":
            raise CompileError("it is broken")
        return real(kind, name)

    monkeypatch.setattr(registry(), "get", get)
    assert "onnx" not in timed_targets() and "openvino" in timed_targets()
    assert "target onnx is left out: it is broken" in caplog.text


@pytest.mark.parametrize("best", ["onnx", "openvino"])
def test_the_fastest_targets_bundle_is_written_with_every_report(
    reference_bundle, tmp_path, monkeypatch, best
) -> None:
    other = {"onnx": "openvino", "openvino": "onnx"}[best]
    say_times(monkeypatch, {best: 2.0, other: 3.0})
    told: list[Any] = []
    out = tmp_path / "fast.edgead"
    done, asked = export_fastest(
        reference_bundle, exporters(), "fp32", out, silent, told.append, max_loss=0.2
    )
    assert done.bundle.manifest.target == best and done.chosen == "fp32"
    assert asked == (
        Contestant("onnx", "fp32", 2.0 if best == "onnx" else 3.0),
        Contestant("openvino", "fp32", 2.0 if best == "openvino" else 3.0),
    )
    assert [(form.target, form.precision) for form in told[0]] == [("onnx", "fp32"), ("openvino", "fp32")]
    kept = read_bundle(out)
    reports = kept.manifest.reports
    assert [form["target"] for form in reports["forms"]] == ["onnx", "openvino"]
    assert all(form["parity"]["passed"] for form in reports["forms"])
    assert reports["targets"] == [
        {"target": name, "precision": "fp32", "left_out": None} for name in ("onnx", "openvino")
    ]
    assert "cpu_ms" not in json.dumps(reports)  # no clock in a bundle
    # otherwise it's the bundle that a named target gets
    named, _ = export_fastest(
        reference_bundle, exporters(best), "fp32", tmp_path / "named.edgead", silent, max_loss=0.2
    )
    ours, theirs = ({file.path: file.sha256 for file in each.manifest.files} for each in (kept, named.bundle))
    assert ours == theirs
    assert {path.name for path in tmp_path.iterdir()} == {"fast.edgead", "named.edgead"}
    assert edgead.load(out)(good_image(1)).score > 0


def test_a_target_that_ships_nothing_is_left_out_and_says_why(reference_bundle, tmp_path) -> None:
    able = {**exporters("onnx"), "refused": Refused()}
    done, asked = export_fastest(reference_bundle, able, "fp32", tmp_path / "x.edgead", silent, max_loss=0.2)
    assert done.bundle.manifest.target == "onnx"
    assert asked == (Contestant("onnx", "fp32"), Contestant("refused", left_out="nothing doing"))
    assert done.bundle.manifest.reports["targets"][1]["left_out"] == "nothing doing"


def test_a_target_without_the_named_form_does_not_compete(reference_bundle, tmp_path, monkeypatch) -> None:
    say_times(monkeypatch, {})
    without = dataclasses.make_dataclass("Without", [])
    without.target, without.precisions = "without", ("int8",)
    able = {**exporters("onnx"), "without": without()}
    _, asked = export_fastest(reference_bundle, able, "fp32", tmp_path / "x.edgead", silent, max_loss=0.2)
    assert asked[1] == Contestant("without", left_out="it has no fp32")
    with pytest.raises(InputError, match="no target that is timed here has it"):
        export_fastest(reference_bundle, able, "bf16", tmp_path / "y.edgead", silent)
    assert not (tmp_path / "y.edgead").exists()


def test_nothing_is_written_where_no_target_ships_anything(reference_bundle, tmp_path) -> None:
    out = tmp_path / "x.edgead"
    with pytest.raises(EngineError, match=r"no target passes \(a: nothing doing; b: nothing doing\)"):
        export_fastest(reference_bundle, {"a": Refused(), "b": Refused()}, "fp32", out, silent)
    with pytest.raises(CompileError, match=r"^nothing doing$"):
        export_fastest(reference_bundle, {"a": Refused()}, "fp32", out, silent)
    told: list[Any] = []
    with pytest.raises(GateError, match="no target passes") as refused:
        # a model that tells nothing apart well enough, by what is asked for
        export_fastest(
            reference_bundle, exporters(), "fp32", out, silent, told.append, 0.2, min_auroc=1.0, strict=True
        )
    assert "onnx: strict" in str(refused.value) and "openvino: strict" in str(refused.value)
    assert len(told) == 1 and len(told[0]) == 2  # the table comes even so
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="only reads"):
        export_fastest(reference_bundle, exporters(), "fp32", reference_bundle.path, silent)


def test_a_plugins_engine_has_to_be_asked_for(reference_bundle, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(targets, "OWN", {"openvino": None})  # as if the other engine were somebody's
    say_times(monkeypatch, {})
    done, asked = export_fastest(
        reference_bundle, exporters(), "fp32", tmp_path / "x.edgead", silent, max_loss=0.2
    )
    assert done.bundle.manifest.target == "openvino"
    assert "a plugin's engine, onnxruntime: ask for it with --target onnx" in asked[0].left_out


# ---------------------------------------------------------------- a named target


def test_a_misspelt_auto_is_understood(reference_bundle) -> None:
    with pytest.raises(InputError, match="no target named 'autoo': did you mean auto"):
        edgead.export(reference_bundle, "autoo")
    with pytest.raises(InputError, match="'onx': did you mean onnx"):
        edgead.export(reference_bundle, "onx")


def test_a_faster_engine_is_told_with_the_next_step(reference_bundle, tmp_path, monkeypatch, caplog) -> None:
    say_times(monkeypatch, {"onnx": 3.3, "openvino": 1.5})
    words = {"precision": "fp32", "max_loss": 0.2}
    with caplog.at_level(logging.WARNING, "edgead"):
        made = edgead.export(reference_bundle, "onnx", tmp_path / "x.edgead", **words)
    (notice,) = made.beside
    assert notice.code == "target-faster" and notice in made.notices
    assert notice.values == {"target": "onnx", "other": "openvino", "form": "fp32", "times": 3.3 / 1.5}
    assert "openvino runs fp32 2.2 times as fast as that of onnx" in say(notice)
    assert "--target openvino" in say(notice) and say(notice) in caplog.text
    # it's so on this machine, and so not in the bundle
    assert all(kept.code != "target-faster" for kept in read_bundle(made.path).notices)
    say_times(monkeypatch, {"onnx": 1.64, "openvino": 1.5})  # within a tenth
    assert edgead.export(reference_bundle, "onnx", tmp_path / "x.edgead", **words).beside == ()
    assert edgead.export(reference_bundle, "openvino", tmp_path / "y.edgead", **words).beside == ()


def test_a_comparison_that_fails_costs_nothing_that_was_asked_for(reference_bundle, compiled, caplog) -> None:
    made = compiled("onnx").bundle
    without = Refused()
    without.precisions = ("int8",)
    with caplog.at_level(logging.INFO, "edgead"):
        (notice,) = engine_pace.faster_elsewhere(reference_bundle, made, {"a": Refused(), "b": without})
    assert notice.code == "target-not-timed" and notice.values["other"] == "a"
    assert "couldn't be measured (nothing doing)" in say(notice)
    assert "not timed beside target b: it has no fp32" in caplog.text


def test_a_full_disk_while_comparing_is_told_by_its_reason(reference_bundle, compiled, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/edgead-scratch-1/model.bin")

    monkeypatch.setattr(engine_pace, "engines_ms", full)
    made = compiled("onnx").bundle
    (notice,) = engine_pace.faster_elsewhere(
        reference_bundle, made, {"a": registry().get("exporters", "onnx")()}
    )
    assert "(No space left on device)" in say(notice)


def test_engines_are_timed_by_running_them_and_remembered(reference_bundle, compiled, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))
    opened: list[str] = []
    real = engine_pace.Model.open
    monkeypatch.setattr(engine_pace.Model, "open", lambda self: (opened.append(self.engine), real(self))[1])
    both = {name: engine_pace.Contender.of(compiled(name).bundle) for name in ("onnx", "openvino")}
    times = engine_pace.engines_ms(reference_bundle, both, seconds=0.1)
    assert times.keys() == both.keys() and all(ms > 0 for ms in times.values())
    assert sorted(opened) == ["onnxruntime", "openvino"]
    assert engine_pace.engines_ms(reference_bundle, both) == times
    assert len(opened) == 2, "what was measured of such graphs is remembered"
    assert engine_pace.engines_ms(reference_bundle, {"onnx": both["onnx"]}) == {}


# ---------------------------------------------------------------- the command line


def test_the_verb_tells_every_target(reference_bundle, tmp_path, monkeypatch, capsys) -> None:
    say_times(monkeypatch, {"onnx": 3.0, "openvino": 2.0})
    out = str(tmp_path / "x.edgead")
    words = ["export", str(reference_bundle.path), "--target", "auto", "--precision", "fp32", "--out", out]
    assert main([*words, "-q"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].split()[:2] == ["target", "form"]
    assert "openvino, fp32: chosen, the fastest of what each target would ship" in text
    assert "onnx, fp32: passes too, takes 1.5 times as long" in text
    assert f"{out}: fp32 for openvino" in text
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["target"] == "openvino"
    assert [(form["target"], form["precision"]) for form in found["forms"]] == [
        ("onnx", "fp32"),
        ("openvino", "fp32"),
    ]
    assert [(each["target"], each["cpu_ms"], each["left_out"]) for each in found["targets"]] == [
        ("onnx", 3.0, None),
        ("openvino", 2.0, None),
    ]
    assert main(["inspect", out]) == 0
    shown = capsys.readouterr().out
    assert "fp32 for onnx" in shown and "fp32 for openvino" in shown


def test_a_faster_engine_is_in_text_and_json(reference_bundle, tmp_path, monkeypatch, capsys) -> None:
    say_times(monkeypatch, {"onnx": 3.0, "openvino": 2.0})
    words = ["export", str(reference_bundle.path), "--target", "onnx", "--precision", "fp32"]
    words += ["--out", str(tmp_path / "x.edgead")]
    assert main(words) == 0
    assert "note: on this machine the engine of target openvino" in capsys.readouterr().err
    assert main([*words, "--json"]) == 0
    codes = [notice["code"] for notice in json.loads(capsys.readouterr().out)["notices"]]
    assert codes.count("target-faster") == 1


# ---------------------------------------------------------------- bench


def test_bench_names_a_twin_on_a_faster_engine(compiled) -> None:
    onnx, openvino = (compiled(name).bundle.manifest for name in ("onnx", "openvino"))

    def timed(name: str, manifest: Any, engine: str, ms: float, frames: int = FEWEST_FRAMES) -> Timed:
        return Timed(name, manifest, engine, ms, frames)

    slow, fast = timed("a", onnx, "onnxruntime", 3.0), timed("b", openvino, "openvino", 2.0)
    (notice,) = slower_for_their_engine([slow, fast])
    assert (notice.code, dict(notice.values)) == (
        "bundle-faster",
        {"bundle": "a", "other": "b", "times": 1.5},
    )
    assert "b is 1.5 times as fast as a" in say(notice)
    nothing_said = [
        dataclasses.replace(fast, p50_ms=2.9),  # about as fast
        dataclasses.replace(fast, frames=FEWEST_FRAMES - 1),  # too few to tell
        dataclasses.replace(fast, engine="onnxruntime"),  # the same engine
        dataclasses.replace(fast, manifest=dataclasses.replace(openvino, precision="int8")),
        dataclasses.replace(fast, manifest=dataclasses.replace(openvino, provenance={})),
        dataclasses.replace(
            fast, manifest=dataclasses.replace(openvino, provenance={"parent": {"model_sha256": "another"}})
        ),
    ]
    for other in nothing_said:
        assert slower_for_their_engine([slow, other]) == []
    strangers = [
        dataclasses.replace(each, manifest=dataclasses.replace(each.manifest, provenance={"parent": "odd"}))
        for each in (slow, fast)
    ]
    assert slower_for_their_engine(strangers) == []
