"""Generated pictures: seeded, varied, and with defects where they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.types import Size
from edgead_plugins.backbones.generated import (
    DEFECTIVE,
    fields,
    generate,
    generate_good,
    generate_views,
)


def test_a_picture_depends_on_seed_and_index_alone() -> None:
    picture = generate(7, 3, (64, 96))
    generate(7, 2, (64, 96))
    assert np.array_equal(picture, generate(7, 3, (64, 96)))
    assert picture.shape == (64, 96, 3)
    assert picture.dtype == np.uint8
    assert not np.array_equal(picture, generate(8, 3, (64, 96)))
    assert not np.array_equal(picture, generate(7, 4, (64, 96)))


def test_pictures_are_varied() -> None:
    pictures = [generate(0, index, (96, 96)) for index in range(120)]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    grey = [picture.astype(np.float32).mean(axis=2) for picture in pictures]
    brightness = [float(picture.mean()) for picture in grey]
    contrast = [float(picture.std()) for picture in grey]
    # the share of fine detail: how much of the contrast lies between neighbouring pixels
    detail = [float(np.diff(picture, axis=1).std() / (picture.std() + 1)) for picture in grey]
    colour = [float(np.ptp(picture.astype(np.int16), axis=2).mean()) for picture in pictures]
    assert np.ptp(brightness) > 80
    assert np.percentile(contrast, 10) < 12 < 35 < np.percentile(contrast, 90)
    assert np.percentile(detail, 10) < 0.25 < 0.45 < np.percentile(detail, 90)
    assert 0.3 < np.mean(np.array(colour) < 6) < 0.8, "many are grey, some are not"


def test_some_pictures_have_a_defect() -> None:
    differ = [
        not np.array_equal(generate(0, index, (48, 48)), generate_good(0, index, (48, 48)))
        for index in range(100)
    ]
    assert abs(np.mean(differ) - DEFECTIVE) < 0.15


@pytest.mark.parametrize("name", [function.__name__ for function, _ in fields.FIELDS])
def test_a_field_is_in_range_and_not_flat(name: str) -> None:
    field = getattr(fields, name)(np.random.default_rng(3), (64, 80))
    assert field.shape == (64, 80)
    assert field.dtype == np.float32
    assert field.min() >= 0
    assert field.max() <= 1
    assert field.std() > 0.02


def test_how_often_fields_are_drawn_adds_up() -> None:
    assert sum(share for _, share in fields.FIELDS) == pytest.approx(1)


@pytest.mark.parametrize("size", [(16, 16), (17, 250), (300, 40)])
def test_odd_sizes(size: Size) -> None:
    for index in range(12):
        assert generate(2, index, size).shape == (*size, 3)


@pytest.mark.parametrize("arguments", [(-1, 0, (64, 64)), (0, -1, (64, 64)), (0, 0, (15, 64))])
def test_a_picture_that_cannot_be_made_is_refused(arguments: tuple[int, int, Size]) -> None:
    with pytest.raises(ValueError, match="at least"):
        generate(*arguments)


def test_views_of_a_product_share_no_pixel_and_defects_are_where_the_mask_says() -> None:
    good, bad, masks = generate_views(3, 1, n_good=5, n_bad=7, side=64, strength=2)
    assert good.shape == (5, 64, 64, 3)
    assert bad.shape == (7, 64, 64, 3)
    assert masks.shape == (7, 64, 64)
    assert len({view.tobytes() for view in good}) == 5
    for i, (view, mask) in enumerate(zip(bad, masks, strict=True)):
        changed = (view.astype(int) - good[-1 - i % 5]).any(axis=2)
        assert changed.any()
        assert 0 < mask.mean() < 0.6
        assert changed[mask > 0].mean() > 0.3
    again = generate_views(3, 1, n_good=5, n_bad=7, side=64, strength=2)
    assert np.array_equal(bad, again[1])
