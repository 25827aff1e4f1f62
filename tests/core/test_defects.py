from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgead.errors import OptionError, UnknownNameError
from edgead.workbench.defects import KINDS, MIN_DEFECT_SIDE, synthesise


def textured(size, seed=0, grey=False):
    """A noisy product on a darker ground, in one hue or in grey."""
    rng = np.random.default_rng(seed)
    height = size[0]
    texture = cv2.GaussianBlur(rng.normal(0, 40, size), (0, 0), 1.5) + 120
    texture[: height // 5] -= 60
    picture = np.repeat(texture[..., None], 3, axis=2)
    if not grey:
        picture = picture * [0.6, 0.9, 1.1]
    return np.clip(picture + rng.normal(0, 2, (*size, 1)), 0, 255).astype(np.uint8)


def change(image, defective):
    return np.abs(defective.astype(int) - image).max(axis=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(MIN_DEFECT_SIDE, MIN_DEFECT_SIDE), (640, 256), (96, 300), (31 * 7, 203)])
def test_each_kind_changes_the_image_where_the_mask_says(kind, size):
    image = textured(size)
    before = image.copy()
    for seed in range(4):
        defective, mask = synthesise(image, np.random.default_rng(seed), kind)
        assert defective.shape == image.shape and defective.dtype == np.uint8
        assert mask.shape == size and mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 1}
        delta = change(image, defective)
        assert delta.max() >= 3
        assert delta[mask == 1].mean() > 4 * delta[mask == 0].mean()
        assert mask.mean() < 0.4
    assert (image == before).all()


@pytest.mark.parametrize("kind", [*KINDS, None])
def test_the_same_generator_state_gives_the_same_defect_and_another_another(kind):
    image = textured((64, 80))
    first, again, other = (synthesise(image, np.random.default_rng(s), kind) for s in (3, 3, 4))
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_grey_image_stays_grey(kind):
    image = textured((100, 90), grey=True)
    for seed in range(5):
        defective, _ = synthesise(image, np.random.default_rng(seed), kind, strength=2)
        assert (defective == defective[..., :1]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_image_shows_its_defect_too(kind, level):
    image = np.full((48, 64, 3), level, np.uint8)
    for seed in range(5):
        defective, mask = synthesise(image, np.random.default_rng(seed), kind, strength=0.3)
        assert change(image, defective)[mask == 1].max() >= 3


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("smear", "warp")])
def test_strength_grades_the_same_defect(kind):
    image = textured((128, 128))
    weak, strong = (
        np.mean(
            [change(image, synthesise(image, np.random.default_rng(s), kind, f)[0]).sum() for s in range(8)]
        )
        for f in (0.3, 3.0)
    )
    assert strong > 1.5 * weak


def test_contrast_follows_the_image():
    calm, wild = textured((128, 128), grey=True), textured((128, 128), grey=True)
    calm = ((calm.astype(float) - 120) * 0.2 + 120).astype(np.uint8)
    calm_change, wild_change = (
        np.mean([change(i, synthesise(i, np.random.default_rng(s), "stain")[0]).max() for s in range(20)])
        for i in (calm, wild)
    )
    assert wild_change > 1.5 * calm_change


def test_all_kinds_are_drawn_when_none_is_named():
    image = textured((64, 64))
    drawn = {synthesise(image, np.random.default_rng(s))[0].tobytes() for s in range(30)}
    assert len(drawn) == 30


def test_bad_input_is_answered_by_one_line():
    rng = np.random.default_rng(0)
    good = np.zeros((40, 40, 3), np.uint8)
    for image in (good[..., 0], good.astype(np.float32), good[:20], np.zeros((40, 40, 4), np.uint8)):
        with pytest.raises(OptionError) as caught:
            synthesise(image, rng)
        assert "\n" not in str(caught.value)
    for strength in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError):
            synthesise(good, rng, strength=strength)
    with pytest.raises(UnknownNameError, match="scratch"):
        synthesise(good, rng, "scrach")
