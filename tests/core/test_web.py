"""A web is inspected as one endless picture: each defect once and exact, however its lines come in."""

from __future__ import annotations

import json
import math
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from edgead.errors import FrameError, InferenceError, NotFiniteError, OptionError
from edgead.web import NotInspected, Web, WebDefect
from edgead.windows import spans, step_of
from tests.core.web_support import (
    Judge,
    Thresholds,
    drawn,
    expected,
    gaps_in,
    labelled,
    pieces_of,
    row,
    rows,
)


def run(web: Web, pieces) -> list:
    found = []
    for piece in pieces:
        found += web.feed(piece)
    return found + web.finish()


@pytest.mark.parametrize(
    ("size", "margin", "width"),
    [
        ((32, 32), 4, 97),
        ((48, 32), 0, 32),
        ((32, 64), 7, 40),  # narrower than a window
        ((40, 32), 1, 65),
        ((64, 64), 20, 131),
        ((33, 47), 3, 47),
    ],
)
def test_every_defect_is_reported_once_and_exactly(size, margin, width) -> None:
    rng = np.random.default_rng([*size, margin, width])
    judge = Judge(size, margin)
    web = drawn(rng, 1500, width, 300)
    found = run(Web(judge, width=width), pieces_of(web, rng, 70))
    assert rows(found) == expected(web, judge) and len(found) > 60
    assert not gaps_in(found)


@pytest.mark.parametrize("density", [0.02, 0.2, 0.38, 0.42, 0.6, 1.0])
def test_noise_that_merges_and_parts_is_labelled_exactly(density) -> None:
    rng = np.random.default_rng(int(100 * density))
    judge = Judge()
    web = np.where(rng.random((700, 90)) < density, rng.integers(101, 256, (700, 90)), 0).astype(np.uint8)
    assert rows(run(Web(judge, width=90), pieces_of(web, rng, 40))) == expected(web, judge)


@pytest.mark.parametrize("lines", [1, 2, 7, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80])
def test_a_web_ends_wherever_it_ends(lines) -> None:
    rng = np.random.default_rng(lines)
    judge = Judge()
    web = drawn(rng, lines, 70, 2 + lines // 8)
    found = Web(judge, width=70)
    assert rows(run(found, pieces_of(web, rng, 9))) == expected(web, judge)
    assert found.lines == lines


@pytest.mark.parametrize("seed", range(12))
def test_reports_do_not_depend_on_how_the_lines_are_cut(seed) -> None:
    rng = np.random.default_rng(seed)
    lines, width = int(rng.integers(30, 400)), int(rng.integers(8, 90))
    web = drawn(rng, lines, width, 40)
    gap = (int(rng.integers(1, lines - 1)), int(rng.integers(1, 50)))
    settings = {
        "width": width,
        "mm_per_line": 0.1,
        "mm_per_pixel": 0.2,
        "max_length": 30,
        "counts_per_line": 3,
    }
    told = []
    for most in (1, 2, 5, 33, 200, 10_000):
        inspected, found, at = Web(Judge(), **settings), [], 0
        for part in (web[: gap[0]], web[gap[0] :]):
            for piece in pieces_of(part, rng, most):
                found += inspected.feed(piece, encoder=1000 + 3 * at)
                at += len(piece)
            at += gap[1]  # the encoder jumps
        told.append(found + inspected.finish())
    assert all(each == told[0] for each in told[1:])
    assert [each for each in gaps_in(told[0]) if each[2] == "encoder-jump"] == [
        (gap[0], gap[0] + gap[1], "encoder-jump")
    ]
    assert any(each.is_open for each in told[0] if isinstance(each, WebDefect)) or lines < 200


def test_each_window_is_judged_once_and_at_the_same_place_for_all_time() -> None:
    """Windows are at multiples of the step along the web, and as ``spans`` lays them across it."""
    width, lines = 75, 32 + 16 * 20 + 5
    web = np.arange(lines * width, dtype=np.uint32).reshape(lines, width)
    places = np.stack([web & 255, web >> 8 & 255, web >> 16], -1).astype(np.uint8)
    starts = []

    class Noting(Judge):
        def anomaly_map(self, image):
            number = int(image[0, 0].astype(np.int64) @ [1, 1 << 8, 1 << 16])
            starts.append((number // width, number % width))
            return np.zeros(self.size, np.float32)

    run(Web(Noting(), width=width), pieces_of(places, np.random.default_rng(0), 50))
    columns = [span.start for span in spans(width, 32, 4)]
    rows_ = [*range(0, 16 * 21, 16), lines - 32]
    assert step_of(32, 4) == 16 and starts == [(y, x) for y in rows_ for x in columns]


def test_a_window_at_the_very_end_is_not_judged_again() -> None:
    judge = Judge()
    rng = np.random.default_rng(5)
    web = drawn(rng, 32 + 16 * 3, 32, 10)
    found = run(Web(judge, width=32), pieces_of(web, rng, 40))
    assert judge.seen == 4 and rows(found) == expected(web, judge)


@pytest.mark.parametrize(("size", "margin"), [((32, 32), 4), ((32, 32), 0), ((64, 64), 20)])
@pytest.mark.parametrize("most", [1, 16, 100])
def test_no_report_is_later_than_a_window_and_a_piece(size, margin, most) -> None:
    rng = np.random.default_rng(most)
    web = drawn(rng, 1200, 60, 150)
    inspected = Web(Judge(size, margin), width=60)
    assert inspected.latency_lines == size[0]
    fed, late = 0, []
    for piece in pieces_of(web, rng, most):
        fed += len(piece)
        late += [fed - each.end - len(piece) for each in inspected.feed(piece)]
    assert max(late) + most >= 0 and max(late) < size[0] and len(late) > 20


# ---------------------------------------------------------------- gaps


@pytest.mark.parametrize("seed", range(8))
def test_gaps_are_exactly_what_was_not_inspected(seed) -> None:
    """Pieces that are lost, that are refused, and that only the encoder misses, in any order."""
    rng = np.random.default_rng(100 + seed)
    judge = Judge((32, 48), 5)
    web, at, gaps, told = drawn(rng, 2500, 80, 300), 0, [], []
    inspected = Web(judge, width=80, counts_per_line=-2, encoder_bits=12)
    while at < len(web):
        piece = web[at : at + int(rng.integers(1, 60))]
        end = at + len(piece)
        if at and end < len(web) and rng.random() < 0.15:
            kind = rng.integers(3)
            if kind == 0:
                told += inspected.lost(len(piece))
            elif kind == 1:
                with pytest.raises(FrameError, match="79 pixels"):
                    inspected.feed(piece[:, 1:])
            start = gaps.pop()[0] if gaps and gaps[-1][1] == at else at
            gaps.append((start, end))
        else:
            told += inspected.feed(piece, encoder=(77 - 2 * at) % 4096)
        at = end
    told += inspected.finish()
    got = np.zeros(len(web), int)
    for start, end, _ in gaps_in(told):
        got[start:end] += 1
    want = np.zeros(len(web), int)
    for start, end in gaps:
        want[start:end] = 1
    assert (got == want).all() and len(gaps) > 3
    assert {reason for *_, reason in gaps_in(told)} <= {"lost", "encoder-jump", "refused"}
    assert rows(told) == expected(web, judge, gaps)
    for each in told:
        assert each.start_encoder == (77 - 2 * each.start) % 4096
        assert each.end_encoder == (77 - 2 * each.end) % 4096


def test_defects_at_a_gap_are_closed_there_and_cut() -> None:
    judge = Judge((32, 32), 0)
    web = np.zeros((200, 40), np.uint8)
    web[50:150, 10:12] = 200  # goes through the gap
    web[80:99, 20], web[101:120, 30], web[99, 35] = 201, 202, 203  # ends short of it, behind it, at it
    gap = (100, 110)
    inspected = Web(judge, width=40)
    found = inspected.feed(web[:100])
    assert not gaps_in(found)
    at_gap = inspected.lost(10)
    assert gaps_in(at_gap) == [(100, 110, "lost")]
    found += at_gap
    found += inspected.feed(web[110:]) + inspected.finish()
    assert rows(found) == expected(web, judge, [gap])
    assert rows(found) == [
        (50, 100, 10, 12, 100, 200.0, True),
        (80, 99, 20, 21, 19, 201.0, False),
        (99, 100, 35, 36, 1, 203.0, True),
        (110, 120, 30, 31, 10, 202.0, True),
        (110, 150, 10, 12, 80, 200.0, True),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_around_lost_pieces_everything_is_judged(seed) -> None:
    rng = np.random.default_rng(seed)
    judge = Judge((32, 48), 5)
    web = drawn(rng, 1600, 100, 200)
    cuts = sorted(rng.choice(np.arange(1, 1599), 16, replace=False).tolist())
    gaps = list(zip(cuts[::2], cuts[1::2], strict=True))
    inspected, told, at = Web(judge, width=100), [], 0
    for start, end in gaps:
        for piece in pieces_of(web[at:start], rng, 80):
            told += inspected.feed(piece)
        told += inspected.lost(end - start)
        at = end
    for piece in pieces_of(web[at:], rng, 80):
        told += inspected.feed(piece)
    told += inspected.finish()
    assert gaps_in(told) == [(*gap, "lost") for gap in gaps]
    assert rows(told) == expected(web, judge, gaps)
    assert any(each[-1] for each in rows(told))


def test_nothing_follows_on_what_the_encoder_went_back_from() -> None:
    judge = Judge((32, 32), 0)
    web = np.zeros((120, 40), np.uint8)
    web[40:80, 5] = 200
    inspected = Web(judge, width=40)
    found = inspected.feed(web[:60], encoder=500) + inspected.feed(web[60:], encoder=540) + inspected.finish()
    assert gaps_in(found) == [(60, 60, "encoder-back")]
    assert rows(found) == [(40, 60, 5, 6, 20, 200.0, True), (60, 80, 5, 6, 20, 200.0, True)]
    (back,) = (each for each in found if isinstance(each, NotInspected))
    assert (back.start_encoder, back.end_encoder) == (560, 540)
    ends = [(each.start_encoder, each.end_encoder) for each in found if isinstance(each, WebDefect)]
    assert ends == [(540, 560), (540, 560)] and "went back from 560 to 540" in str(back)


# ---------------------------------------------------------------- encoder and mm


def test_places_are_told_in_counts_and_millimetres() -> None:
    web = np.zeros((100, 50), np.uint8)
    web[30:42, 10:15] = 250
    inspected = Web(
        Judge((32, 32), 0), width=50, mm_per_line=0.5, mm_per_pixel=0.25, counts_per_line=2.5, encoder_bits=16
    )
    found = inspected.feed(web[:20], encoder=65_500) + inspected.feed(web[20:], encoder=14)
    (defect,) = found + inspected.finish()
    assert (defect.start_mm, defect.end_mm, defect.left_mm, defect.right_mm) == (15.0, 21.0, 2.5, 3.75)
    assert (defect.start_encoder, defect.end_encoder) == ((65_500 + 75) % 65_536, 14 + 55)
    assert defect.box == (10, 30, 5, 12) and defect.area == 60


def test_a_count_that_is_less_than_half_a_line_off_is_no_gap_and_is_taken() -> None:
    web = np.zeros((200, 40), np.uint8)
    web[65:70, 3] = 250
    inspected, found = Web(Judge((32, 32), 0), width=40, counts_per_line=10), []
    for at in range(0, 200, 20):
        found += inspected.feed(web[at : at + 20], encoder=10 * at + (4 if at >= 60 else 0))
    found += inspected.finish()
    assert [(each.start_encoder, each.end_encoder) for each in found] == [(654, 704)]


@pytest.mark.parametrize("per_line", [0.1, 0.5, 0.7, 0.9, 1.1, -0.5, -1.3, 2.5])
@pytest.mark.parametrize("rounded", [round, math.floor])
@pytest.mark.parametrize("lines", [1, 7, 64])
def test_counts_that_whole_numbers_round_are_no_gaps(per_line, rounded, lines) -> None:
    inspected, found = Web(Judge((32, 32), 0), width=40, counts_per_line=per_line), []
    for at in range(0, 40 * lines, lines):
        found += inspected.feed(np.zeros((lines, 40), np.uint8), encoder=1000 + rounded(per_line * at))
    assert not found + inspected.finish() and inspected.lines == 40 * lines


def test_jitter_of_one_piece_doesnt_hide_a_line_that_is_lost_before_the_next() -> None:
    inspected, found = Web(Judge((32, 32), 0), width=40, counts_per_line=10), []
    for count in (0, 103, 207):  # the third's place is 210, so a line is missing
        found += inspected.feed(np.zeros((10, 40), np.uint8), encoder=count)
    (gap,) = found + inspected.finish()
    assert (gap.reason, gap.start, gap.end) == ("encoder-jump", 20, 21)


@pytest.mark.parametrize("lines", [1, 10])
def test_a_wrong_number_of_counts_a_line_shows_however_the_camera_cuts(lines) -> None:
    inspected, found = Web(Judge((32, 32), 0), width=40, counts_per_line=10), []
    for at in range(0, 400, lines):
        found += inspected.feed(np.zeros((lines, 40), np.uint8), encoder=14 * at)
    assert {each.reason for each in found} == {"encoder-jump"}


def test_counts_a_little_off_are_followed() -> None:
    inspected, found = Web(Judge((32, 32), 0), width=40, counts_per_line=10), []
    for at in range(0, 20_000, 20):  # 0.1 %: 20 lines on the whole
        found += inspected.feed(np.zeros((20, 40), np.uint8), encoder=round(10.01 * at))
    assert not found + inspected.finish()


def test_a_piece_of_which_nobody_can_tell_how_many_lines_it_had_is_told_so() -> None:
    inspected = Web(Judge((32, 32), 0), width=40)
    inspected.feed(np.zeros((20, 40), np.uint8))
    for wrong in (np.zeros((3, 10, 40), np.uint8), np.zeros((1, 10, 40, 3), np.uint8), [1]):
        with pytest.raises(FrameError):
            inspected.feed(wrong)
        (gap,) = inspected.feed(np.zeros((20, 40), np.uint8))
        assert gap.reason == "refused" and gap.start == gap.end
        assert "isn't known, so none is counted" in str(gap)


def test_what_is_wrong_with_a_piece_is_said_of_the_whole_of_it(caplog) -> None:
    inspected = Web(Judge((32, 32), 0), width=40)
    for wrong, says in (
        (np.zeros((10, 40, 4), np.uint8), r"shape is \(10, 40, 4\)"),
        (np.zeros((10, 40), np.float64), "float64"),
        (np.ma.masked_all((10, 40), np.uint8), "masked array"),
    ):
        with pytest.raises(FrameError, match=says):
            inspected.feed(wrong)
    assert "uint16" not in caplog.text


def test_before_the_first_count_none_is_known() -> None:
    web = np.zeros((100, 40), np.uint8)
    web[5:8, 3], web[60:64, 3] = 250, 250
    inspected = Web(Judge((32, 32), 0), width=40)
    found = inspected.feed(web[:50]) + inspected.feed(web[50:], encoder=7) + inspected.finish()
    assert [(each.start_encoder, each.end_encoder) for each in found] == [(None, None), (17, 21)]


def test_a_defect_has_the_counts_of_its_own_lines_and_no_more_counts_are_kept() -> None:
    class Plain(Judge):
        def anomaly_map(self, image):
            return image[..., 0].astype(np.float32)

    rng = np.random.default_rng(0)
    inspected, found = Web(Plain(), width=40, counts_per_line=10, max_length=10_000), []
    counts = [10 * line + int(rng.integers(-2, 3)) for line in range(2000)]
    for at, count in enumerate(counts):
        line = np.zeros((1, 40), np.uint8)
        line[:, 7] = 200 if 9 <= at < 1900 else 0
        line[:, 20] = 201 if at % 3 == 1 else 0
        found += inspected.feed(line, encoder=count)
        assert len(inspected._encoder) <= 32 + 16 + 2
    found += inspected.finish()
    assert len(found) == 1 + 667 and any(each.end - each.start == 1891 for each in found)
    for each in found:
        assert (each.start_encoder, each.end_encoder) == (counts[each.start], counts[each.end - 1] + 10)


# ---------------------------------------------------------------- long defects


def test_a_long_defect_is_open_first_and_closed_under_the_same_number() -> None:
    web = np.zeros((1000, 40), np.uint8)
    web[100:900, 20:22] = 200
    inspected = Web(Judge((32, 32), 0), width=40, max_length=200)
    found = run(inspected, pieces_of(web, np.random.default_rng(1), 30))
    *opened, closed = found
    assert len(opened) == 3 and all(each.is_open and each.start == 100 for each in opened)
    assert all(later.end - each.end > 200 for each, later in pairwise(opened))
    assert all(each.area == 2 * (each.end - 100) for each in found) and {each.id for each in found} == {1}
    assert row(closed) == (100, 900, 20, 22, 1600, 200.0, False) and not closed.is_open
    assert "going on at" in str(opened[0]) and "going on" not in str(closed)


def test_open_defects_that_meet_are_one_and_the_others_are_named() -> None:
    web = np.zeros((600, 60), np.uint8)
    for number, (x, start) in enumerate(((5, 10), (25, 40), (45, 20))):
        web[start:400, x] = 201 + number
    web[399, 5:46] = 200
    web[399:500, 25] = 200
    judge = Judge((32, 32), 0)
    inspected = Web(judge, width=60, max_length=300)
    found = run(inspected, pieces_of(web, np.random.default_rng(2), 30))
    first = {each.start: each.id for each in found[::-1] if each.is_open}
    assert len(first) == 3 and first[10] == 1 and len(found) == 5
    meeting = [each for each in found if each.joined]
    (met,) = meeting
    assert met.id == 1 and set(met.joined) == {first[20], first[40]} and (met.left, met.right) == (5, 46)
    assert met.is_open and met.end < 400 + 32, "at once, and not when it's due by its length"
    assert rows(found) == expected(web, judge) and found[-1].id == 1
    assert found[-1].peak == 203.0 and found[-1].end == 500


def test_nothing_is_reported_open_before_it_is_a_defect() -> None:
    web = np.zeros((700, 40), np.uint8)
    web[50:650, 9] = 120  # over the pixel threshold alone
    web[600, 9] = 180
    found = run(Web(Judge((32, 32), 0), width=40, max_length=100), [web])
    assert [each.is_open for each in found] == [True, False] and found[0].end > 600


def test_one_that_is_long_is_closed_at_a_gap() -> None:
    web = np.full((300, 40), 200, np.uint8)
    inspected = Web(Judge((32, 32), 0), width=40, max_length=100)
    found = inspected.feed(web) + inspected.lost(5) + inspected.feed(web) + inspected.finish()
    closed = [each for each in found if isinstance(each, WebDefect) and not each.is_open]
    assert [(each.start, each.end, each.is_cut) for each in closed] == [(0, 300, True), (305, 605, True)]
    assert closed[0].id != closed[1].id


# ---------------------------------------------------------------- limits


def test_the_peak_is_held_to_the_score_and_the_extent_to_the_pixel_threshold() -> None:
    web = np.zeros((64, 64), np.uint8)
    web[20:24, 20:24], web[22, 22] = 120, 150
    web[40:44, 40:44], web[42, 42] = 120, 151
    (defect,) = run(Web(Judge((32, 32), 0), width=64), [web])
    assert row(defect) == (40, 44, 40, 44, 16, 151.0, False)


def test_small_areas_are_left_out_where_the_limits_say_so() -> None:
    judge = Judge((32, 32), 0, Thresholds(smallest_area=5))
    web = drawn(np.random.default_rng(3), 500, 64, 80)
    found = run(Web(judge, width=64), pieces_of(web, np.random.default_rng(3), 50))
    assert rows(found) == expected(web, judge)
    everything = expected(web, Judge((32, 32), 0))
    assert 0 < len(found) < len(everything)


@pytest.mark.parametrize("where", ["inside a window", "across two"])
def test_thresholds_are_held_to_in_double_precision(where: str) -> None:
    """0.1 isn't a float32, and the nearest one is over it: a peak of that is over the threshold of 0.1."""

    class Constant(Judge):
        def anomaly_map(self, image):
            return np.where(image[..., 0] > 100, np.float32(0.1), np.float32(0)).astype(np.float32)

    judge = Constant((32, 32), 0, Thresholds(0.1, 0.1))
    web = np.zeros((64, 32), np.uint8)
    web[slice(10, 12) if where == "inside a window" else slice(20, 50), 10] = 255
    (defect,) = run(Web(judge, width=32), [web])
    assert defect.peak == float(np.float32(0.1)) > 0.1
    judge.limits = Thresholds(float(np.float32(0.1)), 0.05)
    assert not run(Web(judge, width=32), [web])


def test_where_the_pixel_threshold_is_the_higher_one_it_is_said() -> None:
    inspected = Web(Judge(limits=Thresholds(50.0, 100.0)), width=40)
    assert [notice.code for notice in inspected.notices] == ["web-pixel-decides"]
    assert not Web(Judge(), width=40).notices


# ---------------------------------------------------------------- what a judge can do wrong


class Failing(Judge):
    """Fails on windows with a pixel of 7 in their red, in a way that the pixel's green says."""

    def anomaly_maps(self, images):
        for image in images:
            marks = image[image[..., 2] == 7]
            kind = int(marks[0, 1]) if len(marks) else -1
            self.seen += 1
            if kind == 0:
                raise InferenceError("the engine is out of breath")
            if kind == 1:
                raise NotFiniteError("no number")
            if kind == 2:
                return  # fewer maps than windows
            found = self.anomaly_map(image)
            if kind == 3:
                found[5, 5] = np.nan
            yield found[:-1] if kind == 4 else found


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("seed", range(2))
def test_where_a_window_fails_its_core_is_not_inspected_and_it_goes_on(kind: int, seed: int) -> None:
    rng = np.random.default_rng([kind, seed])
    judge, width, lines = Failing((32, 32), 0), 110, 450
    web = drawn(rng, lines, width, 90)
    picture = np.repeat(web[..., None], 3, 2)
    picture[..., 2] = 0
    for _ in range(5):
        picture[rng.integers(lines), rng.integers(width)] = (0, kind, 7)
    web = picture[..., 0]
    inspected, told = Web(judge, width=width), []
    for piece in pieces_of(picture, rng, 40):
        told += inspected.feed(piece)
    told += inspected.finish()
    missing = np.zeros(web.shape, bool)
    starts = [*range(0, lines - 32, 32), lines - 32]
    ends = [*range(32, lines, 32), lines]
    for start, own, end in zip(starts, [0, *ends[:-1]], ends, strict=True):
        for span in spans(width, 32, 0):
            if (picture[start : start + 32, span.start : span.start + 32, 2] == 7).any():
                missing[own:end, span.own : span.end] = True
    got = np.zeros(web.shape, int)
    for each in told:
        if isinstance(each, NotInspected):
            got[each.start : each.end, each.left : each.right] += 1
            assert each.reason == ("not-finite" if kind in (1, 3) else "inference") and each.error
    assert missing.any() and not missing.all() and (got == missing).all()
    want = sorted(labelled(web.astype(np.float32), judge.limits, 0, False, False, missing))
    assert rows(told) == want and any(each[-1] for each in want)


def test_neighbours_that_fail_alike_are_one_report() -> None:
    class Dead(Judge):
        def anomaly_maps(self, images):
            raise InferenceError("dead\nfor good")
            yield

    found = run(Web(Dead(), width=200), [np.zeros((64, 200), np.uint8)])
    assert [(each.start, each.end, each.left, each.right) for each in found] == [
        (0, 24, 0, 200), (24, 40, 0, 200), (40, 56, 0, 200), (56, 64, 0, 200)
    ]  # fmt: skip
    assert {each.error for each in found} == {"dead for good"}
    assert "nothing was inspected: dead for good; treat it as defective" in str(found[0])


def test_an_error_that_nobody_foresaw_loses_no_line_and_no_report() -> None:
    class Broken(Judge):
        broken = False

        def anomaly_maps(self, images):
            if self.broken:
                raise RuntimeError("unforeseen")
            yield from super().anomaly_maps(images)

    rng = np.random.default_rng(4)
    web = drawn(rng, 700, 60, 90)
    judge = Broken()
    inspected = Web(judge, width=60)
    found = inspected.feed(web[:333])
    judge.broken = True
    for start, end in ((333, 400), (400, 450)):
        with pytest.raises(RuntimeError):
            inspected.feed(web[start:end])
    with pytest.raises(RuntimeError):
        inspected.lost(20)
    judge.broken = False
    found += inspected.feed(web[470:]) + inspected.finish()
    ((start, end, reason),) = gaps_in(found)
    assert 333 < start < 333 + 16 and (end, reason) == (470, "refused")
    assert rows(found) == expected(web, judge, [(start, end)])


# ---------------------------------------------------------------- pieces


def test_mono_colour_and_deep_lines_are_judged_alike() -> None:
    rng = np.random.default_rng(6)
    web = drawn(rng, 300, 50, 40)
    want = run(Web(Judge(), width=50), [web])
    assert want
    colour = np.stack([web, web // 2, web // 3], -1)
    deep = np.round(web * (4095 / 255)).astype(np.uint16)
    for settings, pieces in (
        ({}, [web[..., None]]),
        ({}, [colour]),
        ({}, [np.asfortranarray(colour)]),
        ({"channel_order": "rgb"}, [colour[..., ::-1]]),
        ({"depth": 12}, [deep[:100], deep[100:101], deep[101:].astype(">u2")]),
        ({}, [web.astype(np.uint16) * 257]),
    ):
        assert run(Web(Judge(), width=50, **settings), pieces) == want


@pytest.mark.parametrize(
    ("piece", "lines", "what"),
    [
        (None, 0, "no piece of a web: NoneType"),
        (np.zeros(40, np.uint8), 0, "no piece of a web: array of shape"),
        (np.zeros((0, 40), np.uint8), 0, "the piece has no line"),
        (np.zeros((9, 41), np.uint8), 9, "41 pixels, not the web's 40"),
        (np.zeros((9, 40, 4), np.uint8), 9, "shape"),
        (np.zeros((9, 40), np.float32), 9, "float32"),
        (np.zeros((9, 40, 3), np.uint16), 9, "three-channel"),
        (np.repeat(np.uint16([4095, 4096]), [599, 1])[:, None].repeat(40, 1), 600, "over 12 bits"),
    ],
)
def test_a_piece_that_is_refused_is_reported_next_time(piece, lines: int, what: str) -> None:
    inspected = Web(Judge(), width=40, depth=12)
    good = np.zeros((50, 40), np.uint16)
    assert not inspected.feed(good)
    with pytest.raises(FrameError, match=what):
        inspected.feed(piece)
    found = inspected.feed(good)
    assert gaps_in(found) == [(50, 50 + lines, "refused")] and inspected.lines == 100 + lines
    with pytest.raises(FrameError, match=what):
        inspected.feed(piece)
    assert gaps_in(inspected.finish()) == [(100 + lines, 100 + 2 * lines, "refused")]


def test_a_count_that_is_none_refuses_its_piece() -> None:
    inspected = Web(Judge(), width=40, encoder_bits=16)
    for count in (1.5, "7", -1, 1 << 16):
        with pytest.raises(OptionError, match="encoder"):
            inspected.feed(np.zeros((5, 40), np.uint8), encoder=count)  # type: ignore[arg-type]
        assert not inspected._out, "who never gets a report keeps none"
    assert gaps_in(inspected.finish()) == [(0, 20, "refused")]


def test_a_web_is_finished_once() -> None:
    inspected = Web(Judge(), width=40)
    inspected.feed(np.full((10, 40), 255, np.uint8))
    assert inspected.finish() and inspected.finish() == []
    for call in (lambda: inspected.feed(np.zeros((5, 40), np.uint8)), lambda: inspected.lost(3)):
        with pytest.raises(OptionError, match="finished"):
            call()
    assert Web(Judge(), width=40).finish() == []


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"width": 7}, "width 7"),
        ({"width": 1 << 18}, "width"),
        ({"width": 40.5}, "width"),
        ({"max_length": 0}, "max_length"),
        ({"mm_per_line": 0}, "mm_per_line"),
        ({"mm_per_pixel": float("nan")}, "mm_per_pixel"),
        ({"mm_per_pixel": "wide"}, "mm_per_pixel"),
        *(({"counts_per_line": wrong}, "counts_per_line") for wrong in ("x", None, [1], 10**400, True)),
        *(({"mm_per_line": wrong}, "mm_per_line") for wrong in (True, "0.1")),
        ({"max_length": True}, "max_length"),
        ({"counts_per_line": 0}, "counts_per_line"),
        ({"counts_per_line": float("inf")}, "counts_per_line"),
        ({"encoder_bits": 65}, "encoder_bits"),
        ({"depth": 8}, "depth"),
        ({"margin": 3}, "margin and product"),
        ({"product": "a"}, "margin and product"),
    ],
)
def test_settings_out_of_range_are_refused(settings, what: str) -> None:
    with pytest.raises(OptionError, match=what):
        Web(Judge(), **({"width": 40} | settings))


@pytest.mark.parametrize(
    "judge",
    [
        Judge(margin=9),
        Judge(limits=Thresholds(float("nan"), 1.0)),
        Judge(limits=Thresholds(1.0, float("inf"))),
        "a bundle's path",
    ],
)
def test_what_cannot_judge_is_refused(judge) -> None:
    with pytest.raises(OptionError):
        Web(judge, width=40)


@pytest.mark.parametrize("lines", [0, -1, 1.5, 1 << 60])
def test_a_number_of_lost_lines_that_is_none_is_refused(lines) -> None:
    inspected = Web(Judge(), width=40)
    with pytest.raises(OptionError):
        inspected.lost(lines)
    assert inspected.lines == 0


# ---------------------------------------------------------------- records, memory


def test_reports_are_plain_values() -> None:
    inspected = Web(Judge((32, 32), 0), width=40, mm_per_line=0.1)
    web = np.zeros((40, 40), np.uint8)
    web[5:9, 3:5] = 200
    found = inspected.feed(web, encoder=1000) + inspected.lost(2) + inspected.finish()
    defect, gap = (json.loads(json.dumps(each.record(), allow_nan=False)) for each in found)
    assert defect == {
        "report": "defect", "id": 1, "start": 5, "end": 9, "left": 3, "right": 5, "box": [3, 5, 2, 4],
        "start_encoder": 1005, "end_encoder": 1009, "start_mm": 0.5, "end_mm": 0.9, "left_mm": None,
        "right_mm": None, "area": 8, "peak": 200.0, "is_open": False, "is_cut": False, "joined": [],
        "text": "defect 1 from line 5 up to 9, columns 3 up to 5: 8 pixels, peak 200",
    }  # fmt: skip
    assert gap == {
        "report": "not-inspected", "start": 40, "end": 42, "left": 0, "right": 40, "box": [0, 40, 40, 2],
        "start_encoder": 1040, "end_encoder": 1042, "start_mm": 4.0, "end_mm": 4.2, "left_mm": None,
        "right_mm": None, "reason": "lost", "error": "", "text": str(found[1]),
    }  # fmt: skip
    for each in found:
        with pytest.raises(AttributeError):
            each.start = 1
        assert each == replace(each)


def test_memory_is_the_same_from_the_first_line_to_the_last() -> None:
    rng = np.random.default_rng(8)
    judge = Judge((64, 64), 8, Thresholds(150, 100))
    inspected = Web(judge, width=300, max_length=100)
    assert inspected._lines.nbytes == (64 + 48) * 300 * 3 and inspected._strip.nbytes == 64 * 300 * 4 + 300
    web = drawn(rng, 500, 300, 50)
    web[:, 150:153] = 255  # one defect that never ends
    held = []
    tracemalloc.start()
    try:
        for turn in range(10):
            for number, start in enumerate(range(0, 500, 25)):
                inspected.feed(web[start : start + 25], encoder=500 * turn + start + number % 2)
                assert len(inspected._merger.live) <= 150
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(held[6:]) - held[5] < 2_000, held  # a list of a number a piece would be more
