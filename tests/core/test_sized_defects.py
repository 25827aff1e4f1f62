"""Defects of a stated size: as large as asked on any frame, alike in all sizes, and nothing else changes."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edgead.errors import OptionError, UnknownNameError
from edgead.workbench.sized_defects import SIZED_KINDS, Ground
from tests.core.test_defects import textured


def change(frame, defective):
    return np.abs(defective.astype(int) - frame).max(axis=2)


def extent(changed):
    """The longest distance between two changed pixels, and the diameter of a circle of their area."""
    y, x = np.nonzero(changed)
    hull = cv2.convexHull(np.stack([x, y], 1).astype(np.int32))[:, 0].astype(float)
    longest = np.hypot(*(hull[:, None] - hull[None]).transpose(2, 0, 1)).max() + 1
    return longest, 2 * math.sqrt(len(x) / math.pi)


@pytest.mark.parametrize("kind", SIZED_KINDS)
@pytest.mark.parametrize("size", [4, 12, 40])
def test_a_defect_is_as_large_as_asked(kind, size):
    frame = np.full((400, 500, 3), 128, np.uint8)
    lengths, diameters = [], []
    for seed in range(12):
        longest, diameter = extent(
            change(frame, Ground(frame).draw(size, np.random.default_rng(seed), kind)) > 2
        )
        lengths.append(longest)
        diameters.append(diameter)
    typical = np.median(lengths if kind in ("scratch", "crack") else diameters)
    assert 0.6 * size <= typical <= 1.7 * size + 2
    assert max(lengths) <= 3.5 * size + 3


def test_a_size_says_the_same_on_a_small_frame_and_on_a_large_one():
    measured = []
    for side in (160, 1600):
        frame = textured((side, side))
        areas = [
            (change(frame, Ground(frame).draw(12, np.random.default_rng(seed), "spot")) > 3).sum()
            for seed in range(12)
        ]
        measured.append(np.median(areas))
    assert 0.5 < measured[0] / measured[1] < 2


@pytest.mark.parametrize("kind", SIZED_KINDS)
def test_the_same_generator_state_gives_the_same_defect_in_the_same_place_in_every_size(kind):
    frame = textured((300, 400))
    ground = Ground(frame)
    centres = []
    for size in (6, 12, 24):
        once, again = (ground.draw(size, np.random.default_rng(5), kind) for _ in range(2))
        assert (once == again).all()
        y, x = np.nonzero(change(frame, once) > 2)
        centres.append((y.mean(), x.mean()))
    assert max(math.dist(centres[0], centre) for centre in centres) < 24


def test_the_frame_is_left_as_it_was_and_far_from_the_defect_nothing_changes():
    frame = textured((400, 400))
    before = frame.copy()
    for seed in range(8):
        defective = Ground(frame).draw(10, np.random.default_rng(seed), "stain")
        changed = change(before, defective) > 0
        y, x = np.nonzero(changed)
        assert changed.any() and np.ptp(y) < 120 and np.ptp(x) < 120
    assert (frame == before).all()


@pytest.mark.parametrize("kind", SIZED_KINDS)
def test_a_grey_frame_stays_grey_and_a_flat_one_shows_its_defect(kind):
    grey = textured((100, 90), grey=True)
    defective = Ground(grey).draw(8, np.random.default_rng(1), kind)
    assert (defective == defective[..., :1]).all()
    for level in (0, 255):
        flat = np.full((64, 64, 3), level, np.uint8)
        assert change(flat, Ground(flat).draw(3, np.random.default_rng(2), kind)).max() >= 3


def test_defects_lie_all_over_the_frame():
    frame = textured((200, 300), grey=True)
    places = []
    for seed in range(40):
        changed = change(frame, Ground(frame).draw(4, np.random.default_rng(seed), "spot"))
        places.append(np.unravel_index(changed.argmax(), changed.shape))
    spread = np.ptp(np.array(places), axis=0)
    assert spread[0] > 110 and spread[1] > 170


def test_what_has_no_room_is_refused_in_one_line():
    rng = np.random.default_rng(0)
    with pytest.raises(OptionError, match="32 a side"):
        Ground(np.zeros((31, 400, 3), np.uint8))
    ground = Ground(np.zeros((80, 100, 3), np.uint8))
    for size in (0.5, 20.1, 500, float("nan")):
        with pytest.raises(OptionError, match="a quarter"):
            ground.draw(size, rng, "spot")
    with pytest.raises(UnknownNameError, match="stain"):
        ground.draw(4, rng, "warp")


def test_middles_lie_in_a_region_of_interest_where_there_is_one():
    frame, where = np.full((200, 300, 3), 90, np.uint8), np.zeros((200, 300), bool)
    frame[::2] = 110
    where[150:170, 20:40] = True
    ground = Ground(frame, where)
    for seed in range(12):
        changed = np.argwhere((ground.draw(4, np.random.default_rng(seed), "spot") != frame).any(2))
        y, x = changed.mean(0)
        assert 145 < y < 175 and 15 < x < 45
