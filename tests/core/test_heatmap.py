from __future__ import annotations

import numpy as np
import pytest

from edgead.errors import FrameError, OptionError
from edgead.heatmap import colour_scale, heatmap, overlay
from edgead.resize import ResizeRule


def luminance(picture):
    return picture.astype(float) @ [0.114, 0.587, 0.299]


def test_a_value_has_one_colour_whatever_else_the_map_holds():
    quiet = np.full((4, 6), 2.0, np.float32)
    busy = quiet.copy()
    busy[0, 0] = 90
    assert (heatmap(quiet, 1, 3)[1:] == heatmap(busy, 1, 3)[1:]).all()


def test_colours_grow_brighter_with_the_value_and_clip_at_the_ends():
    ramp = np.linspace(0, 4, 81, dtype=np.float32)[None]
    light = luminance(heatmap(ramp, 1, 3))[0]
    assert (np.diff(light[20:61]) > 0).all()
    assert (light[:21] == light[20]).all() and (light[60:] == light[60]).all()


def test_what_is_not_finite_is_shown_as_the_highest():
    values = np.array([[np.nan, np.inf, 3.0]], np.float32)
    picture = heatmap(values, 1, 3)
    assert (picture == picture[0, 2]).all()


def test_the_threshold_sits_in_the_middle_of_the_scale():
    low, high = colour_scale(0.8)
    assert low < 0.8 < high and (low + high) / 2 == pytest.approx(0.8)


@pytest.mark.parametrize("size", [(32, 40), (331, 97), (640, 256), (9, 9)])
@pytest.mark.parametrize("mono", [False, True])
def test_overlay_marks_the_hot_corner_only_at_any_frame_size(size, mono):
    frame = np.full(size if mono else (*size, 3), 100, np.uint8)
    hot = np.zeros((64, 64), np.float32)
    hot[:16, :16] = 2
    before = frame.copy()
    drawn = overlay(frame, hot, threshold=1.0)
    assert drawn.shape == (*size, 3) and drawn.dtype == np.uint8
    assert (frame == before).all()
    height, width = size
    assert (drawn[height // 2 :, width // 2 :] == 100).all()
    assert (drawn[: height // 8, : width // 8] != 100).any(axis=2).all()
    assert (drawn == 255).all(axis=2).any()  # the outline


def test_overlay_of_a_good_frame_is_the_frame():
    frame = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    assert (overlay(frame, np.full((8, 8), 0.4, np.float32), threshold=1.0) == frame).all()


def test_overlay_leaves_a_letterbox_border_out():
    rule = ResizeRule((64, 64), "letterbox")
    frame = np.full((40, 80, 3), 100, np.uint8)
    hot = np.zeros((64, 64), np.float32)
    hot[:16] = 5  # the border above the frame, and only that
    assert (overlay(frame, hot, 1.0, rule=rule) == 100).all()
    assert not (overlay(frame, hot, 1.0) == 100).all()


def test_bad_input_is_answered_by_one_line():
    frame, hot = np.zeros((20, 20, 3), np.uint8), np.zeros((4, 4), np.float32)
    for call in (
        lambda: heatmap(hot, 2, 1),
        lambda: heatmap(hot, 0, float("nan")),
        lambda: heatmap(hot[None], 0, 1),
        lambda: overlay(frame, hot, 0.0),
        lambda: overlay(frame, hot, float("inf")),
        lambda: overlay(frame, hot, 1.0, opacity=1.5),
    ):
        with pytest.raises(OptionError) as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(FrameError):
        overlay(frame.astype(np.float32), hot, 1.0)
