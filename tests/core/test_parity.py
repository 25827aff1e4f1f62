"""The parity gate must see each kind of difference, and pass where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.device.calibrate import calibrate
from edgead.device.parity import check_parity, probe_images
from edgead.resize import ResizeRule

IMAGES = [np.full((32, 32, 3), level, np.uint8) for level in (10, 60, 200)]


class Fake:
    """A session whose score is the mean grey level, changed as told."""

    def __init__(self, change=lambda score, anomaly_map: (score, anomaly_map)):
        self.change = change

    def __call__(self, image):
        level = float(image.mean())
        score, anomaly_map = self.change(level, np.full((1, 1, 32, 32), level, np.float32))
        return {"score": np.float32([score]), "anomaly_map": anomaly_map}


def judge(change, threshold=100.0, form="int8"):
    limits = calibrate([threshold], [threshold], 0.5)
    return check_parity(Fake(change), Fake(), IMAGES, limits, form)


def test_equal_sessions_pass():
    report = judge(lambda s, m: (s, m))
    assert report.passed and report.score == report.map == 0 and report.probes == 3


def test_small_differences_pass_and_are_reported():
    report = judge(lambda s, m: (s * 1.039, m * 1.059))
    assert report.passed and report.score == pytest.approx(0.039, rel=1e-3)
    assert judge(lambda s, m: (s * 1.0009, m * 1.0009), form="fp32").passed


@pytest.mark.parametrize(
    "change",
    [
        lambda s, m: (s * 1.041, m),
        lambda s, m: (s, m * 1.061),
        lambda s, m: (float("nan"), m),
        lambda s, m: (s, np.where(np.arange(32) == 5, np.nan, m).astype(np.float32)),
        lambda s, m: (120.0 if s == 60 else s, m),
    ],
    ids=["score", "map", "nan score", "nan pixel", "one image"],
)
def test_each_difference_is_seen(change):
    assert not judge(change).passed


def test_fp32_rounds_a_thousandth_at_most():
    assert not judge(lambda s, m: (s * 1.0011, m), form="fp32").passed
    assert not judge(lambda s, m: (s, m * 1.0011), form="fp32").passed


def test_rounding_where_nothing_else_is_left_is_no_difference():
    """An image that the bank knows by heart scores nearly zero."""
    report = judge(lambda s, m: (s + 0.01, m + np.float32(0.01)), threshold=1e4)
    assert report.passed and 0 < report.score < 1e-5


def test_a_flipped_verdict_far_from_the_threshold_is_counted():
    report = judge(lambda s, m: (210.0 if s == 60 else s, m))
    assert report.flips == 1


def test_probes_hold_every_kind():
    rng = np.random.default_rng(0)
    held_out = [rng.integers(60, 180, (48, 32, 3)).astype(np.uint8) for _ in range(5)]
    probes = probe_images(held_out, ResizeRule((48, 32)), seed=0)
    assert all(p.shape == (48, 32, 3) and p.dtype == np.uint8 for p in probes)
    means = [p.mean() for p in probes]
    assert (
        min(means) == 0
        and max(means) == 255
        and any(0 < m < 30 for m in means)
        and any(220 < m < 255 for m in means)
    )
    assert any((p[..., 0] == p[..., 1]).all() and p.std() > 5 for p in probes), "no grey probe"
    again = probe_images(held_out, ResizeRule((48, 32)), seed=0)
    assert all((a == b).all() for a, b in zip(probes, again, strict=True))
