"""False regions are counted as a plain flood fill counts; small ones leave mask and picture alike."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgead
from edgead.areas import count_areas, without_small
from edgead.bundle import Note, add_revision, read_bundle
from edgead.device.false_regions import poisson_upper, region_rate
from edgead.heatmap import overlay
from tests.mean_bundle import HEIGHT, WIDTH, write_mean_bundle

scipy_ndimage = pytest.importorskip("scipy.ndimage", reason="counts for comparison")


def areas(mask: np.ndarray) -> list[int]:
    """Sizes of the 8-connected areas, by a flood fill in plain Python."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    sizes = []
    while left:
        waiting, size = [left.pop()], 0
        while waiting:
            y, x = waiting.pop()
            size += 1
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            waiting.extend(near)
        sizes.append(size)
    return sizes


def maps(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [cv2.GaussianBlur(rng.normal(size=(24, 30)).astype(np.float32), (0, 0), 1.2) for _ in range(count)]


@pytest.mark.parametrize("smallest", [1, 2, 5, 12, 1000])
def test_areas_are_those_of_a_flood_fill(smallest: int) -> None:
    for each in maps(4):
        for threshold in (-1.0, 0.0, 0.2, 0.5, 9.0):
            mask = each > threshold
            assert count_areas(mask, smallest) == sum(size >= smallest for size in areas(mask))
            kept = without_small(mask, smallest)
            assert sorted(areas(kept)) == sorted(size for size in areas(mask) if size >= smallest)
            assert not (kept & ~mask).any()


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3, 0.8])
@pytest.mark.parametrize("smallest", [4, 9])
def test_the_threshold_leaves_as_few_regions_as_asked(rate: float, smallest: int) -> None:
    good = maps(60, seed=1)
    found = region_rate(good, rate, smallest)

    def counted(threshold: float) -> int:
        structure = np.ones((3, 3))
        total = 0
        for each in good:
            labels, _ = scipy_ndimage.label(each > np.float32(threshold), structure)
            total += int((np.bincount(labels.ravel())[1:] >= smallest).sum())
        return total

    allowed = max(0, math.floor(rate * 61 + 1e-9) - 1)
    assert found.regions == counted(found.threshold) <= allowed <= rate * 60
    assert counted(found.threshold * (1 - 2e-4)) > allowed  # and lower, there are too many
    assert found.expected == pytest.approx((allowed + 1) / 61)
    assert found.is_shown == (found.expected <= rate + 1e-12)
    higher = np.linspace(found.threshold, max(float(m.max()) for m in good), 25)
    assert all(counted(t) <= allowed for t in higher)


def test_several_frames_of_a_part_count_once_by_the_worst() -> None:
    one = np.zeros((10, 10), np.float32)
    two = one.copy()
    one[:2, :2] = one[6:8, 6:8] = 3
    two[:2, :2] = 3
    groups = [0, 0, 1, 2, 3]
    # four parts; at 0.8 a frame floor(0.8 * 5) - 1 = 3 regions may be left: two of the first and one
    found = region_rate([one, two, two, one, np.zeros((10, 10), np.float32)], 0.8, 4, groups)
    assert found.frames == 4 and found.threshold == 3.0
    alike = region_rate([one, two, two, np.zeros((10, 10), np.float32)], 0.8, 4, [0, 0, 1, 2])
    assert alike.frames == 3 and alike.regions <= 2


def test_too_few_frames_are_said() -> None:
    found = region_rate(maps(20), 0.01, 4)
    assert not found.is_shown and found.regions == 0 and found.expected == pytest.approx(1 / 21)
    assert "0 regions in 20 frames" in str(found.notice())


@pytest.mark.parametrize("events", [0, 1, 7, 300])
def test_the_upper_bound_is_poissons(events: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert poisson_upper(events) == pytest.approx(stats.chi2.ppf(0.95, 2 * (events + 1)) / 2, rel=1e-6)


# ---------------------------------------------------------------- in the detector


def spots(path: Path, smallest_area: int) -> edgead.Prediction:
    """A frame with a spot of 6 x 6 and one of 2 x 3 pixels of the map."""
    bundle = read_bundle(write_mean_bundle(path))
    changed = replace(bundle.manifest.threshold, smallest_area=smallest_area)
    add_revision(bundle, {"default": changed}, Note())
    frame = np.full((HEIGHT, WIDTH, 3), 50, np.uint8)
    frame[4:10, 4:10] = 180
    frame[20:22, 30:33] = 200
    return edgead.load(path, threshold=120.0)(frame)


def test_small_areas_leave_mask_and_regions_and_not_the_verdict(tmp_path: Path) -> None:
    whole, large, none = (spots(tmp_path / f"{n}.edgead", n) for n in (0, 7, 37))
    assert len(whole.regions) == 2 and whole.mask.sum() == 42
    assert [r.area for r in large.regions] == [36] and large.mask.sum() == 36
    assert not none.mask.any() and none.regions == ()
    for prediction in (whole, large, none):
        assert prediction.is_anomalous and prediction.score == 200.0
        assert prediction.anomaly_map.max() == 200.0


def test_the_picture_outlines_what_is_in_the_mask(tmp_path: Path) -> None:
    frame = np.full((2 * HEIGHT, 2 * WIDTH, 3), 50, np.uint8)
    drawn = {n: spots(tmp_path / f"{n}.edgead", n) for n in (0, 7)}
    outlined = {}
    for n, prediction in drawn.items():
        arguments = (frame, prediction.anomaly_map, prediction.placement.pixel_threshold)
        without = overlay(*arguments, outline=False)
        with_outline = overlay(*arguments, smallest_area=n)
        outlined[n] = (with_outline != without).any(2)
    assert outlined[0][38:46, 58:68].any() and not outlined[7][36:48, 56:70].any()
    assert (outlined[0][:30, :30] == outlined[7][:30, :30]).all() and outlined[7][:30, :30].any()
