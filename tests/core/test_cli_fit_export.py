"""fit and export as typed, on good and bad input: one clear line, its exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.bundle import read_bundle
from edgead.cli import main
from edgead.errors import BundleNotFoundError
from tests.bundles import bad_image, good_image, write_images

ROOT = Path(__file__).resolve().parents[2]
FIT = ("--size", "96x64", "--holdout", "0.4", "-q")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with twelve good images in ``good``."""
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "good", [good_image(i) for i in range(12)])
    return tmp_path


def fails(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    """Run, and return the one line on stderr."""
    before = set(Path().iterdir())
    assert main(list(words)) == code
    captured = capsys.readouterr()
    (line,) = captured.err.strip().splitlines()
    assert line.startswith("error: ") and "Traceback" not in line
    assert set(Path().iterdir()) == before, "something was left behind"
    return line


def test_the_commands_of_the_readme(folder, capsys):
    assert main(["fit", "patchcore", "good", *FIT]) == 0
    assert main(["export", "patchcore", "--target", "openvino", "-q"]) == 0
    out = capsys.readouterr().out
    assert "fitted on 12 good images, threshold from all of them, each judged" in out
    assert "can't show a rate of 1.00%" in out
    assert all(form in out for form in ("int8", "mixed", "bf16", "fp32", "expected loss"))
    assert read_bundle(folder / "patchcore-openvino.edgead").manifest.target == "openvino"
    write_images(folder / "new", [good_image(99), bad_image(2)])
    assert main(["run", "patchcore-openvino.edgead", "new", "--out", "heatmaps"]) == 0
    verdicts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert verdicts[1]["is_anomalous"] and verdicts[1]["score"] > verdicts[0]["score"]
    assert len(list((folder / "heatmaps").iterdir())) == 2


def test_export_can_fit_first_and_prints_only_json_when_asked(folder, capsys):
    words = ["export", "patchcore", "--target", "onnx", "--images", "good", "--precision", "fp32", "--json"]
    assert main([*words, *FIT]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["precision"] == "fp32" and found["threshold"] > 0
    assert found["fit"]["images"] == {"fitted_on": 12, "held_out": 5}
    assert [notice["code"] for notice in found["fit"]["notices"]] == ["sizes-few", "sizes-lost"]


def test_mixed_sizes_and_odd_kinds_of_images_are_fitted_on(folder, capsys):
    grey = good_image(50)[..., 0]
    cv2.imwrite("good/deep.png", grey.astype(np.uint16) * 257)
    cv2.imwrite("good/alpha.png", np.dstack([good_image(51), np.full(grey.shape, 255, np.uint8)]))
    cv2.imwrite("good/large.jpg", cv2.resize(good_image(52), (333, 222)))
    long_name = Path("good") / ("größe-" + "x" * 180 + "-部品.png")
    long_name.write_bytes(cv2.imencode(".png", grey)[1].tobytes())
    assert main(["fit", "patchcore", "good", *FIT, "--out", "teil-ß-部品.edgead"]) == 0
    assert read_bundle(folder / "teil-ß-部品.edgead").manifest.provenance["images"] == {
        "fitted_on": 16,
        "held_out": 6,
        "parts": 15,  # one picture is there under two names
    }


BAD_FILES = {
    "text": b"not a picture",
    "zero bytes": b"",
    "truncated": cv2.imencode(".png", good_image(0))[1].tobytes()[:2000],
    "one pixel": cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes(),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_image_among_good_ones(folder, capsys, kind):
    (folder / "good" / "zz.png").write_bytes(BAD_FILES[kind])
    assert "zz.png" in fails(capsys, 2, "fit", "patchcore", "good", *FIT)


def test_folders_that_cannot_be_fitted_on(folder, capsys):
    (folder / "empty").mkdir()
    write_images(folder / "one", [good_image(0)])
    assert "empty" in fails(capsys, 2, "fit", "patchcore", "empty", *FIT)
    assert "only 1 image" in fails(capsys, 2, "fit", "patchcore", "one", *FIT)
    assert "nowhere" in fails(capsys, 2, "fit", "patchcore", "nowhere", *FIT)
    assert "000.png" in fails(capsys, 2, "fit", "patchcore", "good/000.png", *FIT)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit", "pathcore", "good"), "did you mean patchcore"),
        (("fit", "patchcore", "good", "--backbone", "resnet81"), "resnet18"),
        (("fit", "patchcore", "good", "-o", "neighbours=3"), "did you mean neighbors?"),
        (("fit", "patchcore", "good", "-o", "neighbors=many"), "neighbors"),
        (("fit", "patchcore", "good", "-o", "coreset_ratio=7"), "coreset_ratio"),
        (("fit", "patchcore", "good", "-o", "layers=stage9"), "stage"),
        (("fit", "patchcore", "good", "--size", "100x64"), "multiples of 16"),
        (("fit", "patchcore", "good", "--holdout", "1.5"), "holdout"),
        (("export", "patchcore", "--target", "openvin"), "did you mean openvino"),
        (("export", "patchcor", "--target", "openvino"), "patchcor"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(folder, capsys, words, said):
    before = set(folder.iterdir())
    assert main([*words]) in (2, 3)
    err = capsys.readouterr().err
    assert said in err.splitlines()[-1] and "Traceback" not in err
    assert set(folder.iterdir()) == before


def test_an_output_in_the_way_costs_no_fitting(folder, capsys):
    (folder / "patchcore.edgead").write_text("a file of the user's")
    fails(capsys, 7, "fit", "patchcore", "good", *FIT)
    assert (folder / "patchcore.edgead").read_text() == "a file of the user's"
    fails(capsys, 7, "fit", "patchcore", "good", *FIT, "--out", "no/such/folder.edgead")


def test_a_missed_gate_is_exit_code_4(folder, capsys, monkeypatch):
    assert main(["fit", "patchcore", "good", *FIT]) == 0
    from edgead.runtime import proof as parity

    monkeypatch.setitem(parity.TOLERANCE, "int8", -1.0)
    capsys.readouterr()
    before = set(folder.iterdir())
    assert main(["export", "patchcore", "--target", "onnx", "--precision", "int8", "-q"]) == 4
    assert "misses a gate (parity" in capsys.readouterr().err
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("moment", [0.05, 0.35, 0.65, 0.95])
def test_kill_9_while_fitting_leaves_the_old_bundle(folder, moment):
    """Killed at a share of the time that a whole run takes; the old bundle must stay whole."""
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "edgead", "fit", "patchcore", "good", *FIT]
    start = time.monotonic()
    subprocess.run(command, check=True, env=environment, capture_output=True, cwd=folder)
    whole = time.monotonic() - start
    old = read_bundle(folder / "patchcore.edgead").manifest
    running = subprocess.Popen(
        command, env=environment, cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    time.sleep(whole * moment)
    running.send_signal(signal.SIGKILL)
    running.wait()
    try:
        assert read_bundle(folder / "patchcore.edgead").manifest == old
    except BundleNotFoundError:
        pytest.fail("the old bundle is gone")


def test_ctrl_c_while_fitting_is_exit_code_130(folder):
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "edgead", "fit", "patchcore", "good", *FIT, "-o", "coreset_ratio=1.0"]
    running = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs with interrupts ignored, which a test run in one would hand on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    staging = ".patchcore.edgead.partial"
    while running.poll() is None and not any(p.name.startswith(staging) for p in folder.iterdir()):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    # Python itself ends by SIGINT, which a shell calls 130 too, where the interrupt met code that an
    # extension runs while it's imported.
    assert running.returncode in (130, -signal.SIGINT) and "interrupted" in err, err
    assert "Traceback" not in err
    assert {p.name for p in folder.iterdir()} == {"good"}
