"""Masks at the model's size: by area, and no region is lost or broken."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edgead.masks import scale, to_input
from edgead.resize import ResizeRule


def pieces(mask: np.ndarray) -> int:
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


def by_area(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The covered share of every pixel, by repeating pixels until both grids fit, in whole numbers."""
    (h, w), (rows, columns) = mask.shape, size
    high, wide = math.lcm(h, rows), math.lcm(w, columns)
    fine = np.repeat(np.repeat(mask.astype(np.uint8), high // h, axis=0), wide // w, axis=1)
    return fine.reshape(rows, high // rows, columns, wide // columns).mean(axis=(1, 3))


@pytest.mark.parametrize("size", [(20, 15), (17, 23), (60, 45), (64, 31), (90, 100)])
def test_thick_regions_come_out_by_area_alone(size) -> None:
    mask = np.zeros((60, 45), np.uint8)
    cv2.circle(mask, (15, 17), 11, 1, -1)
    cv2.rectangle(mask, (24, 35), (40, 55), 1, -1)
    found = scale(mask.astype(bool), size)
    assert np.array_equal(found.marked, by_area(mask, size) >= 0.5)
    assert (found.regions, found.fine, found.joined) == (2, 0, 0)


def line(thickness: int) -> np.ndarray:
    mask = np.zeros((1600, 1600), np.uint8)
    cv2.line(mask, (100, 130), (1500, 1100), 1, thickness)
    return mask.astype(bool)


@pytest.mark.parametrize("thickness", [1, 3, 6, 9])
def test_a_thin_line_stays_one_line_as_long_as_it_was(thickness: int) -> None:
    mask = line(thickness)
    bilinear = cv2.resize(mask.astype(np.float32), (160, 160), interpolation=cv2.INTER_LINEAR) >= 0.5
    found = scale(mask, (160, 160))
    assert pieces(found.marked) == 1 and found.regions == 1 and found.joined == 0
    assert found.fine == (thickness < 9)
    rows, columns = np.nonzero(found.marked)
    assert rows.min() <= 13 and rows.max() >= 109 and columns.min() <= 10 and columns.max() >= 149
    assert found.marked.sum() <= 1.35 * max(mask.sum() / 100, 141)
    if thickness == 6:
        assert pieces(bilinear) > 10, "the rule that it replaces"


def test_small_squares_keep_a_pixel_each_where_they_are() -> None:
    rng = np.random.default_rng(0)
    for row, column in rng.integers(0, 1596, (60, 2)):
        mask = np.zeros((1600, 1600), bool)
        mask[row : row + 4, column : column + 4] = True
        found = scale(mask, (160, 160))
        places = np.argwhere(found.marked)
        assert 1 <= len(places) <= 4
        assert (np.abs(10 * places + 5 - (row + 2, column + 2)) <= 7).all()


def test_a_tail_stays_with_what_it_hangs_on() -> None:
    mask = np.zeros((400, 400), np.uint8)
    cv2.circle(mask, (80, 200), 50, 1, -1)
    mask[199:201, 120:390] = 1
    found = scale(mask.astype(bool), (40, 40))
    assert pieces(found.marked) == 1 and found.marked[:, 38].any()
    blob = by_area(mask, (40, 40))[:, :12] >= 0.5
    assert np.array_equal(found.marked[:, :12], blob), "what is thick isn't made thicker"


@pytest.mark.parametrize("seed", range(12))
def test_every_region_is_there_and_in_one_piece(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, size = rng.integers(20, 90, 2), tuple(rng.integers(4, 60, 2).tolist())
    smooth = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), 0.5 + seed / 6)
    mask = smooth > np.quantile(smooth, 0.9)
    found = scale(mask, size)
    share = by_area(mask, size)
    assert found.marked[share >= 0.5].all() and not found.marked[share == 0].any()
    labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1]
    assert found.regions == labels.max() and found.joined == found.regions - pieces(found.marked) >= 0
    for region in range(1, labels.max() + 1):
        assert (found.marked & (by_area(labels == region, size) > 0)).any()
        assert pieces(scale(labels == region, size).marked) == 1


def test_regions_that_run_together_are_counted() -> None:
    mask = np.zeros((100, 100), bool)
    mask[10:20, 10:20] = mask[10:20, 22:30] = mask[70:80, 70:80] = True
    found = scale(mask, (10, 10))
    assert (found.regions, found.joined, pieces(found.marked)) == (3, 1, 2)


def test_at_its_own_size_a_mask_is_itself_and_none_is_none() -> None:
    mask = np.random.default_rng(0).random((30, 20)) < 0.3
    assert np.array_equal(scale(mask, (30, 20)).marked, mask)
    empty = scale(np.zeros((30, 20), bool), (7, 9))
    assert not empty.marked.any() and empty.marked.shape == (7, 9) and empty.regions == 0


def test_a_letterbox_has_nothing_in_its_border() -> None:
    found = to_input(np.ones((120, 80), bool), ResizeRule((60, 60), "letterbox"))
    wanted = np.zeros((60, 60), bool)
    wanted[:, 10:50] = True
    assert np.array_equal(found.marked, wanted)
