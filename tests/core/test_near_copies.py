"""Near copies are found through noise, light, JPEG and shifts, and parts of one product stay apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgead.demo.product import make_product
from edgead.device.near_copies import find_copies
from edgead.images import list_images, read_image
from edgead.resize import ResizeRule, choose_resize
from tests.bundles import good_image


def part(index: int, size: int = 160) -> np.ndarray:
    """A drawn disc with its own scratches and grain, a few pixels off, as the parts of one product."""
    rng = np.random.default_rng(index)
    image = np.full((size, size), 90.0)
    x, y = (int(v) for v in size // 2 + rng.integers(-4, 5, 2))
    cv2.circle(image, (x, y), size // 3, 160.0, -1)
    image += cv2.GaussianBlur(rng.normal(0, 12, image.shape), (0, 0), 1.5)
    image = image * rng.uniform(0.95, 1.05) + rng.normal(0, 2, image.shape)
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def noisy(image, rng):
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def brighter(image, rng):
    return np.clip(image * rng.uniform(0.93, 1.07) + rng.uniform(-5, 5), 0, 255).astype(np.uint8)


def saved_again(image, rng):
    return cv2.imdecode(cv2.imencode(".jpg", image, [1, int(rng.integers(75, 96))])[1], 1)


def moved(image, rng):
    x, y = rng.uniform(-2, 2, 2)
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def photographed(image, rng):
    return saved_again(noisy(brighter(moved(image, rng), rng), rng), rng)


@pytest.mark.parametrize("change", [noisy, brighter, saved_again, moved, photographed])
@pytest.mark.parametrize(("parts", "copies"), [(12, 5), (4, 12)])
def test_copies_of_a_part_are_one_group_however_they_were_made(change, parts, copies):
    rng = np.random.default_rng(1)
    order = rng.permutation(np.repeat(np.arange(parts), copies))
    labels = find_copies([change(part(i), rng) for i in order]).labels
    first = {}  # counted from 0 in the images' order, which is what the labels must be
    assert labels.tolist() == [first.setdefault(int(i), len(first)) for i in order]


def test_a_group_larger_than_the_candidates_of_an_image_is_one():
    rng = np.random.default_rng(2)
    images = [noisy(part(0), rng) for _ in range(40)] + [part(i) for i in range(1, 20)]
    assert np.bincount(find_copies(images).labels).tolist() == [40] + [1] * 19


def test_frames_of_a_slow_video_are_linked_from_one_to_the_next():
    rng = np.random.default_rng(3)
    film = []
    for index in range(6):
        still = part(index, 200)
        film += [noisy(still[20:180, 2 * k : 160 + 2 * k], rng) for k in range(10)]
    assert np.bincount(find_copies(film).labels).tolist() == [10] * 6


@pytest.mark.parametrize("draw", [part, good_image, lambda i: make_product(0, i)])
def test_parts_of_one_product_are_not_taken_for_copies(draw):
    copies = find_copies([draw(i) for i in range(40)])
    assert len(set(copies.labels.tolist())) == 40 and not copies.one_picture


def test_one_picture_is_told_from_one_part_and_few_images_from_none():
    rng = np.random.default_rng(4)
    same = find_copies([part(0)] * 10)
    assert same.one_picture and not same.labels.any() and same.spread == 0
    hardly = find_copies([noisy(part(0), rng) for _ in range(10)])
    assert not hardly.one_picture and 0 < hardly.spread < 2
    assert find_copies([part(0), part(1)]).labels.tolist() == [0, 1]
    assert find_copies([part(0), part(1), part(0)]).labels.tolist() == [0, 1, 0]
    assert find_copies([part(0)]).labels.tolist() == [0]


def test_flat_images_are_no_fault():
    flat = [np.full((64, 64, 3), level, np.uint8) for level in range(0, 200, 10)]
    assert len(set(find_copies(flat).labels.tolist())) == 20


def test_the_same_images_give_the_same_groups():
    images = [make_product(3, i) for i in range(12)]
    assert find_copies(images).labels.tolist() == find_copies(images).labels.tolist()


PHOTOGRAPHED_TWICE = {
    "cookie": 30,  # 000 and 011 show one cookie
    "kolektor_sdd": 190,  # ten surfaces are in it twice
    "mvtec_hazelnut_reduced": 50,
    "mvtec_transistor_reduced": 50,
}


@pytest.mark.parametrize("name", PHOTOGRAPHED_TWICE)
def test_real_parts_stay_apart_and_what_was_photographed_twice_is_found(shared_data, name):
    images = [read_image(path) for path in list_images(shared_data / name / "train" / "good")]
    rule: ResizeRule = choose_resize([image.shape[:2] for image in images], multiple=16)[0]
    labels = find_copies([rule.apply(image) for image in images]).labels
    assert len(set(labels.tolist())) == PHOTOGRAPHED_TWICE[name]
    assert np.bincount(labels).max() <= 2
