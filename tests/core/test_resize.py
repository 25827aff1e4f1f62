"""The resize rule against plain arithmetic: pixels in, boxes back, and the choice of a size."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from edgead.errors import DatasetError, OptionError
from edgead.images import PAD, ResizeRule, choose_resize
from edgead.notices import say

RNG = np.random.default_rng(11)


def noise(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


# ---------------------------------------------------------------- pixels


def test_shrinking_by_whole_factors_is_the_mean_of_the_blocks() -> None:
    frame = noise(96, 160)
    blocks = frame.reshape(32, 3, 40, 4, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(ResizeRule((32, 40)).apply(frame) - blocks).max() <= 0.51


def test_shrinking_one_side_still_averages_it_while_the_other_grows() -> None:
    # A single bright line in ten must survive as a tenth of its brightness, wherever it lies.
    for line in range(10):
        frame = np.zeros((100, 16, 3), np.uint8)
        frame[line::10] = 250
        out = ResizeRule((10, 64)).apply(frame)
        assert out.min() == out.max() == 25


def test_enlarging_is_linear() -> None:
    ramp = np.repeat(np.arange(0, 160, 10, dtype=np.uint8)[None, :, None], 3, axis=2)
    out = ResizeRule((16, 64)).apply(np.repeat(ramp, 16, axis=0)).astype(float)
    expected = np.clip((np.arange(64) + 0.5) / 4 - 0.5, 0, 15) * 10
    assert np.abs(out - expected[None, :, None]).max() <= 1


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
def test_any_frame_becomes_one_contiguous_input(mode: str) -> None:
    for _ in range(60):
        size = (int(RNG.integers(8, 90)), int(RNG.integers(8, 90)))
        frame = noise(int(RNG.integers(8, 200)), int(RNG.integers(8, 200)))
        rule = ResizeRule(size, mode)  # type: ignore[arg-type]
        for view in (frame, frame[::-1, ::-1], np.asfortranarray(frame), frame[..., ::-1]):
            before = view.copy()
            out = rule.apply(view)
            assert out.shape == (*size, 3) and out.dtype == np.uint8 and out.flags.c_contiguous
            np.testing.assert_array_equal(view, before)
            np.testing.assert_array_equal(out, rule.apply(np.ascontiguousarray(view)))


def test_a_frame_of_the_right_size_is_unchanged() -> None:
    frame = noise(64, 96)
    np.testing.assert_array_equal(ResizeRule((64, 96)).apply(frame), frame)
    np.testing.assert_array_equal(ResizeRule((64, 96), "letterbox").apply(frame), frame)


def test_the_same_frame_gives_the_same_bits() -> None:
    frame = noise(301, 517)
    rules = [ResizeRule((256, 256)), ResizeRule((256, 256), "letterbox"), ResizeRule((640, 96))]
    for rule in rules:
        assert len({hashlib.sha256(rule.apply(frame).tobytes()).hexdigest() for _ in range(5)}) == 1


def test_a_letterbox_keeps_the_aspect_centres_and_pads() -> None:
    for _ in range(300):
        size = (int(RNG.integers(16, 600)), int(RNG.integers(16, 600)))
        h, w = int(RNG.integers(8, 3000)), int(RNG.integers(8, 3000))
        rows, columns = ResizeRule(size, "letterbox").valid_area((h, w, 3))
        inner_h, inner_w = rows.stop - rows.start, columns.stop - columns.start
        assert inner_h == size[0] or inner_w == size[1]
        scale = min(Fraction(size[0], h), Fraction(size[1], w))
        assert abs(inner_h - max(1, h * scale)) <= Fraction(1, 2)
        assert abs(inner_w - max(1, w * scale)) <= Fraction(1, 2)
        assert 0 <= size[0] - rows.stop - rows.start <= 1 and 0 <= size[1] - columns.stop - columns.start <= 1
    out = ResizeRule((64, 64), "letterbox").apply(np.full((100, 50, 3), 255, np.uint8))
    assert (out[:, 16:48] == 255).all()
    assert (out[:, :16] == PAD).all() and (out[:, 48:] == PAD).all()


# ---------------------------------------------------------------- the way back


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
def test_a_box_comes_back_to_exactly_the_pixels_that_it_touches(mode: str) -> None:
    for _ in range(500):
        size = (int(RNG.integers(8, 300)), int(RNG.integers(8, 300)))
        h, w = int(RNG.integers(8, 900)), int(RNG.integers(8, 900))
        rule = ResizeRule(size, mode)  # type: ignore[arg-type]
        x, y = int(RNG.integers(0, size[1])), int(RNG.integers(0, size[0]))
        box = (x, y, int(RNG.integers(1, size[1] - x + 1)), int(RNG.integers(1, size[0] - y + 1)))
        rows, columns = rule.valid_area((h, w))
        expected = []
        for start, length, valid, side in ((x, box[2], columns, w), (y, box[3], rows, h)):
            scale = Fraction(side, valid.stop - valid.start)
            first = floor((start - valid.start) * scale)
            last = ceil((start + length - valid.start) * scale)
            expected.append((min(max(first, 0), side), min(max(last, 0), side)))
        (left, right), (top, bottom) = expected
        got = rule.to_frame(box, (h, w, 3))
        assert got == (left, top, right - left, bottom - top)
        assert got[0] >= 0 and got[1] >= 0 and got[0] + got[2] <= w and got[1] + got[3] <= h


def test_the_whole_input_is_the_whole_frame() -> None:
    for mode in ("stretch", "letterbox"):
        assert ResizeRule((256, 320), mode).to_frame((0, 0, 320, 256), (999, 123)) == (0, 0, 123, 999)


def test_a_box_in_the_padding_is_empty() -> None:
    box = ResizeRule((64, 64), "letterbox").to_frame((0, 10, 8, 8), (100, 50))
    assert box[2] == 0


def test_a_bright_spot_comes_back_to_where_it_was() -> None:
    for mode in ("stretch", "letterbox"):
        frame = np.zeros((630, 250, 3), np.uint8)
        frame[400:440, 100:130] = 255
        rule = ResizeRule((320, 256), mode)
        ys, xs = np.nonzero(rule.apply(frame)[..., 0] == 255)
        box = (int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1)
        x, y, w, h = rule.to_frame(box, frame.shape)
        assert abs(x - 100) <= 2 and abs(y - 400) <= 2 and abs(w - 30) <= 4 and abs(h - 40) <= 4


def test_area_scale_is_frame_pixels_per_input_pixel() -> None:
    assert ResizeRule((100, 200)).area_scale((300, 400, 3)) == 6
    assert ResizeRule((64, 64), "letterbox").area_scale((128, 64)) == 4


def test_a_rule_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(OptionError, match="crop"):
        ResizeRule((64, 64), "crop")  # type: ignore[arg-type]
    for size in ((0, 64), (64, -1), (64,), (64, 1.5)):
        with pytest.raises(OptionError, match="size"):
            ResizeRule(size)  # type: ignore[arg-type]


# ---------------------------------------------------------------- the choice


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((630, 250), (640, 256)),  # a tall strip stays one
        ((250, 630), (256, 640)),
        ((512, 384), (352, 256)),
        ((1024, 1024), (256, 256)),
        ((1024, 900), (256, 256)),  # under 1.2 to 1
        ((1080, 1920), (256, 448)),
        ((20_000, 64), (1024, 256)),  # the limit of 4 to 1
        ((64, 64), (256, 256)),
    ],
)
def test_the_median_aspect_decides(shape: tuple[int, int], size: tuple[int, int]) -> None:
    rule, why = choose_resize([shape] * 5)
    text = say(why)
    assert rule == ResizeRule(size, "stretch")
    assert f"{size[0]} x {size[1]}" in text and "stretch" in text and "\n" not in text
    assert all(side % 32 == 0 for side in rule.size)


def test_a_few_odd_images_change_nothing() -> None:
    shapes = [(628 + i % 7, 250) for i in range(95)] + [(100, 900)] * 5
    assert choose_resize(shapes)[0] == ResizeRule((640, 256), "stretch")


def test_mixed_aspects_are_said_and_stretched() -> None:
    rule, why = choose_resize([(100, 250)] * 50 + [(250, 100)] * 51 + [(200, 200)] * 20)
    text = say(why)
    assert rule == ResizeRule((256, 256), "stretch")
    assert "83% of the images differ" in text


def test_the_order_of_the_images_does_not_matter() -> None:
    shapes = [(int(h), int(w)) for h, w in RNG.integers(100, 900, (51, 2))]
    assert choose_resize(shapes) == choose_resize(shapes[::-1])


def test_sides_are_multiples_of_what_the_backbone_wants() -> None:
    for multiple in (8, 14, 16, 32, 48):
        for _ in range(30):
            rule, _text = choose_resize([(int(RNG.integers(8, 4000)), int(RNG.integers(8, 4000)))], multiple)
            assert all(side % multiple == 0 and side > 0 for side in rule.size)


def test_no_images_is_an_error() -> None:
    with pytest.raises(DatasetError):
        choose_resize([])
