"""Pieces of a web on a line: each line is spoken of by one verdict, and what nobody judged is rejected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgead.errors import FrameError, OptionError
from edgead.line.config import Line, StripTable, line_of
from edgead.line.events import Scored
from edgead.line.strips import StripJudge
from tests.core.line_support import CameraRules, Hand, Turned, of
from tests.core.web_support import Judge, expected

HEIGHT, WIDTH, LINES = 20, 70, 600
DEFECTS = ((100, 131, 40, 52), (300, 420, 60, 62))


def made(max_length_mm: float = 500.0) -> StripJudge:
    return StripJudge(Judge(), StripTable(0.1, max_length_mm))


def web() -> np.ndarray:
    """Bright columns on dark ground; (LINES, WIDTH)."""
    picture = np.full((LINES, WIDTH), 20, np.uint8)
    for top, bottom, left, right in DEFECTS:
        picture[top:bottom, left:right] = 220
    return picture


def pieces(picture: np.ndarray) -> list[np.ndarray]:
    return [picture[at : at + HEIGHT] for at in range(0, len(picture), HEIGHT)]


def test_a_piece_is_rejected_where_a_defect_lies_in_the_lines_that_were_judged_with_it() -> None:
    picture = web()
    wide = Judge(margin=0)
    rows = [row for row in expected(picture, wide) if row[5] > 150]
    assert [row[:4] for row in rows] == [tuple(each) for each in DEFECTS]
    judge = StripJudge(wide, StripTable())
    before, rejected, after = 0, 0, 0
    for number, piece in enumerate(pieces(picture)):
        scored = judge(piece, number)
        assert judge._web is not None
        after = judge._web.judged
        hit = any(start < after and end > before for start, end, *_ in rows)
        assert scored.anomalous == (hit or number == 0), (number, before, after)
        assert (scored.score == 220) == hit and scored.threshold == 150
        for region in scored.regions:
            x, y, width, height = region.box
            assert (x, x + width) in ((40, 52), (60, 62)) and y + height <= HEIGHT
        before, rejected = after, rejected + hit
    assert LINES - after <= 32
    assert rejected >= 8


def test_what_was_lost_is_rejected_with_the_piece_behind_it() -> None:
    judge, dark = made(), np.full((HEIGHT, WIDTH), 128, np.uint8)
    assert judge(dark, 5).anomalous, "nobody knows of the lines before"
    assert not any(judge(dark, number).anomalous for number in range(6, 12))
    gap = judge(dark, 14)
    assert gap.anomalous and any(region.box[3] == 2 * HEIGHT for region in gap.regions)
    assert not judge(dark, 15).anomalous
    assert judge(dark, 15).anomalous, "a count that stands still"
    assert not judge(dark, 16).anomalous
    assert judge(dark, 17, follows=False).anomalous, "another judge had the one before"
    with pytest.raises(FrameError, match="those before had 70"):
        judge(dark[:, :60], 18)


def test_a_long_defect_is_rejected_for_as_long_as_it_runs() -> None:
    judge, scratch = made(max_length_mm=5), np.full((HEIGHT, WIDTH), 128, np.uint8)
    scratch[:, 30] = 240
    found: list[Scored] = [judge(scratch, number) for number in range(30)]
    assert all(each.anomalous for each in found[3:])


def test_the_line_says_whether_a_judge_had_the_piece_before() -> None:
    line = Turned().ready()
    follows = []
    for number in range(1, 3):
        follows += [hand.follows for hand in of(Hand, line.shot(number))]
        line.score("top/0", number)
    line.call("judge_gone", "top/0")
    line.call("judge_ready", "top/0", "b" * 64)
    for number in range(3, 5):
        (hand,) = of(Hand, line.shot(number))
        follows.append(hand.follows)
        line.score(hand.judge, number)
    assert follows == [False, True, False, True]


@pytest.mark.parametrize("how", ["overrun", "no-image", "error", "reopened"])
def test_the_line_says_so_too_where_a_camera_does_not_count(how: str) -> None:
    line = Turned((CameraRules("top", queue=0),)).ready()
    line.shot()
    if how == "overrun":
        line.shot()
    line.call("failed", "top/0", 1) if how == "error" else line.score("top/0", 1)
    if how == "no-image":
        line.shot(problem="incomplete")
    elif how == "reopened":
        line.call("camera_lost", "top")
        line.call("camera_open", "top")
    for follows in (False, True):
        (hand,) = of(Hand, line.shot())
        assert hand.judge == "top/0" and hand.follows == follows
        line.score("top/0", hand.trigger)


def test_without_a_count_pieces_that_do_not_follow_are_no_one_web() -> None:
    judge, dark = made(), np.full((HEIGHT, WIDTH), 128, np.uint8)
    assert judge(dark, None, follows=False).anomalous
    assert not judge(dark, None).anomalous
    gap = judge(dark, None, follows=False)
    assert gap.anomalous and any(region.box[3] == HEIGHT for region in gap.regions), "lines are missing there"
    assert not judge(dark, None).anomalous
    assert judge(dark, 1 << 62).anomalous and judge(dark, 1 << 63).anomalous


def described(strip: object) -> Line:
    camera = {"name": "top", "source": "generated", "bundle": "b", "strip": strip}
    return line_of({"camera": [camera], "sink": [{"kind": "file"}]}, "t", Path.cwd())


def test_the_files_table() -> None:
    assert described({"mm_per_line": 0.2}).cameras[0].strip == StripTable(0.2, 500.0)
    for wrong in (7, {"tile": 3}, {"mm_per_line": 0}):
        with pytest.raises(OptionError):
            described(wrong)
