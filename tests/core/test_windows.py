"""Where windows lie, what each owns, and that a frame's map is made of exactly that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.errors import OptionError
from edgead.window_rule import WindowRule
from edgead.windows import STEP, cut, spans, stitched, windows
from edgead.workbench.given import Settings

SIDES = st.integers(2, 20).map(lambda n: n * STEP)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, int]:
    side = draw(SIDES)
    return draw(st.integers(1, 1500)), side, draw(st.integers(0, (side - STEP) // 2))


@given(layouts())
def test_cores_tile_a_side_and_lie_a_margin_inside_their_windows(layout: tuple[int, int, int]) -> None:
    length, side, margin = layout
    found = spans(length, side, margin)
    owned = [pixel for span in found for pixel in range(span.own, span.end)]
    assert owned == list(range(length))
    for i, span in enumerate(found):
        assert 0 <= span.start <= max(length - side, 0)
        assert i == 0 or span.own - span.start >= margin
        assert i == len(found) - 1 or span.start + side - span.end >= margin
        assert span.start % STEP == 0 or i == len(found) - 1


def test_no_window_more_than_it_takes() -> None:
    for length in range(64, 600, 7):
        assert len(spans(length, 64, 0)) == -(-length // 64)


@pytest.mark.parametrize("margin", [-1, 25, 32, 64])
def test_a_margin_that_leaves_nothing_is_refused(margin: int) -> None:
    with pytest.raises(OptionError, match="at most 24"):
        spans(200, 64, margin)
    with pytest.raises(OptionError, match="at most"):
        WindowRule((128, 64), margin)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 24))
def test_a_map_is_stitched_of_cores_alone(height: int, width: int, margin: int) -> None:
    rng = np.random.default_rng(height * 1000 + width)
    frame = rng.integers(0, 256, (height, width, 3), np.uint8)
    parts = []
    for window in windows(frame.shape, (64, 64), margin):
        image = cut(frame, window, (64, 64))
        assert image.shape == (64, 64, 3) and image.flags.c_contiguous
        part = image[..., 0].astype(np.float32)
        spoilt = np.full((64, 64), 999, np.float32)  # what a neighbour owns must not show
        spoilt[window.core_inside] = part[window.core_inside]
        parts.append((window, spoilt))
    np.testing.assert_array_equal(stitched(frame.shape, iter(parts)), frame[..., 0])


def test_a_frame_smaller_than_a_window_is_continued_by_its_mirror_image() -> None:
    frame = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)
    (window,) = windows(frame.shape, (64, 64), 8)
    image = cut(frame, window, (64, 64))
    np.testing.assert_array_equal(image[:40, :30], frame)
    np.testing.assert_array_equal(image[40:, :30], frame[:-25:-1])
    assert window.core == (slice(0, 40), slice(0, 30))


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.7])
def test_maps_and_frames_lie_on_each_other(scale: float) -> None:
    rule, shape = WindowRule((64, 64), 8, scale), (211, 333, 3)
    height, width = rule.map_size(shape)
    assert (height, width) == (round(211 / scale), round(333 / scale))
    assert rule.apply(np.zeros(shape, np.uint8)).shape == (height, width, 3)
    assert rule.to_frame((0, 0, width, height), shape) == (0, 0, 333, 211)
    assert rule.area_scale(shape) == pytest.approx(211 * 333 / (height * width))
    x, y, w, h = rule.to_frame((5, 7, 1, 1), shape)
    assert x <= 5 * 333 / width and x + w >= 6 * 333 / width and y <= 7 * 211 / height < y + h


@pytest.mark.parametrize("scale", [0.5, 65, float("nan"), float("inf")])
def test_a_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(OptionError, match="scale"):
        WindowRule((64, 64), 8, scale)


@pytest.mark.parametrize("scale", [0.0, -1.0, 65.0, float("nan")])
def test_a_fit_refuses_such_a_scale_before_it_reads_anything(scale: float) -> None:
    with pytest.raises(OptionError, match="must be from 1 to 64"):
        Settings(windows=True, scale=scale)
