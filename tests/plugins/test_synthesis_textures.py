"""Perlin noise against a naive oracle, the masks it makes, and pictures blended into images."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edgead.errors import DatasetError
from edgead_plugins.synthesis.perlin import crack_mask, perlin_mask, perlin_noise
from edgead_plugins.synthesis.textures import Textures, blend, synthetic_defect, turned
from tests.bundles import good_image, write_images


def naive_noise(size, cells, rng):
    """Perlin noise pixel by pixel from the definition."""
    directions = [
        [(math.cos(a), math.sin(a)) for a in row] for row in rng.uniform(0, 2 * np.pi, [c + 1 for c in cells])
    ]
    found = np.zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            v, u = i * cells[0] / size[0], j * cells[1] / size[1]
            y0, x0 = math.floor(v), math.floor(u)
            total = 0.0
            for y in (y0, y0 + 1):
                for x in (x0, x0 + 1):
                    gx, gy = directions[y][x]
                    dy, dx = abs(v - y), abs(u - x)
                    weight = 1.0
                    for d in (dy, dx):
                        weight *= 1 - (6 * d**5 - 15 * d**4 + 10 * d**3)
                    total += weight * (gx * (u - x) + gy * (v - y))
            found[i, j] = math.sqrt(2) * total
    return found


@pytest.mark.parametrize(
    ("size", "cells"), [((24, 40), (4, 2)), ((17, 30), (1, 32)), ((16, 16), (16, 16)), ((8, 9), (32, 1))]
)
def test_noise_equals_the_naive_oracles(size, cells):
    found = perlin_noise(size, cells, np.random.default_rng(3))
    assert found.shape == size and found.dtype == np.float32
    np.testing.assert_allclose(found, naive_noise(size, cells, np.random.default_rng(3)), atol=1e-6)


def test_noise_is_nothing_at_the_nodes_smooth_and_bounded():
    found = perlin_noise((64, 96), (4, 3), np.random.default_rng(0))
    assert np.abs(found[::16, ::32]).max() < 1e-6
    assert 0.3 < np.abs(found).max() <= 1 and np.abs(np.diff(found, axis=0)).max() < 0.25


def test_masks_are_irregular_of_many_scales_and_sometimes_empty():
    masks = [perlin_mask((96, 64), np.random.default_rng(seed)) for seed in range(200)]
    assert all(m.shape == (96, 64) and m.dtype == np.uint8 and set(np.unique(m)) <= {0, 1} for m in masks)
    shares = np.array([m.mean() for m in masks])
    assert 0.03 < shares.mean() < 0.2 and shares.max() < 0.6 and (shares == 0).any()
    pieces = [cv2.connectedComponents(m)[0] - 1 for m in masks if m.any()]
    assert min(pieces) <= 2 and max(pieces) > 20
    assert np.array_equal(masks[5], perlin_mask((96, 64), np.random.default_rng(5)))


def test_cracks_are_thin_winding_and_as_wide_as_the_image_asks_for():
    """Widths by opening with ever larger squares: nothing of a crack is wider than 5 pixels of 256."""
    shares, thick = [], []
    for seed in range(60):
        mask = crack_mask((256, 256), np.random.default_rng(seed))
        assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 1}
        shares.append(mask.mean())
        thick.append(int(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8)).sum()))
    assert 0.002 < np.mean(shares) < 0.08 and np.mean(np.array(shares) > 0) > 0.8
    assert np.mean(thick) < 0.1 * np.mean(shares) * 256**2
    small = np.mean([crack_mask((128, 128), np.random.default_rng(s)).mean() for s in range(60)])
    assert 0.5 < small / np.mean(shares) < 2
    assert np.array_equal(*(crack_mask((64, 48), np.random.default_rng(1)) for _ in range(2)))


def test_the_share_of_cracks_is_heeded():
    image, textures = np.full((64, 64, 3), 90, np.uint8), Textures(None, (64, 64))
    wide = {
        share: np.mean(
            [synthetic_defect(image, textures, np.random.default_rng(s), share)[1].mean() for s in range(40)]
        )
        for share in (0.0, 1.0)
    }
    lines = [crack_mask((64, 64), _after_one(s)) for s in range(40)]
    found = [synthetic_defect(image, textures, np.random.default_rng(s), 1.0)[1] for s in range(40)]
    assert all(np.array_equal(a, b) for a, b in zip(lines, found, strict=True)) and wide[0.0] != wide[1.0]


def _after_one(seed):
    rng = np.random.default_rng(seed)
    rng.random()
    return rng


def test_a_blend_is_the_formulas():
    rng = np.random.default_rng(1)
    image, texture = (rng.integers(0, 256, (12, 10, 3), np.uint8) for _ in range(2))
    mask = (rng.random((12, 10)) < 0.4).astype(np.uint8)
    m = mask[..., None].astype(float)
    wanted = image * (1 - m) + m * (0.3 * texture + 0.7 * image)
    found = blend(image, texture, mask, 0.3)
    assert np.abs(found - wanted).max() <= 0.5001 and np.array_equal(found[mask == 0], image[mask == 0])


def test_an_anomaly_changes_the_image_inside_its_mask_only():
    image, textures = good_image(0, (64, 48)), Textures(None, (64, 48))
    before, changed = image.copy(), 0
    for seed in range(20):
        found, mask = synthetic_defect(image, textures, np.random.default_rng(seed))
        again, _ = synthetic_defect(image, textures, np.random.default_rng(seed))
        assert np.array_equal(found, again) and found.dtype == np.uint8
        assert np.array_equal(found[mask == 0], image[mask == 0])
        changed += bool(mask.any()) and not np.array_equal(found, image)
    assert np.array_equal(image, before) and changed > 10


def test_textures_from_a_folder_are_its_images_resized(tmp_path):
    pictures = [np.full((20, 30, 3), level, np.uint8) for level in (10, 200)]
    write_images(tmp_path / "t", pictures)
    textures = Textures(tmp_path / "t", (16, 24))
    drawn = [textures.draw(np.random.default_rng(s)) for s in range(20)]
    assert {int(d[0, 0, 0]) for d in drawn} == {10, 200} and drawn[0].shape == (16, 24, 3)
    with pytest.raises(DatasetError, match="no such folder"):
        Textures(tmp_path / "absent", (16, 24))


def test_turning():
    square, rng = good_image(2, (64, 64)), np.random.default_rng(0)
    assert turned(square, "none", rng) is square
    small = turned(square, "small", rng)
    assert small.shape == square.shape and np.abs(small.astype(int) - square)[16:48, 16:48].mean() < 20
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[::8] = 255  # brushed across
    upright = 0
    for seed in range(40):
        found = turned(lines, "any", np.random.default_rng(seed))[16:48, 16:48, 0].astype(float)
        upright += found.mean(0).std() > found.mean(1).std()
    assert 8 < upright < 32
    oblong = good_image(2, (64, 48))
    for seed in range(8):
        assert turned(oblong, "any", np.random.default_rng(seed)).shape == oblong.shape
    flat = turned(np.zeros((64, 64, 3), np.uint8), "small", np.random.default_rng(4))
    assert set(np.unique(flat[0])) >= {114}
