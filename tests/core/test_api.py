"""The Python API does what the command line does, says as much, and refuses as clearly."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest

import edgead
from edgead.api.arguments import as_size, option_words
from edgead.cli import main
from edgead.datasets import open_dataset
from edgead.errors import (
    BundleNotFoundError,
    DatasetError,
    GateError,
    HashMismatchError,
    InputError,
    OptionError,
    OutputError,
    UnknownNameError,
)
from edgead.notices import Notice
from edgead.options import parse_options
from edgead.types import Compute
from tests.bundles import SIZE, bad_image, good_image, write_images
from tests.mean_bundle import picture, write_mean_bundle

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {"coreset_ratio": 0.05}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_images(folder / "train" / "good", [good_image(i) for i in range(12)])
    write_images(folder / "test" / "good", [good_image(100 + i) for i in range(3)])
    write_images(folder / "test" / "blob", [bad_image(i) for i in range(3)])
    return folder


@pytest.fixture(scope="module")
def fitted(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> edgead.Fit:
    out = tmp_path_factory.mktemp("api") / "part.edgead"
    return edgead.fit("patchcore", photos / "train" / "good", out, size=SIZE, options=OPTIONS, holdout=0.3)


@pytest.fixture
def mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle and a data set in the current folder: mean.edgead, and set with good/ and spot/."""
    monkeypatch.chdir(tmp_path)
    for kind, spot in (("good", 0), ("spot", 200)):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for number in range(3):
            data = cv2.imencode(".png", picture(spot))[1].tobytes()
            (tmp_path / "set" / kind / f"{number}.png").write_bytes(data)
    return write_mean_bundle(tmp_path / "mean.edgead")


def contents(bundle: Path) -> dict[str, bytes]:
    return {str(p.relative_to(bundle)): p.read_bytes() for p in bundle.rglob("*") if p.is_file()}


def by_shell(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    assert main(list(map(str, words))) == code, capsys.readouterr().err
    return capsys.readouterr().out


# ---------------------------------------------------------------- as from the shell


def test_the_same_words_make_the_same_bundles(
    photos: Path, fitted: edgead.Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--size", "x".join(map(str, SIZE)), "-o", "coreset_ratio=0.05", "--holdout", "0.3")
    by_shell(capsys, "fit", "patchcore", photos / "train" / "good", *words, "--out", tmp_path / "part.edgead")
    assert contents(tmp_path / "part.edgead") == contents(fitted.path)
    words = ("--target", "onnx", "--precision", "fp32", "--out", tmp_path / "shell.edgead")
    told = json.loads(by_shell(capsys, "export", fitted.path, *words, "--json"))
    made = edgead.export(fitted, "onnx", tmp_path / "python.edgead", precision="fp32")
    assert contents(made.path) == contents(tmp_path / "shell.edgead")
    assert (told["precision"], told["threshold"]) == (made.chosen, made.threshold)
    assert told["fitted_threshold"] == made.fitted_threshold == fitted.threshold


def test_the_same_words_find_the_same(mean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ("--csv", "shell.csv", "--verdicts", "shell-verdicts.csv", "--report", "shell.html")
    told = json.loads(by_shell(capsys, "eval", "mean.edgead", "set", "--draws", 20, "--json", *files))
    found = edgead.evaluate(
        mean, "set", draws=20, csv="python.csv", verdicts="python-verdicts.csv", report="python.html"
    )
    record = json.loads(json.dumps(found.record()))
    assert {name: told[name] for name in record} == record
    for shell, python in (("shell.csv", "python.csv"), ("shell-verdicts.csv", "python-verdicts.csv")):
        assert Path(shell).read_bytes() == Path(python).read_bytes()
    assert found.dataset is not None and found.dataset.name == "set" == told["dataset"]
    page = Path("python.html").read_text("utf-8")
    assert "mean.edgead on set" in page and "Latency" in page


PAIRS = {
    "fit": ({"method": "method", "images": "good_dir"}, set()),
    "export": ({"bundle": "source"}, {"images"}),
    "eval": ({"csv": "csv_file"}, {"best_threshold"}),
    "compare": ({"bundles": "names"}, set()),
}
"""A verb to the call's names that differ from its parameters', and the parameters that the call hasn't."""


@pytest.mark.parametrize("verb", PAIRS)
def test_a_call_has_the_words_and_defaults_of_its_verb(verb: str) -> None:
    from importlib import import_module

    options = {p.name: p for p in import_module(f"edgead.cli.{verb}").command.params}
    call = edgead.evaluate if verb == "eval" else getattr(edgead, verb)
    parameters = inspect.signature(call).parameters
    renamed, lacking = PAIRS[verb]
    fit_words = set(inspect.signature(edgead.fit).parameters) if verb == "export" else set()
    known = {renamed.get(name, name) for name in parameters}
    assert set(options) - {"quiet", "as_json"} - lacking - (fit_words - {"out"}) == known - {
        "progress",
        "on_report",
    }
    for name, parameter in parameters.items():
        option = options.get(renamed.get(name, name))
        if option is None or parameter.default is inspect.Parameter.empty:
            continue
        theirs = option.default / 100 if name == "max_loss" else option.default
        if name == "device" or option.multiple or option.nargs == -1:  # None is auto; none given is ()
            continue
        if not isinstance(theirs, str | int | float):  # click's own word for no default
            theirs = False if option.is_flag and not option.secondary_opts else None
        assert theirs == parameter.default, name


def test_the_defaults_are_the_workbenchs_own() -> None:
    from edgead.evaluation.cell import Making
    from edgead.metrics.uncertainty import DRAWS
    from edgead.workbench.doubts import MIN_AUROC
    from edgead.workbench.export import MAX_LOSS
    from edgead.workbench.fit import Settings

    call = inspect.signature(edgead.fit).parameters
    own = [field for field in fields(Settings) if field.name not in ("precisions", "compute")]
    for field in (*own, *fields(Compute)):  # which a call has one by one
        assert call[field.name].default == field.default, field.name
    call = inspect.signature(edgead.export).parameters
    assert (call["max_loss"].default, call["min_auroc"].default) == (MAX_LOSS, MIN_AUROC)
    call = inspect.signature(edgead.compare).parameters
    for field in fields(Making):
        if field.name in inspect.signature(edgead.fit).parameters.keys() - call.keys():
            continue  # what neither verb nor call has: fit, and compare the bundles
        if field.name != "method":
            assert call[field.name].default == field.default, field.name
    assert call["draws"].default == inspect.signature(edgead.evaluate).parameters["draws"].default == DRAWS


def test_bundles_are_called_as_the_shell_calls_them_and_notices_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patchcore").mkdir()  # a folder named as a method is in nobody's way
    write_images(tmp_path / "set" / "train" / "good", [good_image(i) for i in range(4)])
    write_images(tmp_path / "set" / "test" / "good", [good_image(100 + i) for i in range(2)])
    write_images(tmp_path / "set" / "test" / "blob", [bad_image(0)])
    first = edgead.fit("patchcore", "set", size=64, options=["coreset_ratio=0.05"])
    assert (first.path, first.replaced) == (Path("patchcore.edgead"), False)
    assert first.bundle.manifest.input.size == (64, 64)
    assert any(notice.code == "dataset-train" for notice in first.notices)
    made = edgead.export(first, "onnx", precision="fp32")
    assert made.path == Path("patchcore-onnx.edgead")
    told = [record.getMessage() for record in caplog.records if record.name == "edgead.notes"]
    of_sizes = [str(notice) for notice in first.notices if notice not in first.bundle.notices]
    assert of_sizes and all(told.count(text) == 1 for text in of_sizes)
    rest = [text for text in told if text not in of_sizes]
    assert rest == [str(notice) for notice in made.notices], "each once for both steps"
    assert edgead.export("patchcore", "onnx", precision="fp32").bundle == made.bundle
    assert edgead.verify("patchcore-onnx").bundle == made.bundle
    assert edgead.evaluate("patchcore-onnx", "set", draws=0).bundle == made.bundle
    assert edgead.fit("patchcore", [Path("set")], size=(64, 64), options=OPTIONS).replaced


# ---------------------------------------------------------------- what is said


def test_the_calls_print_nothing_and_log_what_they_doubt(
    mean: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    found = edgead.evaluate("mean.edgead", "set", draws=0)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [str(notice) for notice in found.dataset.notices] == told
    assert any("no masks" in line for line in told)
    assert capsys.readouterr() == ("", "")


def test_an_image_that_cannot_be_judged_is_logged(
    mean: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = edgead.Detector.read_ahead

    def read(self, paths):
        paths = list(paths)
        for path, image in zip(paths, real(self, paths), strict=True):
            is_gone = path.name == "1.png" and path.parent.name == "spot"
            yield edgead.errors.ImageError(f"{path}: went away") if is_gone else image

    monkeypatch.setattr(edgead.Detector, "read_ahead", read)
    found = edgead.evaluate("mean", "set", draws=0)
    assert len(found.problems) == 1 and len(found.images) == 5
    assert any("went away" in record.getMessage() for record in caplog.records)
    assert "1 image left out" in repr(found)


def test_verbs_say_a_notice_once(mean: Path, capsys, caplog: pytest.LogCaptureFixture) -> None:
    out = by_shell(capsys, "eval", "mean", "set", "--draws", 0)
    assert out.count("no masks") == 1
    assert not [record for record in caplog.records if record.name == "edgead.notes"]
    edgead.evaluate("mean", "set", draws=0)  # and the call logs again afterwards
    assert [record for record in caplog.records if record.name == "edgead.notes"]


def test_reprs_are_one_line_each(fitted: edgead.Fit, mean: Path, tmp_path: Path) -> None:
    made = edgead.export(fitted, "onnx", tmp_path / "b.edgead", precision="fp32")
    found = edgead.evaluate(mean, "set", draws=0)
    compared = edgead.compare([mean, edgead.read_bundle(mean)], "set", draws=0)
    shown = {
        f"Fit({fitted.path}: patchcore on 12 good images, threshold {fitted.threshold:.6g}": fitted,
        f"Export({made.path}: fp32 for onnx, threshold {made.threshold:.6g}": made,
        f"Bundle({mean}: mean fp32 for onnx, threshold 100)": edgead.read_bundle(mean),
        "Detector(mean.edgead: mean fp32 on onnxruntime on CPU, threshold 100)": edgead.load(mean),
        "Evaluation(3 good and 3 defective images of set: 0 escapes and 0 false alarms at 100, F1 100.00 % "
        "(100.00 at best), image AUROC 100.00 %)": found,
        f"Verified({mean}: 1 files, ": edgead.verify(mean),
        "Compared(escapes, false alarms and image AUROC in %: mean.edgead 0, 0, 100.00; mean.edgead 0, 0, "
        "100.00)": compared,
    }
    for start, record in shown.items():
        assert repr(record).startswith(start), repr(record)
        assert "\n" not in repr(record) and len(repr(record)) < 300


def test_an_evaluation_is_a_table_in_a_notebook_and_escapes_what_it_shows(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    mean = write_mean_bundle(tmp_path / "mean.edgead")
    for kind, spot in (("good", 0), (hostile.replace("/", ""), 200)):
        (tmp_path / hostile / kind).mkdir(parents=True)
        (tmp_path / hostile / kind / "a.png").write_bytes(cv2.imencode(".png", picture(spot))[1].tobytes())
    found = edgead.evaluate(mean, tmp_path / hostile, draws=0)
    html = found._repr_html_()
    assert "<img" not in html and re.search(r"image AUROC</th><td[^>]*></td><td[^>]*>100.00", html)
    assert re.search(r"<tbody><tr><th[^>]*>escapes</th><td[^>]*>0 of 1", html), "the verdicts come first"
    assert html.count("note: ") == len(found.dataset.notices) + len(found.notices) > 0


# ---------------------------------------------------------------- arguments


@dataclass(frozen=True)
class EveryKind:
    number: float = 0.0
    count: int = 0
    flag: bool = False
    name: str = "a"
    maybe: float | None = 1.0
    layers: tuple[str, ...] = ("x",)
    pair: tuple[int, int] = (1, 2)
    choice: Literal["a", 3] = "a"


@pytest.mark.parametrize("seed", range(5))
def test_options_of_a_mapping_keep_their_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    given = {
        "number": float(rng.normal() * 10.0 ** rng.integers(-12, 12)),
        "count": int(rng.integers(-(2**40), 2**40)),
        "flag": bool(rng.integers(2)),
        "name": "a=b c",
        "maybe": None,
        "layers": ["one", "two"][: rng.integers(3)],
        "pair": (3, 4),
        "choice": 3,
    }
    found = parse_options(EveryKind, option_words(given))
    assert found == EveryKind(**{**given, "layers": tuple(given["layers"])})
    numpys = {"number": np.float64(given["number"]), "count": np.int64(given["count"]), "flag": np.True_}
    found = parse_options(EveryKind, option_words(numpys))
    assert (found.number, found.count, found.flag) == (given["number"], given["count"], True)


def test_options_may_be_words_too() -> None:
    assert option_words("number=1") == option_words(["number=1"]) == option_words({"number": 1})
    with pytest.raises(OptionError, match="takes integer, not 'many'"):
        parse_options(EveryKind, option_words({"count": "many"}))


def test_a_size_is_a_pair_or_one_number() -> None:
    assert as_size(64) == as_size((64, 64)) == as_size(np.int64(64)) == (64, 64)
    assert as_size([96, 64]) == (96, 64) and as_size(None) is None
    for wrong in ((1, 2, 3), "64", 64.5, (64.0, 64)):
        with pytest.raises(OptionError, match="must be"):
            as_size(wrong)  # type: ignore[arg-type]


def test_what_is_wrong_is_told_in_one_line_before_any_work(
    photos: Path, mean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = edgead.load(mean)
    data = open_dataset(Path("set"))
    calls = [
        (UnknownNameError, "did you mean patchcore", lambda: edgead.fit("patchcor", photos)),
        (OptionError, "METHOD comes first", lambda: edgead.fit(str(photos), "patchcore")),  # type: ignore
        (OptionError, "no option named", lambda: edgead.fit("patchcore", photos, options={"x": 1})),
        (DatasetError, "nowhere", lambda: edgead.fit("patchcore", "nowhere")),
        (OptionError, "holdout 2", lambda: edgead.fit("patchcore", photos, holdout=2)),
        (UnknownNameError, "openvino", lambda: edgead.export("mean", "openvin")),
        (InputError, "already compiled", lambda: edgead.export("mean", "onnx")),
        (OptionError, "half a point|finite", lambda: edgead.export("mean", "onnx", max_loss=50)),
        (OptionError, "half a point|finite", lambda: edgead.export("mean", "onnx", max_loss=float("nan"))),
        (BundleNotFoundError, "did you mean mean.edgead", lambda: edgead.export("maen.edgead", "onnx")),
        (OutputError, "make it first", lambda: edgead.evaluate("nowhere", "set", report="no/r.html")),
        (OutputError, "make it first", lambda: edgead.evaluate("nowhere", "set", csv="no/m.csv")),
        (OutputError, "make it first", lambda: edgead.evaluate("nowhere", "set", verdicts="no/v.csv")),
        (OptionError, "draws -1", lambda: edgead.evaluate("mean", "set", draws=-1)),
        (OptionError, "threads 2 is for a path", lambda: edgead.evaluate(detector, "set", threads=2)),
        (OptionError, "layout 'plain' is for a path", lambda: edgead.evaluate("mean", data, layout="plain")),
        (OptionError, "must be a finite number", lambda: edgead.evaluate("mean", "set", threshold=np.inf)),
        (OptionError, "on_device=True", lambda: edgead.verify("mean", images="set")),
        (InputError, "carries no images", lambda: edgead.verify("mean", on_device=True)),
        (OptionError, "two bundles", lambda: edgead.compare(["mean"], "set")),
        (OptionError, "two bundles", lambda: edgead.compare("mean", "set")),
        (BundleNotFoundError, "neither", lambda: edgead.compare(["mean", "neither"], "set", draws=0)),
    ]
    before = sorted(Path().rglob("*"))
    for kind, told, call in calls:
        with pytest.raises(kind, match=told) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert sorted(Path().rglob("*")) == before


# ---------------------------------------------------------------- each call


def test_a_detector_is_evaluated_at_its_own_threshold_and_timed_as_it_is(mean: Path) -> None:
    strict = edgead.evaluate(edgead.load(mean, threshold=40), "set", draws=0, report="r.html")
    assert (strict.threshold, strict.false_alarms) == (40, 3)
    assert edgead.evaluate(mean, "set", draws=0, threshold=250).escapes == 3
    assert "Latency" in Path("r.html").read_text("utf-8")


def test_evaluations_compare_though_they_hold_arrays(mean: Path) -> None:
    one, other = (edgead.evaluate(mean, "set", draws=20) for _ in range(2))
    assert one == other and one != edgead.evaluate(mean, "set", draws=20, threshold=40)


def test_where_every_form_is_refused_the_figures_are_seen_and_nothing_is_written(
    fitted: edgead.Fit, tmp_path: Path
) -> None:
    seen = []
    with pytest.raises(GateError):
        edgead.export(
            fitted, "onnx", tmp_path / "a.edgead", strict=True, min_auroc=1.0, on_report=seen.extend
        )
    assert {form.precision for form in seen} >= {"fp32", "int8"}
    assert not list(tmp_path.iterdir())


def test_progress_is_reported_to_whom_it_is_given(photos: Path, fitted: edgead.Fit, tmp_path: Path) -> None:
    from contextlib import contextmanager

    steps: dict[str, int] = {}

    @contextmanager
    def count(description, total):
        steps.setdefault(description, 0)

        def advance(done):
            steps[description] += done

        yield advance

    edgead.export(fitted, "onnx", tmp_path / "a.edgead", precision="fp32", progress=count)
    edgead.evaluate(tmp_path / "a.edgead", photos, draws=0, progress=count)
    assert steps["compiling and gating"] == 1 and steps["judging images"] == 6


def test_verify_finds_a_changed_byte_though_the_bundle_was_read_before(mean: Path) -> None:
    bundle = edgead.read_bundle(mean)
    assert edgead.verify(bundle).runs_on is None
    model = mean / "model.onnx"
    data = bytearray(model.read_bytes())
    data[100] ^= 1
    model.write_bytes(data)
    for named in (bundle, mean, "mean"):
        with pytest.raises(HashMismatchError):
            edgead.verify(named)


def test_verify_tells_of_what_no_hash_covers(mean: Path, caplog: pytest.LogCaptureFixture) -> None:
    from edgead.bundle import RESERVED

    beside = mean / next(iter(RESERVED)) / "x"
    beside.parent.mkdir()
    beside.write_text("beside")
    found = edgead.verify(mean)
    assert "1 unchecked" in repr(found)
    assert [record.getMessage() for record in caplog.records] == [str(found.bundle.notices[-1])]


def test_verify_on_this_device_runs_the_bundles_own_images(compiled, tmp_path: Path) -> None:
    made = compiled("onnx").bundle
    found = edgead.verify(made, on_device=True)
    assert len(found.parities) == 1 and found.parities[0].passed and "onnxruntime" in found.runs_on
    images = write_images(tmp_path / "good", [good_image(i) for i in range(2)])
    assert len(edgead.verify(made, on_device=True, images=images).parities) == 2


def test_compare_says_what_comparing_the_evaluations_says(mean: Path) -> None:
    from edgead.evaluation.compare import compare

    (mean.parent / "b").mkdir()
    worse = write_mean_bundle(mean.parent / "b" / "mean.edgead")
    found = edgead.compare([mean, edgead.read_bundle(worse), "mean"], "set", draws=30)
    assert found.names == (str(mean.parent.name) + "/mean.edgead", "b/mean.edgead", "mean")
    one, other = (edgead.evaluate(path, "set", draws=30) for path in (mean, worse))
    assert found.against_first[0] == compare(one, other)
    assert found.evaluations[0].record() == one.record()


def test_compare_fits_methods_and_leaves_nothing(photos: Path, fitted, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["patchcore:coreset_ratio=0.05", str(fitted.path)]
    found = edgead.compare(names, photos, size=64, target="onnx", draws=0)
    assert found.names == tuple(names)
    method = found.evaluations[0].bundle.manifest
    assert (method.method.options["coreset_ratio"], method.input.size, method.target) == (
        0.05,
        (64, 64),
        "onnx",
    )
    assert found.evaluations[1].bundle == fitted.bundle
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- what must be installed


def without(packages: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process where these packages can't be imported."""
    hidden = (
        "import sys\n"
        f"for name in {packages!r}: sys.modules[name] = None\n"
        "import edgead\n"
    )  # fmt: skip
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.run(
        [sys.executable, "-c", hidden + code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )


def test_without_the_extra_fitting_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "for call in (lambda: edgead.fit('patchcore', 'x'), lambda: edgead.export('x', 'onnx')):\n"
        "    try:\n"
        "        call()\n"
        "    except edgead.errors.MissingDependencyError as error:\n"
        "        print(error)\n"
    )
    done = without(("onnx", "spox", "nncf"), code)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    assert all("needs the package 'onnx': pip install \"edgead[fit]\"" in line for line in lines)


def test_judging_and_evaluating_need_no_workbench(mean: Path) -> None:
    code = (
        "found = edgead.evaluate('mean', 'set', draws=0)\n"
        "print(found)\n"
        "print(edgead.load('mean.edgead')(__import__('numpy').zeros((64, 96), 'uint8'))._repr_html_()[:7])\n"
        "print([m for m in ('torch', 'edgead.workbench', 'edgead.cli', 'click') if m in sys.modules])"
    )
    done = without(("onnx", "spox", "nncf"), code)
    assert done.stdout.splitlines()[1:] == ["<table>", "[]"], done.stdout + done.stderr


def test_a_notice_is_its_sentence_as_text() -> None:
    assert str(Notice("no-train")) == "no training images, only test images"


WRONG = {
    "fit seed": lambda p, f: edgead.fit("patchcore", p, seed="x"),
    "fit seed under 0": lambda p, f: edgead.fit("patchcore", p, seed=-1),
    "fit seed over what a bundle holds": lambda p, f: edgead.fit("patchcore", p, seed=1 << 63),
    "fit no seed": lambda p, f: edgead.fit("patchcore", p, seed=None),  # type: ignore[arg-type]
    "fit final": lambda p, f: edgead.fit("patchcore", p, final_fit="no"),  # type: ignore[arg-type]
    "fit holdout": lambda p, f: edgead.fit("patchcore", p, holdout=None),  # type: ignore[arg-type]
    "fit rate": lambda p, f: edgead.fit("patchcore", p, false_positive_rate="1%"),  # type: ignore[arg-type]
    "fit depth": lambda p, f: edgead.fit("patchcore", p, depth="12"),  # type: ignore[arg-type]
    "fit group": lambda p, f: edgead.fit("patchcore", p, group=3),  # type: ignore[arg-type]
    "fit options": lambda p, f: edgead.fit("patchcore", p, options=None),  # type: ignore[arg-type]
    "fit method": lambda p, f: edgead.fit(None, p),  # type: ignore[arg-type]
    "fit images": lambda p, f: edgead.fit("patchcore", None),  # type: ignore[arg-type]
    "fit nothing": lambda p, f: edgead.fit("patchcore", ""),
    "fit NUL": lambda p, f: edgead.fit("patchcore", "a\0b"),
    "fit arrays": lambda p, f: edgead.fit("patchcore", [np.zeros((9, 9, 3))]),  # type: ignore[list-item]
    "fit out": lambda p, f: edgead.fit("patchcore", p, 5),  # type: ignore[arg-type]
    "fit defects": lambda p, f: edgead.fit("patchcore", p, defects=None),  # type: ignore[arg-type]
    "fit progress": lambda p, f: edgead.fit("patchcore", p, progress=True),  # type: ignore[arg-type]
    "fit size": lambda p, f: edgead.fit("patchcore", p, size=100_000),
    "fit backbone": lambda p, f: edgead.fit("patchcore", p, backbone=18),  # type: ignore[arg-type]
    "export target": lambda p, f: edgead.export(f, None),  # type: ignore[arg-type]
    "export loss": lambda p, f: edgead.export(f, "onnx", max_loss="0.5"),  # type: ignore[arg-type]
    "export strict": lambda p, f: edgead.export(f, "onnx", strict="yes"),  # type: ignore[arg-type]
    "export a number": lambda p, f: edgead.export(5, "onnx"),  # type: ignore[arg-type]
    "export onto itself": lambda p, f: edgead.export(f, "onnx", f.path),
    "evaluate threshold": lambda p, f: edgead.evaluate(f, p, threshold="5"),  # type: ignore[arg-type]
    "evaluate draws": lambda p, f: edgead.evaluate(f, p, draws=None),  # type: ignore[arg-type]
    "evaluate several": lambda p, f: edgead.evaluate(f, [p]),  # type: ignore[arg-type]
    "evaluate report": lambda p, f: edgead.evaluate(f, p, report=True),  # type: ignore[arg-type]
    "evaluate one file": lambda p, f: edgead.evaluate(f, p, csv="x.csv", verdicts="./x.csv"),
    "compare one": lambda p, f: edgead.compare([f], p),
    "compare a mapping": lambda p, f: edgead.compare({"a": f, "b": f}, p),  # type: ignore[arg-type]
    "compare draws": lambda p, f: edgead.compare([f, f], p, draws=-1),
    "verify engine": lambda p, f: edgead.verify(f, engine="onnxruntime"),
    "load a number": lambda p, f: edgead.load(5),  # type: ignore[arg-type]
    "load threshold": lambda p, f: edgead.load(f, threshold=10**400),
    "load cores": lambda p, f: edgead.load(f, cores=range(10**9)),
    "a detector of a path": lambda p, f: edgead.Detector(str(f.path)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_what_a_call_cannot_take_is_one_line_before_any_work(
    call: Any, fitted: edgead.Fit, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((OptionError, OutputError, UnknownNameError)) as caught:
        call(photos / "train" / "good", fitted)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    assert edgead.read_bundle(fitted.path).manifest.kind == "reference"


def test_numbers_of_numpys_are_numbers(photos: Path, tmp_path: Path) -> None:
    made = edgead.fit(
        "patchcore", photos / "train" / "good", tmp_path / "n.edgead", size=np.array(SIZE), seed=np.int64(3),
        options=OPTIONS, holdout=np.float32(0.3), final_fit=np.bool_(False),
    )  # fmt: skip
    assert made.bundle.manifest.method.seed == 3
    assert edgead.load(made.bundle).threshold == edgead.load(made).threshold == made.threshold


def test_two_threads_that_fit_leave_the_programs_stdout_alone(photos: Path, tmp_path: Path) -> None:
    before = sys.stdout
    failed: list[BaseException] = []

    def run(name: str) -> None:
        try:
            good = photos / "train" / "good"
            edgead.fit("patchcore", good, tmp_path / name, size=SIZE, options=OPTIONS, final_fit=False)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(f"{i}.edgead",)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and sys.stdout is before
