"""A model that can hardly tell defects says so, in the bundle and on request with an exit code."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgead.cli import main
from edgead.errors import GateError, OptionError
from edgead.notices import say
from edgead.plugins import registry
from edgead.progress import silent
from edgead.workbench.doubts import doubts
from edgead.workbench.export import export
from edgead.workbench.precision import Trial
from tests.bundles import good_image, write_images


def trial(good, bad) -> Trial:
    good = np.asarray(good, np.float64)
    return Trial(good, good, np.asarray(bad, np.float64), np.asarray(bad, np.float64))


def codes(notices) -> list[str]:
    return [notice.code for notice in notices]


def test_what_is_doubtful_is_said_and_what_is_not_is_not():
    good = [1.0, 1.1, 1.2, 1.3, 1.4]
    assert doubts(trial(good, [2.0, 3.0]), None, 0.75) == ()
    (weak,) = doubts(trial(good, [1.15, 1.25, 0.5, 2.0]), None, 0.75)
    assert weak.code == "weak-separation"
    assert weak.values == {"auroc": 0.5, "wanted": 0.75}  # 2, 3, 0 and 5 of 5 good ones are below
    assert "0.5, under 0.75; try a larger --size" in say(weak)
    assert doubts(trial(good, [1.15, 1.25, 0.5, 2.0]), None, 0.5) == ()
    assert codes(doubts(trial(good, [2.0]), [0, 0, 1, 1, 1], 0.75)) == ["few-held-out"]
    assert codes(doubts(trial([1e-4] * 5, [2.0]), None, 0.75)) == ["flat-scores"]


@pytest.mark.parametrize("limit", [-0.1, 1.1, float("nan")])
def test_a_limit_out_of_range_is_refused(reference_bundle, tmp_path, limit):
    exporter = registry().get("exporters", "onnx")()
    with pytest.raises(OptionError, match="min_auroc"):
        export(reference_bundle, exporter, "fp32", tmp_path / "x.edgead", silent, min_auroc=limit)


def test_export_keeps_the_notice_and_strict_refuses(reference_bundle, tmp_path):
    exporter = registry().get("exporters", "onnx")()
    words = (reference_bundle, exporter, "fp32", tmp_path / "x.edgead", silent)
    with pytest.raises(GateError, match=r"nothing was written \(this model can hardly tell defects"):
        export(*words, min_auroc=1.0, strict=True)
    assert list(tmp_path.iterdir()) == []
    made = export(*words, min_auroc=1.0)
    (notice,) = (n for n in made.bundle.manifest.notices if n.code == "weak-separation")
    assert notice.values["auroc"] == round(made.forms[0].auroc, 3) < 1
    assert "weak-separation" not in codes(export(*words, min_auroc=0.0, strict=True).bundle.manifest.notices)


def test_on_the_command_line_as_text_as_json_and_as_an_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "good", [good_image(i) for i in range(6)])
    assert main(["fit", "patchcore", "good", "--size", "96x64", "-q"]) == 0
    assert "6 held-out images can't show" in capsys.readouterr().out
    words = ["export", "patchcore", "--target", "onnx", "--precision", "fp32", "-q"]
    assert main([*words, "--strict"]) == 4
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "strict: nothing was written" in line and "only 1 held-out part" in line
    assert not (tmp_path / "patchcore-onnx.edgead").exists()
    assert main(words) == 0
    assert "note: only 1 held-out part" in capsys.readouterr().err
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["notices"]
    assert "few-held-out" in {notice["code"] for notice in told}
    assert all(notice["text"] for notice in told)
    assert main(["inspect", "patchcore-onnx.edgead"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("only 1 held-out part") < shown.index("Facts")
    assert main([*words, "--min-auroc", "75"]) == 2
    assert "min-auroc" in capsys.readouterr().err
