"""Drift: what is learned is numpy's own, no alarm without a drift, and each drift has its sentence.

The state's file has a file of tests of its own, test_drift_state.py.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgead
from edgead.bundle import Bundle
from edgead.device.drift import Change, Drift, Look, look_at
from edgead.device.drift.channel import LONGER, STEPS, Channel, Kind, limit
from edgead.device.drift.watch import Watch
from edgead.errors import FrameError, OptionError
from edgead.notices import SENTENCES, Notice, say
from tests.drift_lines import HELD_OUT, NORMAL_LOOK, bundle_with, line, walk

Frame = tuple[float | None, Look | None, float | None]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_with(tmp_path_factory.mktemp("drift") / "part.edgead", HELD_OUT)


def watching(bundle: Bundle) -> Drift:
    """With blocks of a hundred frames, that it takes a thousand to learn."""
    return Drift(bundle, block=100)


def feed(drift: Drift, frames: Iterator[Frame]) -> list[tuple[int, Notice]]:
    """What was news, and with which frame."""
    first = drift.frames
    return [(first + i, notice) for i, frame in enumerate(frames) for notice in drift.update(*frame)]


# ---------------------------------------------------------------- what is learned


@pytest.mark.parametrize("scale", ["ratio", "log", "share"])
def test_mean_spread_and_steadiness_are_numpys_own(scale: str) -> None:
    kind = Kind(scale, 0.0, "")  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    above = np.clip(0.4 + 0.1 * walk(rng, 0.95, 4000), 0.01, 1)
    below = np.ones(4000) if scale == "share" else rng.uniform(1, 2, 4000)
    channel = Channel()
    for i, (a, b) in enumerate(zip(above, below, strict=True)):
        channel.add(a, b)
        if i % 20 == 19:
            channel.step(kind, 20, i - 19, 100)
    ends = range(200, 4001, 20)
    quotients = np.array([above[e - 200 : e].sum() / below[e - 200 : e].sum() for e in ends])
    blocks = {"ratio": np.log, "log": lambda x: x, "share": lambda x: np.arcsin(np.sqrt(x))}[scale](quotients)
    assert channel.learned == len(blocks) == 191 and channel.blocks_learned == 20
    np.testing.assert_allclose(channel.mean, blocks.mean())
    # Batch means, overlapping: n / (m (n - l)) of the squares, for m blocks of length l among n frames.
    plain = ((blocks - blocks.mean()) ** 2).sum() * 4000 / (len(blocks) * (4000 - 200))
    ratio = ((blocks[10:] - blocks[:-10]) ** 2).mean() / 2 / plain
    np.testing.assert_allclose(channel.steadiness, ratio)
    np.testing.assert_allclose(channel.variance(), plain / math.sqrt(min(ratio, 1)))
    assert kind.value(kind.scaled(0.3)) == pytest.approx(math.exp(0.3) if scale == "log" else 0.3)


def test_overlapping_blocks_of_independent_frames_have_the_spread_of_a_mean() -> None:
    rng, kind, found = np.random.default_rng(2), Kind("log", 0.0, ""), []
    for _ in range(60):
        channel = Channel()
        for step, values in enumerate(rng.standard_normal((100, 10))):
            for value in values:
                channel.add(value)
            channel.step(kind, 10, 10 * step, 1000)
        found.append(channel.squares / (channel.learned * (1 - 1 / channel.blocks_learned)))
    assert np.mean(found) == pytest.approx(1 / 100, rel=0.1)


@pytest.mark.parametrize("blocks", [3, 4, 6, 9])
def test_few_blocks_are_judged_by_the_t_distribution(blocks: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.t.ppf(stats.norm.cdf(3.2), 1.5 * (blocks - 1)) * math.sqrt(1 + 1 / blocks)
    assert limit(blocks) == pytest.approx(wanted, rel=0.03)
    assert limit(1000) == 4.2


def test_learning_takes_the_blocks_that_were_asked_for_and_goes_on_for_longer(bundle: Bundle) -> None:
    drift = Drift(bundle, block=100, blocks=4)
    feed(drift, line(399))
    assert drift.learning and say(drift.notices[-1]).startswith(
        "Drift has learned 3 of 4 blocks of 100 frames"
    )
    feed(drift, line(1))
    assert not drift.learning and drift.notices == () and drift.notice is None
    feed(drift, line(3000))
    assert drift._watch.channels["brightness"].learned == STEPS * (LONGER * 4 - 1) + 1


# ---------------------------------------------------------------- no drift, no alarm


@pytest.mark.parametrize("a", [0.0, 0.9, 0.99])
def test_alike_neighbours_are_no_drift(bundle: Bundle, a: float) -> None:
    drift = Drift(bundle)
    assert feed(drift, line(30_000, a)) == []
    assert not drift.detected and drift.frames == 30_000


def test_a_few_odd_parts_in_a_row_pass_by(bundle: Bundle) -> None:
    drift = watching(bundle)
    feed(drift, line(2000))
    for seed in range(4, 8):
        assert feed(drift, line(40, score=lambda s: s + 2, level=0.7)) == []
        assert feed(drift, line(500, seed=seed)) == [] and not drift.detected


def test_black_frames_and_glints_in_single_frames_are_no_drift(bundle: Bundle) -> None:
    drift = watching(bundle)
    feed(drift, line(2000))
    for i, frame in enumerate(line(1000, seed=5)):
        odd = i % 100 == 7
        assert drift.update(*((30.0, Look(0.0, 0.0, 0.0), 3.0) if odd else frame)) == ()


# ---------------------------------------------------------------- each drift


DRIFTS = {
    "score-up": {"score": lambda s: s + 0.6},
    "score-down": {"score": lambda s: s - 0.6},
    "brightness-down": {"level": 0.9},
    "brightness-up": {"level": 1.1},
    "contrast-down": {"contrast": 0.8},
    "contrast-up": {"contrast": 1.25},
    "sharpness-down": {"sharpness": 0.7},
    "sharpness-up": {"sharpness": 1.4},
    "judged-down": {"missing": 0.2},
    "latency-up": {"latency": 1.3},
    "latency-down": {"latency": 0.7},
}


@pytest.mark.parametrize("name", DRIFTS)
@pytest.mark.parametrize("at", [1_217, 4_999])
def test_a_drift_is_found_within_two_blocks_and_named(bundle: Bundle, name: str, at: int) -> None:
    drift = watching(bundle)
    feed(drift, line(at))
    ((frame, notice),) = feed(drift, line(200, seed=9, **DRIFTS[name]))
    assert notice.code == f"drift-{name}" and at < frame < at + 200
    (change,) = drift.changes
    assert drift.detected and f"{change.what}-{change.direction}" == name
    assert abs(change.since - at) <= 20 and change.frames == at + 200 - change.since
    assert change.spreads > 2 and (change.now > change.usual) == (change.direction == "up")
    assert drift.notice == drift.notices[0] == change.notice() and change.notice().code in SENTENCES
    assert "{" not in say(notice) and str(change.since) in say(notice)


def test_the_size_is_told_in_its_own_unit(bundle: Bundle) -> None:
    drift = watching(bundle)
    feed(drift, line(2000))
    feed(drift, line(400, seed=9, level=0.9, latency=2.0))
    bright, slow = sorted(drift.changes, key=lambda change: change.what)
    assert (bright.what, bright.unit, slow.what, slow.unit) == (
        *("brightness", "grey levels"),
        *("latency", "seconds"),
    )
    assert bright.usual == pytest.approx(NORMAL_LOOK.level, rel=0.01)
    assert bright.now == pytest.approx(0.9 * NORMAL_LOOK.level, rel=0.01)
    assert slow.usual == pytest.approx(0.03, rel=0.02) and slow.now == pytest.approx(0.06, rel=0.02)
    assert "10% darker since about frame 2000" in say(bright.notice())
    record = drift.record()
    assert record["detected"] is True and record["changes"][0] == bright.record()
    assert record["changes"][0]["text"] == say(bright.notice())


def test_the_score_is_told_as_a_share_of_frames(bundle: Bundle) -> None:
    drift = Drift(bundle)
    before = [score for score, _, _ in line(6000)]
    after = [score for score, _, _ in line(1000, seed=3, score=lambda s: s + 0.3)]
    for score in [*before, *after]:
        drift.update(score)
    (change,) = drift.changes
    mark = drift._watch.marks["90 %" in change.unit]
    assert change.what == "score" and change.unit.startswith("share of frames over the usual")
    assert change.usual == pytest.approx(np.mean(np.array(before) > mark), abs=0.01)
    assert change.now == pytest.approx(np.mean(np.array(after[500:]) > mark), abs=0.001)


def dimming(frames: int, to: float) -> Iterator[Frame]:
    for (score, look, seconds), light in zip(line(frames, seed=2), np.linspace(1, to, frames), strict=True):
        yield score, Look(look.level * light, look.deviation * light, look.detail * light), seconds


def test_a_slow_ramp_is_found(bundle: Bundle) -> None:
    drift = watching(bundle)
    feed(drift, line(4200))
    ((frame, notice),) = feed(drift, dimming(4000, 0.9))
    assert notice.code == "drift-brightness-down" and 4400 < frame < 6000


def test_a_ramp_while_it_learns_is_taken_for_usual_and_told_of(bundle: Bundle) -> None:
    drift = watching(bundle)
    feed(drift, line(1200))
    ((frame, notice),) = feed(drift, dimming(4000, 0.9))
    assert notice.code == "drift-unsettled" and 3980 < frame < 4200
    assert notice.values["name"] == "brightness" and notice.values["before"] == pytest.approx(120, rel=0.01)
    assert 110 < notice.values["after"] < 118


def test_a_change_goes_when_the_line_is_as_it_was(bundle: Bundle) -> None:
    drift = watching(bundle)
    feed(drift, line(2000))
    feed(drift, line(300, seed=9, level=0.9))
    assert drift.detected
    learned = drift._watch.channels["brightness"].learned
    feed(drift, line(60, seed=10))
    assert drift.detected and drift._watch.channels["brightness"].learned == learned
    assert feed(drift, line(640, seed=11)) == [] and drift.changes == ()
    ((frame, _),) = feed(drift, line(200, seed=12, level=0.9))
    (change,) = drift.changes
    assert frame > 3000 and abs(change.since - 3000) <= 20


def test_reset_learns_the_new_normal(bundle: Bundle) -> None:
    drift = watching(bundle)
    feed(drift, line(2000))
    feed(drift, line(203, seed=9, level=0.8))
    assert drift.detected
    drift.reset()
    assert drift.learning and not drift.detected and drift.frames == 2210
    assert feed(drift, line(2000, seed=10, level=0.8)) == []
    assert [n.code for _, n in feed(drift, line(200, seed=11))] == ["drift-brightness-up"]


# ---------------------------------------------------------------- the bundle's held-out images


def test_a_line_unlike_the_held_out_images_is_told_of_once(bundle: Bundle) -> None:
    drift = watching(bundle)
    news = feed(drift, line(2000, score=lambda s: s + 2))
    assert [(frame, notice.code) for frame, notice in news] == [(999, "drift-line-differs")]
    assert news[0][1].values["frames"] == 1000 and news[0][1].values["median"] > 0.95
    assert news[0][1] in drift.notices and not drift.detected
    # It has marks of its own, so that a change is found all the same.
    assert [n.code for _, n in feed(drift, line(200, seed=8, score=lambda s: s + 3))] == ["drift-score-up"]


def test_the_marks_are_the_bundles_where_the_line_is_like_it(bundle: Bundle) -> None:
    drift = Drift(bundle, block=500)
    feed(drift, line(500))
    assert drift._watch.marks_of == "bundle"
    np.testing.assert_allclose(drift._watch.marks, np.quantile(np.float32(HELD_OUT), [0.5, 0.9]))
    other = Drift(bundle)
    feed(other, line(500, score=lambda s: s + 2))
    scores = [s for s, _, _ in line(500, score=lambda s: s + 2)]
    assert other._watch.marks_of == "line"
    np.testing.assert_allclose(other._watch.marks, np.quantile(scores, [0.5, 0.9]))


@pytest.mark.parametrize("held_out", [None, [3.0] * 9])
def test_without_held_out_scores_the_line_is_its_own_measure(
    tmp_path: Path, held_out: list[float] | None
) -> None:
    drift = watching(bundle_with(tmp_path / "part.edgead", held_out))
    assert feed(drift, line(2000)) == []
    assert [notice.code for notice in drift.notices] == ["drift-no-held-out"]
    assert [n.code for _, n in feed(drift, line(200, seed=8, score=lambda s: s + 1))] == ["drift-score-up"]


# ---------------------------------------------------------------- odd lines


@pytest.mark.parametrize(("moved", "code"), [(0.001, "drift-score-up"), (-0.001, "drift-score-down")])
def test_constant_scores_can_go_either_way(bundle: Bundle, moved: float, code: str) -> None:
    drift = watching(bundle)
    feed(drift, ((5.0, None, None) for _ in range(2000)))
    assert not drift.detected
    news = feed(drift, ((5.0 + moved, None, None) for _ in range(200)))
    assert [notice.code for _, notice in news] == [code]


def test_constant_looks_have_a_spread_all_the_same(bundle: Bundle) -> None:
    drift = watching(bundle)
    feed(drift, ((5.0, NORMAL_LOOK, 0.03) for _ in range(2000)))
    bit = Look(NORMAL_LOOK.level * 0.99, NORMAL_LOOK.deviation * 0.99, NORMAL_LOOK.detail * 0.98)
    assert feed(drift, ((5.0, bit, 0.031) for _ in range(1000))) == []  # nobody minds so little
    less = Look(NORMAL_LOOK.level * 0.95, NORMAL_LOOK.deviation * 0.95, NORMAL_LOOK.detail * 0.95)
    news = feed(drift, ((5.0, less, 0.03) for _ in range(200)))
    assert [notice.code for _, notice in news] == ["drift-brightness-down"]


@pytest.mark.parametrize("odd", [math.nan, math.inf, None])
def test_what_is_no_score_is_a_frame_that_was_not_judged(bundle: Bundle, odd: float | None) -> None:
    drift = watching(bundle)
    feed(drift, line(2000))
    for i, (score, look, seconds) in enumerate(line(200, seed=3)):
        drift.update(odd if i % 10 == 0 else score, look, seconds)
    (change,) = drift.changes
    assert (change.what, change.direction) == ("judged", "down") and change.now == pytest.approx(0.9)
    assert change.usual == pytest.approx(1, abs=1e-3) and "90.0% of the last frames" in say(change.notice())


def test_a_line_that_judges_nothing_says_nothing_of_scores(bundle: Bundle) -> None:
    drift = watching(bundle)
    for _ in range(2000):
        drift.missed()
    assert drift.learning and not drift.detected
    assert {one.name for one in drift.watched} == {"judged"}
    assert feed(drift, line(1000)) != [] and not drift.learning  # the judged share went up


def test_looks_of_every_fifth_frame_are_enough_and_of_every_tenth_too_few(bundle: Bundle) -> None:
    for every, known in ((5, True), (10, False)):
        drift = watching(bundle)
        for i, (score, look, _) in enumerate(line(1500)):
            drift.update(score, look if i % every == 0 else None)
        assert ("brightness" in {one.name for one in drift.watched}) is known


def test_tiny_blocks_are_trusted_little(bundle: Bundle) -> None:
    drift = Drift(bundle, block=20, blocks=3)
    assert feed(drift, line(60, 0.9)) == [] and not drift.learning
    for one in drift.watched:
        assert one.low <= one.usual <= one.high
    for seed in range(5):
        drift = Drift(bundle, block=20, blocks=3)
        feed(drift, line(400, 0.9, seed))
        assert not drift.detected
    feed(drift, line(200, seed=9, level=0.3))
    assert [change.what for change in drift.changes] == ["brightness"]


def test_a_block_of_many_frames_keeps_few_scores(bundle: Bundle) -> None:
    drift = Drift(bundle, block=8000, blocks=3)
    feed(drift, line(7999, score=lambda s: s + 2))
    assert sum(map(len, drift._watch.first)) == 1000
    feed(drift, line(16_001, seed=1, score=lambda s: s + 2))
    assert not drift.learning and drift._watch.channels["score_median"].blocks_learned == 3
    shares = {one.name: one.usual for one in drift.watched}
    assert shares["score_median"] == pytest.approx(0.5, abs=0.06)


def test_a_line_that_wanders_has_its_spread_widened_and_is_told_of() -> None:
    kind, channel = Kind("log", 0.0, ""), Channel()
    values = np.repeat(np.linspace(0, 1, 40), STEPS)  # each block a little over the last
    for i, value in enumerate(values):
        channel.add(value)
        channel.step(kind, 1, i, 40)
    plain = channel.squares / (channel.learned * (1 - 1 / channel.blocks_learned))
    assert channel.steadiness < 0.05 and channel.variance() == pytest.approx(plain / math.sqrt(0.05))


def test_a_line_that_never_kept_still_is_told_of(bundle: Bundle) -> None:
    drift = Drift(bundle, block=100, blocks=3)
    rng = np.random.default_rng(0)
    news = []
    for i in range(1200):
        level = 120 * math.exp(0.1 * math.sin(i / 200))
        news += drift.update(5 + 0.3 * rng.standard_normal(), Look(level, level / 4, level / 9))
    assert [notice.code for notice in news] == ["drift-unsettled"]
    assert "brightness never kept still" in say(news[0]) and news[0] in drift.notices


# ---------------------------------------------------------------- how it's called


def test_it_takes_predictions_scores_frames_and_looks(bundle: Bundle) -> None:
    drift = Drift(bundle)
    arrays = np.zeros((4, 4), np.float32), np.zeros((4, 4), bool)
    frame = np.full((64, 48, 3), 100, np.uint8)
    assert drift.update(edgead.Prediction(5.0, False, 9.0, *arrays, ()), frame, 0.02) == ()
    assert drift.update(np.float32(5.0), frame[..., 0]) == drift.update(5) == drift.update(None, frame) == ()
    assert drift.missed() == () and drift.frames == 5
    counts = {name: channel.count for name, channel in drift._watch.channels.items()}
    assert (counts["judged"], counts["brightness"], counts["latency"]) == (5, 3, 1)
    for wrong in ("5", [5.0], True):
        with pytest.raises(OptionError, match="no prediction"):
            drift.update(wrong)  # type: ignore[arg-type]
    for seconds in (-1, math.nan, math.inf, "1"):
        with pytest.raises(OptionError, match="seconds"):
            drift.update(5.0, None, seconds)  # type: ignore[arg-type]
    with pytest.raises(FrameError):
        drift.update(5.0, frame.astype(np.float32))
    assert drift.frames == 5  # of what was refused nothing was taken in


@pytest.mark.parametrize("how", [
    {"block": 505}, {"block": 10}, {"block": 200_000}, {"block": 500.0}, {"blocks": 2}, {"blocks": True},
])  # fmt: skip
def test_other_settings_are_refused(bundle: Bundle, how: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=r"^blocks? "):
        Drift(bundle, **how)


def test_only_a_bundle_or_its_detector_will_do(bundle: Bundle) -> None:
    with pytest.raises(OptionError, match=r"edgead\.read_bundle"):
        Drift(str(bundle.path))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="path="):
        Drift(bundle).save()


def test_it_shows_itself_in_a_line(bundle: Bundle) -> None:
    drift = watching(bundle)
    assert repr(drift) == "Drift(part.edgead: learning, 0 frames)"
    feed(drift, line(1500))
    assert repr(drift) == "Drift(part.edgead: nothing changed, 1,500 frames)"
    feed(drift, line(200, level=0.8))
    assert repr(drift) == "Drift(part.edgead: brightness down, 1,700 frames)"


def test_news_are_logged_as_notes_are(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    drift = watching(bundle)
    with caplog.at_level(logging.WARNING, "edgead.notes"):
        feed(drift, line(1500))
        assert caplog.messages == []
        ((_, notice),) = feed(drift, line(200, level=0.8))
    assert caplog.messages == [f"part.edgead: {notice}"]


def test_several_threads_lose_no_frame(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    drift = Drift(bundle, block=100, blocks=4)
    frames, plain, busy, overlaps = list(line(500)), Watch.take, threading.Event(), []

    def take(watch: Watch, *frame: Any) -> list[str]:
        overlaps.append(busy.is_set())
        busy.set()
        time.sleep(0)  # the others' turn, if they may have one
        found = plain(watch, *frame)
        busy.clear()
        return found

    monkeypatch.setattr(Watch, "take", take)

    def work(judged: bool) -> None:
        for frame in frames:
            if judged:
                drift.update(*frame)
            else:
                drift.missed()
            assert drift.frames <= 2000

    threads = [threading.Thread(target=work, args=(i < 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(overlaps) == drift.frames == 2000 and not any(overlaps)


def test_it_moves_no_threshold(bundle: Bundle) -> None:
    before = (bundle.path / "manifest.json").read_bytes()
    drift = watching(bundle)
    feed(drift, line(1500))
    feed(drift, line(200, score=lambda s: s + 3))
    assert drift.detected and (bundle.path / "manifest.json").read_bytes() == before


# ---------------------------------------------------------------- looks


def look_by_hand(frame: np.ndarray, size: tuple[int, int]) -> Look:
    """The same, point by point."""
    values = frame.astype(float).reshape(*frame.shape[:2], -1)
    height, width = frame.shape[:2]
    apart = max(1, min(round(min(height / size[0], width / size[1])), min(height, width) // 4))
    rows = range(0, height - apart, max(1, (height - apart) // 32))
    columns = range(0, width - apart, max(1, (width - apart) // 32))
    points = [(r, c) for r in rows for c in columns]
    here = np.array([values[p] for p in points])
    steps = [values[r, c] - values[r + dr, c + dc] for r, c in points for dr, dc in ((0, apart), (apart, 0))]
    return Look(
        float(here.mean()),
        float(np.sqrt(((here - here.mean(0)) ** 2).mean())),
        float(np.sqrt((np.array(steps) ** 2).mean())),
    )


@pytest.mark.parametrize("shape", [(8, 8), (64, 48, 3), (131, 257, 3), (40, 300, 1), (500, 333)])
def test_a_look_is_the_one_point_by_point(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    for kind, most in ((np.uint8, 256), (np.uint16, 65536)):
        if kind is np.uint16 and shape[-1] == 3:
            continue
        frame = rng.integers(0, most, shape, dtype=kind)
        found, wanted = look_at(frame, (64, 64)), look_by_hand(frame, (64, 64))
        np.testing.assert_allclose(
            [found.level, found.deviation, found.detail],
            [wanted.level, wanted.deviation, wanted.detail], rtol=1e-4,
        )  # fmt: skip
        flipped = frame[::-1, ::-1]  # negative strides
        assert look_at(flipped, (64, 64)) == look_at(flipped.copy(), (64, 64))


def test_less_light_takes_brightness_alone_and_defocus_sharpness() -> None:
    import cv2

    rng = np.random.default_rng(4)
    frame = cv2.GaussianBlur(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8), (0, 0), 1.0)
    frame[60:180, 80:200] //= 2

    def three(image: np.ndarray) -> tuple[float, float, float]:
        look = look_at(image, (128, 128))
        return look.level, look.deviation / look.level, look.detail / look.deviation

    usual, dark = three(frame), three(np.rint(frame * 0.9).astype(np.uint8))
    blurred = three(cv2.GaussianBlur(frame, (0, 0), 3.0))
    np.testing.assert_allclose(np.divide(dark, usual), [0.9, 1, 1], rtol=0.01)
    assert blurred[0] / usual[0] == pytest.approx(1, rel=0.02) and blurred[2] / usual[2] < 0.6


@pytest.mark.parametrize("wrong", [
    None, "frame", np.zeros((9, 9), np.float32), np.zeros((9, 9), np.int8), np.zeros((9, 9), np.uint32),
    np.zeros(9, np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((7, 9), np.uint8),
    np.zeros((0, 9, 3), np.uint8),
])  # fmt: skip
def test_what_is_no_frame_is_refused(wrong: object) -> None:
    with pytest.raises(FrameError, match=r"^the frame"):
        look_at(wrong, (8, 8))


def test_a_change_without_anything_usual_is_told_all_the_same() -> None:
    notice = Change("judged", "up", 9.0, 0.0, 0.5, "share of frames", 3, 900).notice()
    assert "50.0% of the last frames could be judged, 0.0% while it was learned" in say(notice)
