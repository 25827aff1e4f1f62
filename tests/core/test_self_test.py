"""The self-test: a carried image is judged at load and now and then, and a score that isn't so is said."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgead
from edgead.bundle import read_bundle, write_bundle
from edgead.cli import main
from edgead.errors import InferenceError, OptionError, ParityError, SelfTestError
from edgead.runtime import detector as detector_module
from edgead.runtime import self_test

GOLDEN = Path(__file__).parents[1] / "golden" / "v2.edgead"
PROBE = read_bundle(GOLDEN).manifest.probes[0]
FRAME = np.zeros((24, 32, 3), np.uint8)


class Skewed:
    """A session that gives other scores, or maps, or fails, once it's told to; it counts its calls."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.calls, self.how = inner, 0, "sound"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(self, image: Any) -> Any:
        self.calls += 1
        outputs = dict(self.inner(image))
        if self.how == "score":
            outputs["score"] = outputs["score"] * np.float32(1.01)
        if self.how == "map":
            outputs["anomaly_map"] = outputs["anomaly_map"] + np.float32(1)
        if self.how == "nan":
            outputs["score"] = outputs["score"] * np.float32(np.nan)
        if self.how == "fails":
            raise InferenceError("out of memory")
        return outputs


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Skewed]:
    """Every session that a detector opens."""
    opened: list[Skewed] = []
    real = detector_module.open_session

    def open_session(*args: Any) -> Skewed:
        opened.append(Skewed(real(*args)))
        return opened[-1]

    monkeypatch.setattr(detector_module, "open_session", open_session)
    return opened


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The monotonic clock in seconds, to be set."""
    now = [1000.0]
    monkeypatch.setattr(self_test.time, "monotonic", lambda: now[0])
    yield now


def test_a_probe_is_judged_at_load(sessions: list[Skewed]) -> None:
    detector = edgead.load(GOLDEN)
    found = detector.self_test
    assert found is not None and found.passed and (found.runs, found.failures) == (1, 0)
    assert found.probe == PROBE.file and found.recorded == PROBE.score
    assert found.score == pytest.approx(PROBE.score, rel=1e-3) and "self-test passed" in str(found)
    before = sessions[0].calls
    for _ in range(5):
        detector(FRAME)
    assert sessions[0].calls == before + 5  # nobody asked for more


@pytest.mark.parametrize("how", ["score", "map", "nan", "fails"])
def test_another_score_than_the_recorded_one_refuses_to_load(
    how: str, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    edgead.load(GOLDEN)  # proven here, which is remembered
    real = detector_module.open_session

    def open_session(*args: Any) -> Skewed:
        session = Skewed(real(*args))
        session.how = how
        return session

    monkeypatch.setattr(detector_module, "open_session", open_session)
    monkeypatch.setattr(detector_module, "warm_up", lambda *_: None)
    with pytest.raises(SelfTestError, match=r"v2\.edgead: self-test FAILED.*look at") as raised:
        edgead.load(GOLDEN)
    assert isinstance(raised.value, ParityError) and raised.value.exit_code == 4


def test_every_so_many_minutes_one_frame_waits_for_one_inference(
    sessions: list[Skewed], clock: list[float]
) -> None:
    detector = edgead.load(GOLDEN, self_test_minutes=10)
    session, wanted = sessions[0], detector(FRAME).score
    assert detector.self_test.runs == 1
    for seconds, tests in ((599, 0), (1, 1), (0, 0), (10, 0), (590, 1), (5000, 1), (1, 0)):
        clock[0] += seconds
        before, runs = session.calls, detector.self_test.runs
        assert detector(FRAME).score == wanted
        assert session.calls - before == 1 + tests
        assert detector.self_test.runs - runs == tests
    clock[0] += 600
    detector.start(FRAME).wait()
    assert detector.self_test.runs == 5
    clock[0] += 600
    assert [each.score for each in detector.map([FRAME] * 6)] == [wanted] * 6
    assert detector.self_test.runs == 6 and detector.self_test.failures == 0


@pytest.mark.parametrize("how", ["score", "map", "nan"])
def test_a_fault_in_the_field_is_said_and_frames_are_still_judged(
    how: str, sessions: list[Skewed], clock: list[float], caplog
) -> None:
    detector = edgead.load(GOLDEN, self_test_minutes=1)
    tester, session = detector._tester, sessions[0]
    session.how = how
    clock[0] += 60
    with caplog.at_level(logging.WARNING):
        tester.between_frames(session, detector.limits())
    found = detector.self_test
    assert not found.passed and found.failures == 1 and "self-test FAILED" in caplog.text
    if how == "score":
        assert detector(FRAME).score is not None
        assert found.score == pytest.approx(1.01 * PROBE.score)
    session.how = "sound"
    clock[0] += 60
    detector(FRAME)
    assert detector.self_test.passed and detector.self_test.failures == 1  # it's not forgotten


def test_an_engine_that_fails_in_a_self_test_is_a_fault_of_no_frame_s(
    sessions: list[Skewed], clock: list[float]
) -> None:
    detector = edgead.load(GOLDEN, self_test_minutes=1)
    sessions[0].how = "fails"
    found = detector._tester.run(sessions[0], detector.limits())
    assert not found.passed and "out of memory" in found.problem and np.isnan(found.score)


def test_the_probes_take_turns(tmp_path: Path, sessions: list[Skewed], clock: list[float]) -> None:
    manifest = read_bundle(GOLDEN).manifest
    image = self_test.carried_image(read_bundle(GOLDEN), PROBE.file)
    detector = edgead.load(GOLDEN)
    changed = [self_test.CHANGES[change](image) for change in ("none", "inverted", "dark")]
    probes = []
    for change, probe in zip(("none", "inverted", "dark"), changed, strict=True):
        outputs = detector._state.session(probe[None])
        peaks = tuple(float(peak) for peak in self_test.peaks_of(outputs["anomaly_map"]))
        probes.append(replace(PROBE, change=change, score=float(outputs["score"][0]), peaks=peaks))
    path = tmp_path / "three.edgead"
    with write_bundle(path) as made:
        for file in manifest.files:
            (made.folder / file.path).parent.mkdir(exist_ok=True)
            shutil.copy(GOLDEN / file.path, made.folder / file.path)
        made.finish(replace(manifest, probes=tuple(probes)))
    twin = edgead.load(path, self_test_minutes=1)
    seen = [twin.self_test.probe]
    for _ in range(5):
        clock[0] += 60
        twin(FRAME)
        seen.append(twin.self_test.probe)
    name = PROBE.file
    assert seen == [name, f"{name} inverted", f"{name} dark"] * 2
    assert twin.self_test.failures == 0


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), "ten"])
def test_minutes_are_a_number_over_0(minutes: Any) -> None:
    with pytest.raises(OptionError, match="self_test_minutes"):
        edgead.load(GOLDEN, self_test_minutes=minutes)


def test_a_bundle_without_images_says_so_where_tests_are_asked_for(tmp_path: Path) -> None:
    from tests.mean_bundle import write_mean_bundle

    path = write_mean_bundle(tmp_path / "mean.edgead")
    assert edgead.load(path).self_test is None
    with pytest.raises(OptionError, match="no images to test itself"):
        edgead.load(path, self_test_minutes=5)


def test_run_ends_where_a_self_test_fails(
    sessions: list[Skewed], clock: list[float], monkeypatch, capsys
) -> None:
    image = str(GOLDEN / PROBE.file)
    words = ["run", str(GOLDEN), *[image] * 5, "--self-test", "1"]
    assert main(words) == 0 and len(capsys.readouterr().out.splitlines()) == 5
    real = edgead.Detector.__call__

    def call(self: Any, frame: Any, **words: Any) -> Any:
        clock[0] += 25
        sessions[-1].how = "score"
        return real(self, frame, **words)

    monkeypatch.setattr(edgead.Detector, "__call__", call)
    assert main(words) == 4
    told = capsys.readouterr()
    assert (
        len(told.out.splitlines()) == 3 and "self-test FAILED" in told.err
    )  # the third frame was the first due
    assert main(["run", str(GOLDEN), image, "--self-test", "0"]) == 2
