"""A plugin's engine runs where its name is typed; nothing is imported because a bundle names it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import edgead
from edgead.bundle import read_bundle
from edgead.cli import main
from edgead.discovery import registering
from edgead.errors import MissingDependencyError, OptionError, PluginError, UnknownNameError
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import engine_names, open_as_honoured, open_session
from tests.bundles import write_images
from tests.core.guide import blocks
from tests.core.sites import install, on_path
from tests.mean_bundle import picture, write_mean_bundle
from tests.sealed import change_manifest

ENGINE = next(block.text for block in blocks() if block.text.startswith("# src/edgead_glow/engine.py"))
"""The guide's, under a distribution of its own."""
PLUGIN = """
import pathlib
pathlib.Path(__file__).with_suffix(".imported").touch()
from edgead import hookimpl
from tests.sealed import change_manifest
edgead_api = 1
@hookimpl
def edgead_register_engines(register):
    register("glow-exact", "{factory}", "a second opinion")
"""
SAVED = "edgead-exact 1.0"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    site = tmp_path / "site"
    site.mkdir()
    plugin = PLUGIN.format(factory="exact_engine:Exact")
    install(site, "edgead-exact", "[edgead]\nmain = exact_plugin\n", exact_plugin=plugin, exact_engine=ENGINE)
    with on_path(monkeypatch, site):
        yield site


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """It names edgead's own engine."""
    return write_mean_bundle(tmp_path / "mean.edgead")


@pytest.fixture
def theirs(bundle: Path) -> Path:
    """It names the plugin's."""
    return naming(bundle, "glow-exact")


def naming(bundle: Path, engine: str) -> Path:
    change_manifest(bundle, lambda manifest: manifest.update(engine=engine))
    return bundle


def write_data(folder: Path) -> Path:
    for kind, spot in (("train/good", 0), ("test/good", 0), ("test/dent", 250)):
        write_images(folder / kind, [picture(spot + index) for index in range(2)])
    return folder


def imported(site: Path) -> list[str]:
    return sorted(name for name in sys.modules if name.startswith("exact_")) + [
        mark.name for mark in site.glob("*.imported")
    ]


# ---------------------------------------------------------------- consent


def test_a_bundle_that_names_it_is_refused_and_nothing_is_imported(site: Path, theirs: Path) -> None:
    with pytest.raises(OptionError) as error:
        edgead.load(theirs)
    assert str(error.value) == (
        f"{theirs}: it names the engine 'glow-exact', which isn't edgead's own ({SAVED} registers it): "
        'if you trust that, name it yourself, edgead.load(bundle, engine="glow-exact") or --engine glow-exact'
    )
    assert imported(site) == []


def test_without_the_plugin_nobody_is_seen_to_register_it(theirs: Path) -> None:
    with pytest.raises(OptionError, match=r"no installed distribution is seen to register it\): if you"):
        edgead.load(theirs)


def test_a_plugin_that_is_not_allowed_is_named_as_that(
    site: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEAD_PLUGINS", "")
    with pytest.raises(OptionError, match=rf"{SAVED}, which EDGEAD_PLUGINS leaves out, registers it"):
        edgead.load(theirs)
    with pytest.raises(UnknownNameError, match=r"no engine named 'glow-exact'.*leaves out edgead-exact"):
        edgead.load(theirs, engine="glow-exact")
    assert imported(site) == []


@pytest.mark.parametrize("name", ["os:system", "../x", "a\nb", "", "Glow"])
def test_what_is_no_name_is_refused_in_one_line(name: str, bundle: Path, site: Path) -> None:
    with pytest.raises((OptionError, edgead.errors.BundleError)) as error:
        edgead.load(naming(bundle, name))
    assert "\n" not in str(error.value) and imported(site) == []


@pytest.mark.parametrize(
    "words", [("run",), ("eval",), ("bench", "--frames", "2"), ("verify", "--on-device")], ids=lambda w: w[0]
)
def test_every_verb_asks_for_consent_and_takes_it(
    words: tuple[str, ...], site: Path, theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    data = write_data(tmp_path / "data")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    verb, *rest = words
    sources = {"run": [str(data / "test" / "dent")], "eval": [str(data)], "verify": [
        "--images", str(data / "test" / "good")]}.get(verb, [])  # fmt: skip
    line = [verb, str(theirs), *sources, *rest]
    assert main(line) == 2
    assert "name it yourself" in capsys.readouterr().err and "exact_engine" not in sys.modules
    assert verb == "eval" or imported(site) == []  # which asks all plugins for layouts
    code, out = main([*line, "--engine", "glow-exact"]), capsys.readouterr()
    assert code == 0, out.err
    if verb == "run":
        assert all(json.loads(line)["is_anomalous"] for line in out.out.splitlines())
    if verb in ("bench", "verify"):
        assert "glow-exact" in out.out


def test_compare_asks_for_consent_and_takes_it(
    site: Path, theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data")
    other = write_mean_bundle(tmp_path / "other.edgead")
    words = ["compare", str(other), str(theirs), "-d", str(data), "--draws", "0", "--quiet"]
    assert main(words) == 2 and "name it yourself" in capsys.readouterr().err
    assert "exact_engine" not in sys.modules
    assert main([*words, "--engine", "glow-exact"]) == 0, capsys.readouterr().err


def test_whoever_registers_a_name_is_read_off_the_source_alone(tmp_path: Path, monkeypatch) -> None:
    site = tmp_path / "site"
    (site / "acme" / "deep").mkdir(parents=True)
    (site / "acme" / "__init__.py").write_text("raise SystemExit('imported')")
    (site / "acme" / "deep" / "__init__.py").write_text("raise SystemExit('imported')")
    hook = "def edgead_register_engines(register):\n    register(name='{}', factory=dict)\n"
    (site / "acme" / "deep" / "plugin.py").write_text("raise SystemExit\n" + hook.format("deep"))
    install(site, "acme", "[edgead]\nmain = acme.deep.plugin\n")
    bent = "def broken(:\n" + hook.format("deep")
    install(site, "bent", "[edgead]\nmain = bent_plugin\n", bent_plugin=bent)
    install(site, "gone", "[edgead]\nmain = nowhere.at.all\n")
    install(site, "rival", "[edgead]\nmain = rival\n", rival=hook.format("other") + "NAME = 'deep'\n")
    with on_path(monkeypatch, site):
        assert registering("edgead_register_engines", "deep") == ["acme 1.0"]
        assert registering("edgead_register_engines", "other") == ["rival 1.0"]
        assert registering("edgead_register_scorers", "deep") == []
    assert "acme" not in sys.modules


def test_an_own_engines_bundle_loads_without_a_look_at_any_plugin(site: Path, bundle: Path) -> None:
    code = (
        "import sys, edgead, numpy as np\n"
        "for engine in (None, 'openvino', 'onnxruntime'):\n"
        f"    edgead.load({str(bundle)!r}, engine=engine, cores=None)(np.zeros((64, 96, 3), np.uint8))\n"
        "print([m for m in ('pluggy', 'edgead.plugins', 'edgead.registry', 'edgead.discovery', 'click', "
        "'exact_plugin', 'onnx', 'spox', 'torch') if m in sys.modules])"
    )
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]" and not list(site.glob("*.imported"))


# ---------------------------------------------------------------- running, and its options


def test_named_it_gives_the_same_predictions(site: Path, bundle: Path) -> None:
    own, other = edgead.load(bundle), edgead.load(bundle, engine="glow-exact", threads=1)
    assert other.runs_on == "glow-exact on CPU" and engine_names()[-1] == "glow-exact"
    for frame in (picture(), picture(250)):
        one, two = own(frame), other(frame)
        assert (one.score, one.is_anomalous) == (two.score, two.is_anomalous)
        np.testing.assert_array_equal(one.anomaly_map, two.anomaly_map)
        assert other.start(frame).wait(60).score == two.score
    assert [p.score for p in other.map([picture(250)])] == [own(picture(250)).score]


def test_a_detector_takes_options_and_an_engine(site: Path, bundle: Path) -> None:
    detector = edgead.Detector(read_bundle(bundle), edgead.EngineOptions(threads=1), engine="glow-exact")
    assert detector(picture(250)).is_anomalous
    with pytest.raises(OptionError, match="precision bf16"):
        edgead.Detector(read_bundle(bundle), edgead.EngineOptions(precision="bf16"))


@pytest.mark.parametrize(("option", "value"), [("device", "NPU"), ("cores", [0])])
def test_an_option_that_it_does_not_take_is_refused_before_it_opens(
    option: str, value: object, site: Path, bundle: Path
) -> None:
    with pytest.raises(OptionError) as error:
        edgead.load(bundle, engine="glow-exact", **{option: value})
    assert str(error.value) == (
        f"the engine glow-exact doesn't take {option} (of the options it honours threads): leave {option} "
        "out, or use another --engine"
    )


def test_an_allowance_that_it_makes_no_use_of_is_said(site: Path, bundle: Path, caplog) -> None:
    caplog.set_level("INFO")
    edgead.load(bundle, engine="glow-exact", cache=True, throughput=True)
    said = {r.message: r.levelname for r in caplog.records if "changes nothing" in r.message}
    assert said == {
        "glow-exact has no throughput on CPU: the option changes nothing": "INFO",
        "glow-exact has no cache on CPU: the option changes nothing": "WARNING",
    }


def test_edgeads_own_wishes_are_left_out_where_it_does_not_take_them(site, bundle, caplog) -> None:
    caplog.set_level("INFO")
    options = EngineOptions(device="NPU", threads=1, precision="bf16")
    open_as_honoured(bundle / "model.onnx", "glow-exact", options)
    assert "the engine glow-exact doesn't take device: left out" in caplog.text
    assert "glow-exact computes in f32 on CPU: that bf16 is allowed changes nothing" in caplog.text
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def test_a_model_that_it_does_not_read_is_refused(site: Path, tmp_path: Path) -> None:
    (tmp_path / "model.xml").touch()
    with pytest.raises(OptionError, match=r"glow-exact can't read model\.xml, only openvino can"):
        open_session(tmp_path / "model.xml", "glow-exact")


BROKEN = {
    "raises": ("class Exact:", "def Exact():\n    raise KeyError\nclass Other:", "can't be made: KeyError"),
    "lacks a member": ('reads = (".onnx",)', "pass", "its factory's engine lacks reads"),
    "lacks a session's": ("def execution(self)", "def other(self)", "its session lacks execution"),
    "opens nothing": ("return ExactSession(", "raise KeyError(", "can't open model.onnx: KeyError"),
}


@pytest.mark.parametrize(("old", "new", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_one_is_one_line_that_names_its_distribution(old, new, said, site, bundle) -> None:
    assert old in ENGINE
    (site / "exact_engine.py").write_text(ENGINE.replace(old, new))
    with pytest.raises(PluginError) as error:
        edgead.load(bundle, engine="glow-exact")
    assert str(error.value).startswith(f"{SAVED}: engine 'glow-exact'") and said in str(error.value)
    assert "\n" not in str(error.value)


def test_one_that_is_not_installed_says_how_and_what_else_there_is(site: Path, bundle: Path) -> None:
    text = ENGINE.replace('None if find_spec("onnxruntime") else install("onnx")', '"pip install acme-npu"')
    (site / "exact_engine.py").write_text(text)
    with pytest.raises(MissingDependencyError) as error:
        edgead.load(bundle, engine="glow-exact")
    assert str(error.value).startswith("glow-exact isn't installed: pip install acme-npu, or use --engine ")


def test_an_own_name_stays_edgeads(site: Path, bundle: Path) -> None:
    text = (site / "exact_plugin.py").read_text().replace('"glow-exact"', '"onnxruntime"')
    (site / "exact_plugin.py").write_text(text)
    assert edgead.load(bundle, engine="onnxruntime").runs_on == "onnxruntime on CPU"
    assert imported(site) == []


def test_a_target_may_name_it_and_export_opens_it(site: Path, reference_bundle, tmp_path: Path) -> None:
    from edgead.progress import silent
    from edgead.types import Artifact
    from edgead.workbench.export import export

    class Target:
        target, precisions = "glow-onnx", ("fp32",)

        def compile(self, graph, precision, folder):
            import onnx

            onnx.save(graph, folder / "model.onnx")
            return Artifact("model.onnx", ("model.onnx",), "glow-exact")

    made = export(reference_bundle, Target(), "fp32", tmp_path / "out.edgead", silent, max_loss=0.2)
    assert made.bundle.manifest.engine == "glow-exact" and made.forms[0].parity.score < 1e-3
    with pytest.raises(OptionError, match=rf"\({SAVED} registers it\)"):
        edgead.load(made.bundle.path)
    assert edgead.load(made.bundle.path, engine="glow-exact").runs_on == "glow-exact on CPU"


def test_doctor_lists_it(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["engines"]["glow-exact"]
    assert told == {"plugin": SAVED, "problem": None}
    assert main(["doctor"]) == 0
    assert f"ready; of {SAVED}" in capsys.readouterr().out
