"""The input's size from the need: each case by hand, and what must hold of any frames and needs."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgead.errors import DatasetError, OptionError
from edgead.notices import say
from edgead.plugins import registry
from edgead.resize import ResizeRule, choose_resize
from edgead.types import FeatureInfo, InputSpec
from edgead.workbench.recipe import resolve
from edgead.workbench.size_choice import PATCHES, Need, finest_stride, in_pixels, plan, rule_of


@pytest.mark.parametrize(
    ("frame", "smallest", "stride", "size", "code"),
    [
        # 16 pixels of the input are two patches of stride 8: as they are at 20 pixels of 1000 x 800 by 0.8.
        ((800, 1000), 20, 8, (640, 800), "input-need"),
        ((1000, 800), 20, 8, (800, 640), "input-need"),
        # At stride 4 half of that input does.
        ((800, 1000), 20, 4, (320, 416), "input-need"),
        # 256 x 320 shows 50 pixels already (800 / 256 * 16), and 100 all the more.
        ((800, 1000), 50, 8, (256, 320), "input-need-usual"),
        ((800, 1000), 100, 8, (256, 320), "input-need-usual"),
        # Nothing shows 5 pixels at stride 8; the frame's own size is all there is.
        ((800, 1000), 5, 8, (800, 992), "input-need-own"),
        # A strip stays one, past the ratio that is the limit without a need.
        ((160, 2560), 16, 8, (160, 2560), "input-need"),
    ],
)
def test_the_smallest_input_that_shows_the_defect_is_chosen(frame, smallest, stride, size, code):
    chosen = plan([frame] * 9, Need(smallest, stride), 32)
    assert (chosen.size, chosen.windows, chosen.why.code) == (size, 0, code)
    patches = smallest * min(size[0] / frame[0], size[1] / frame[1]) / stride
    assert chosen.why.values["patches"] == pytest.approx(patches)
    assert str(smallest) in say(chosen.why) and f"{size[0]} x {size[1]}" in say(chosen.why)
    assert rule_of(chosen) == ResizeRule(size)


def test_beyond_a_megapixel_a_frame_is_judged_in_windows_and_the_error_has_every_number():
    chosen = plan([(3000, 4000)] * 5, Need(20, 8), 32)
    assert chosen.size == (512, 512) and chosen.scale == pytest.approx(20 / 16)
    scaled = 2400, 3200
    step = 512 - 2 * 64
    assert chosen.windows == math.prod(math.ceil((side - 512) / step) + 1 for side in scaled)
    with pytest.raises(OptionError) as caught:
        rule_of(chosen)
    text = str(caught.value)
    for told in ("20 pixels", "2400 x 3200", "7.7 megapixels", "--windows --scale 1.25"):
        assert told in text
    assert f"about {chosen.windows} windows" in text and "--size 2400x3200" in text


def test_a_window_is_no_larger_than_the_frame_takes():
    chosen = plan([(100, 20000)] * 5, Need(8, 4), 32)
    assert chosen.size == (128, 512) and chosen.windows > 20


def test_a_backbone_of_one_size_gets_it_whole_or_in_windows():
    whole = plan([(600, 800)], Need(60, 8, (224, 224)), 32)
    assert (whole.size, whole.windows) == ((224, 224), 0)
    pieces = plan([(600, 800)], Need(16, 8, (224, 224)), 32)
    assert pieces.size == (224, 224) and pieces.windows > 8


def test_one_large_image_among_many_does_not_decide_and_two_kinds_are_both_covered():
    assert plan([(500, 500)] * 19 + [(4000, 4000)], Need(16, 8)).size == (480, 480)
    mixed = plan([(500, 700)] * 10 + [(700, 500)] * 10, Need(16, 8))
    assert mixed.size == (672, 672)


def test_no_images_are_no_choice():
    with pytest.raises(DatasetError):
        plan([], Need(10, 8))


sides = st.integers(24, 6000)


@settings(max_examples=300, deadline=None)
@given(sides, sides, st.floats(1, 500), st.sampled_from([4, 8, 16]), st.sampled_from([1, 16, 32]))
def test_what_holds_of_any_frame_and_need(height, width, smallest, stride, multiple):
    frame = height, width
    chosen = plan([frame] * 3, Need(smallest, stride), multiple)
    usual = choose_resize([frame], multiple)[0].size
    rows, columns = chosen.size
    assert rows % multiple == 0 and columns % multiple == 0 and chosen.scale >= 1
    assert say(chosen.why).count("{") == 0
    if chosen.windows:
        assert chosen.windows > 1 and rows <= 512 + multiple and columns <= 512 + multiple
        assert smallest / chosen.scale >= min(PATCHES * stride, smallest) * (1 - 1e-9)
        return
    if chosen.size != usual:
        assert rows * columns <= 1 << 20
        assert rows <= max(height, multiple) and columns <= max(width, multiple)
        wanted = max(1.0, smallest / (PATCHES * stride))
        assert (rows - multiple) * wanted < height and (columns - multiple) * wanted < width
    patches = smallest * min(rows / height, columns / width) / stride
    assert chosen.why.values["patches"] == pytest.approx(patches)
    if chosen.why.code != "input-need-own" and min(frame) > 20 * multiple:
        assert patches >= 0.9 * PATCHES


@settings(max_examples=100, deadline=None)
@given(sides, sides, st.floats(2, 100), st.floats(1, 4))
def test_a_smaller_defect_never_gets_a_smaller_input(height, width, smallest, factor):
    fine, coarse = (plan([(height, width)], Need(d, 8), 32) for d in (smallest, smallest * factor))
    assume(not fine.windows and not coarse.windows)
    assume(max(height, width) < 4 * min(height, width))  # a longer strip is squeezed without a need
    assert math.prod(fine.size) >= math.prod(coarse.size)


@pytest.mark.parametrize(
    ("asked", "scale", "pixels"),
    [
        ("12px", None, 12),
        ("12", None, 12),
        (" 12.5 PX ", 0.1, 12.5),
        ("0.3mm", 0.025, 12),
        (".3 mm", 0.025, 12),
        (7, None, 7),
        (7.5, 0.1, 7.5),
    ],
)
def test_pixels_and_millimetres_are_read(asked, scale, pixels):
    assert in_pixels(asked, scale) == pytest.approx(pixels)


@pytest.mark.parametrize(
    ("asked", "scale", "says"),
    [
        ("0.3mm", None, "--mm-per-pixel"),
        ("12cm", 0.1, "12px or 0.3mm"),
        ("", None, "12px or 0.3mm"),
        ("nan", None, "12px or 0.3mm"),
        ("1e3", None, "12px or 0.3mm"),
        ("-3px", None, "12px or 0.3mm"),
        ("9" * 400, None, "12px or 0.3mm"),
        ("0px", None, "1 to"),
        ("0.01mm", 0.025, "another lens"),
        (0.2, None, "another lens"),
        (1e9, None, "1 to"),
    ],
)
def test_what_is_no_size_of_a_defect_is_refused_in_one_line(asked, scale, says):
    with pytest.raises(OptionError, match=says) as caught:
        in_pixels(asked, scale)
    assert "\n" not in str(caught.value)


class Strides:
    """A backbone with maps of these strides."""

    name, provenance, input = "strides", {}, InputSpec()

    def __init__(self, *strides):
        self.feature_info = {f"map{stride}": FeatureInfo(8, stride) for stride in strides}

    def onnx(self, feature_maps, size):
        raise AssertionError("nothing is composed to choose a size")


@pytest.mark.parametrize(
    ("method", "options", "stride"),
    [
        ("patchcore", (), 8),
        ("patchcore", ("layers=map16",), 16),
        ("patchcore", ("layers=map4,map16",), 4),
        ("padim", (), 4),
        ("patchcore", ("layers=missing",), 8),
    ],
)
def test_the_finest_map_that_a_method_takes_counts(method, options, stride):
    assert finest_stride(resolve(method, options=options).scorer, Strides(4, 8, 16)) == stride


def test_a_network_that_is_not_trained_yet_counts_as_most_are():
    scorer = registry().get("scorers", "mkd")
    assert finest_stride(scorer(scorer.Options()), Strides(4, 8, 16)) == 8
