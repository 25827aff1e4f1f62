"""What CutPaste pastes: sizes, places, colours, and nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest

from edgead_plugins.synthesis.cutpaste import AREA, colour_jitter, cut_paste, scar, translated


def image(seed: int = 0, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def bounds(mask: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero(mask)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_a_pasted_patch_is_a_piece_of_the_image_of_the_papers_size():
    given = image()
    before = given.copy()
    for seed in range(60):
        pasted, mask = cut_paste(given, np.random.default_rng(seed), jitter=0.0)
        h, w = bounds(mask)
        assert mask.sum() == h * w and set(np.unique(mask)) <= {0, 1}
        assert AREA[0] * 0.9 < mask.mean() < AREA[1] * 1.05 and 0.27 < h / w < 3.7
        assert np.array_equal(pasted[mask == 0], given[mask == 0])
        y, x = (int(i.min()) for i in np.nonzero(mask))
        piece = pasted[y : y + h, x : x + w].astype(int)
        windows = np.lib.stride_tricks.sliding_window_view(given[..., 0].astype(int), (h, w))
        gap = np.abs(windows - piece[..., 0]).mean((2, 3)).min()
        assert gap < 1.5  # the jitter's round trip through other colour spaces
    assert np.array_equal(given, before)


def test_tall_and_wide_patches_are_equally_likely():
    shapes = [bounds(cut_paste(image(size=(64, 64)), np.random.default_rng(s))[1]) for s in range(200)]
    assert 70 < sum(h > w for h, w in shapes) < 130


def test_a_scar_is_thin_and_turned():
    given, areas, slanted = image(), [], 0
    for seed in range(60):
        pasted, mask = scar(given, np.random.default_rng(seed))
        assert np.array_equal(pasted[mask == 0], given[mask == 0]) and mask.any()
        areas.append(int(mask.sum()))
        h, w = bounds(mask)
        slanted += mask.sum() < h * w
        assert max(h, w) <= np.hypot(16, 25) + 2
    assert min(areas) >= 10 and max(areas) <= 16 * 25 + 40 and slanted > 40


@pytest.mark.parametrize("paste", [cut_paste, scar])
def test_equal_generators_give_equal_images_and_small_ones_do(paste):
    given = image(size=(16, 12))
    one, two = (paste(given, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])
    assert one[0].shape == given.shape and one[0].dtype == np.uint8


def test_jitter_keeps_grey_grey_and_is_bounded():
    grey = np.full((20, 20, 3), 100, np.uint8)
    for seed in range(20):
        found = colour_jitter(grey, np.random.default_rng(seed), 0.1).astype(int)
        assert np.ptp(found, axis=2).max() <= 1 and found.min() >= 88 and found.max() <= 112
    same = colour_jitter(image(), np.random.default_rng(0), 0.0)
    assert np.abs(same.astype(int) - image()).max() <= 1


def test_jitter_turns_the_hue():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 2] = 200
    hues = [colour_jitter(red, np.random.default_rng(s), 0.1)[0, 0] for s in range(10)]
    assert any(h[1] > 20 for h in hues) and any(h[0] > 20 for h in hues)


def test_a_scars_size_follows_its_scale():
    """The longer side of its bounding box: 10 to 25 pixels of 256, turned by 45 degrees at most."""
    given = image(size=(256, 256))
    longest = {
        scale: [max(bounds(scar(given, np.random.default_rng(s), 0.1, scale)[1])) for s in range(80)]
        for scale in (0.5, 1.0, 2.0)
    }
    medians = {scale: np.median(found) for scale, found in longest.items()}
    assert 0.42 < medians[0.5] / medians[1.0] < 0.62 and 1.7 < medians[2.0] / medians[1.0] < 2.3
    assert max(longest[0.5]) <= np.hypot(8, 12.5) + 2


def test_translation_shifts_and_mirrors():
    given = image(size=(40, 60))
    shifts = set()
    for seed in range(60):
        found = translated(given, np.random.default_rng(seed), 0.1)
        padded = np.pad(given, ((4, 4), (6, 6), (0, 0)), mode="reflect")
        windows = [
            (dy, dx)
            for dy in range(-4, 5)
            for dx in range(-6, 7)
            if np.array_equal(padded[4 - dy : 44 - dy, 6 - dx : 66 - dx], found)
        ]
        assert len(windows) == 1
        shifts.add(windows[0])
    assert {dy for dy, _ in shifts} == set(range(-4, 5)) and len({dx for _, dx in shifts}) > 9
    assert np.array_equal(translated(given, np.random.default_rng(0), 0.0), given)
