"""A web that a detector judges, and docs/web.md."""

from __future__ import annotations

import logging
import re
import typing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import edgead
from edgead.errors import InferenceError, NotFiniteError, OptionError, UnknownNameError
from edgead.runtime.lessons import Judged
from edgead.web import NotInspected, Reason, Web, WebDefect
from edgead.web.of_detector import DetectorJudge
from tests.core.web_support import Thresholds, drawn, labelled, pieces_of, rows
from tests.mean_bundle import HEIGHT, WIDTH, write_mean_bundle

pytest.importorskip("onnx", reason="needs the [fit] extra")
pytest.importorskip("onnxruntime", reason="needs the [onnx] extra")
PAGE = (Path(__file__).parents[2] / "docs" / "web.md").read_text("utf-8")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mean_bundle(tmp_path_factory.mktemp("web") / "mean.edgead")


@pytest.fixture
def detector(bundle: Path) -> edgead.Detector:
    return edgead.load(bundle, threads=1)


@pytest.mark.parametrize("width", [WIDTH - 9, WIDTH, 131])
def test_a_detectors_maps_are_those_of_its_windows(detector: edgead.Detector, width: int) -> None:
    rng = np.random.default_rng(width)
    web = drawn(rng, 400, width, 60)
    inspected = Web(detector, width=width)
    assert inspected.limits == detector.limits()
    found = []
    for piece in pieces_of(web, rng, 60):
        found += inspected.feed(piece)
    found += inspected.finish()
    missing = np.zeros(web.shape, bool)
    want = sorted(labelled(web.astype(np.float32), Thresholds(100, 100), 0, False, False, missing))
    assert [row[:5] for row in rows(found)] == [row[:5] for row in want] and len(want) > 10
    assert np.allclose([row[5] for row in rows(found)], [row[5] for row in want])


def test_a_margin_that_nobody_measured_is_told(detector: edgead.Detector, caplog) -> None:
    inspected = Web(detector, width=100)
    assert [notice.code for notice in inspected.notices] == ["web-pixel-for-pixel", "web-margin-guessed"]
    assert inspected.notices[1].values["margin"] == HEIGHT // 8
    assert inspected.notices[0].values == {"height": HEIGHT, "width": detector.rule.size[1]}
    assert "4 pixels of a window of 32" in caplog.text
    assert [n.code for n in Web(detector, width=100, margin=0).notices] == ["web-pixel-for-pixel"]
    with pytest.raises(OptionError, match="margin 9"):
        Web(detector, width=100, margin=9)


def test_thresholds_are_the_detectors(bundle: Path, detector: edgead.Detector) -> None:
    web = np.zeros((64, 60), np.uint8)
    web[20:25, 7] = 120
    assert len(Web(detector, width=60).feed(web)) == 1
    assert not Web(edgead.load(bundle, threshold=121), width=60).feed(web)
    with pytest.raises(UnknownNameError):
        Web(detector, width=60, product="another")


def test_depth_is_the_detectors(bundle: Path, detector: edgead.Detector, caplog) -> None:
    web = np.zeros((64, 60), np.uint16)
    web[20:25, 7] = 1 << 11
    deep = edgead.load(bundle, depth=12)
    assert len(Web(deep, width=60).feed(web)) == len(Web(detector, width=60, depth=12).feed(web)) == 1
    assert not caplog.text.count("16 bits")
    inspected = Web(detector, width=60)
    assert not inspected.feed(web) and not inspected.feed(web)
    assert caplog.text.count("uint16 lines are taken for 16 bits") == 1
    with pytest.raises(OptionError, match="depth 10 isn't the 12 bits"):
        Web(deep, width=60, depth=10)


def test_an_engine_that_fails_now_and_then_is_told(detector: edgead.Detector, monkeypatch) -> None:
    session = detector._state.session
    calls = []

    class Flaky:
        def map_owned(self, images):
            for image in images:
                calls.append(image)
                if len(calls) % 7 == 3:
                    raise InferenceError("flaky")
                outputs = dict(session(image))
                if len(calls) % 7 == 5:
                    outputs["score"] = np.full(1, np.nan, np.float32)
                yield outputs

        start_owned = map_owned

    monkeypatch.setattr(detector, "_state", replace(detector._state, session=Flaky()))
    inspected = Web(detector, width=200)
    found = inspected.feed(np.zeros((200, 200), np.uint8)) + inspected.finish()
    failed = [each for each in found if isinstance(each, NotInspected)]
    assert {each.reason for each in failed} == {"inference", "not-finite"}
    assert len(calls) > 14 and len(found) == len(failed)


@dataclass
class Lesson:
    """Lowers the map by 50, and sees a taught defect where it's told."""

    seen: np.ndarray | None

    def apply(self, outputs) -> Judged:
        return Judged(0.0, outputs["anomaly_map"][0, 0] - 50, 3, self.seen)


def test_lessons_are_heeded(detector: edgead.Detector) -> None:
    judge = DetectorJudge(detector, 0, None)
    outputs = {"score": np.ones(1, np.float32), "anomaly_map": np.full((1, 1, 32, 48), 120, np.float32)}
    outputs["anomaly_map"][0, 0, 3, 4] = 200
    assert judge._map(outputs, None).max() == 200
    assert (judge._map(outputs, Lesson(None)) == outputs["anomaly_map"][0, 0] - 50).all()
    seen = np.zeros((32, 48), bool)
    seen[2:6, 3:8] = True
    told = judge._map(outputs, Lesson(seen))
    assert ((told > 100) == seen).all() and told[3, 4] == 150
    with pytest.raises(NotFiniteError, match="the model yields NaN"):
        judge._map(outputs | {"score": np.full(1, np.inf, np.float32)}, None)


def test_a_self_test_comes_between_windows(detector: edgead.Detector, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(detector._tester, "between_frames", lambda *given: asked.append(given))
    Web(detector, width=100).feed(np.zeros((64, 100), np.uint8))
    assert len(asked) == 3 * 3 and asked[0] == (detector._state.session, detector.limits())


def test_it_is_there_under_edgeads_own_name() -> None:
    assert edgead.Web is Web and edgead.WebDefect is WebDefect and edgead.NotInspected is NotInspected


# ---------------------------------------------------------------- the page


def lines(count: int) -> np.ndarray:
    return np.full((count, 96, 3), 50, np.uint8)


def camera():
    """A roll with two defects, in pieces of 50 lines; the fifth is lost, and the encoder counts on."""
    web = lines(500)
    web[100:131, 40:52], web[300:420, 70] = 200, 220
    for start in range(0, 500, 50):
        if start != 200:
            yield web[start : start + 50], 1000 + start


def test_the_pages_code_prints_what_the_page_says(
    detector: edgead.Detector, capsys: pytest.CaptureFixture[str], caplog
) -> None:
    caplog.set_level(logging.ERROR)
    known = {"edgead": edgead, "detector": detector, "camera": camera(), "lines": lines}
    for block, printed in re.findall(r"```python\n(.*?)```\n(?:\n```\n(.*?)```)?", PAGE, re.DOTALL):
        exec(compile(block, "docs/web.md", "exec"), known)
        out = capsys.readouterr().out
        assert out == printed or not printed
    assert known["record"]["report"] == "defect"


def test_the_page_names_every_reason_and_field() -> None:
    for reason in typing.get_args(Reason):
        assert f"`{reason}`" in PAGE
    for name in (*WebDefect.__dataclass_fields__, *NotInspected.__dataclass_fields__):
        assert re.search(rf"`{name}(=|`)", PAGE), name


def test_the_links_of_the_page_lead_somewhere() -> None:
    docs = Path(__file__).parents[2] / "docs"
    for file, anchor in re.findall(r"\]\(([\w.-]+\.md)(?:#([\w-]+))?\)", PAGE):
        headings = [
            re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", (docs / file).read_text("utf-8"), re.M)
        ]
        assert not anchor or anchor in headings, (file, anchor)
