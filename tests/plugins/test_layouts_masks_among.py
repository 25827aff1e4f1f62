"""Masks that lie among the test images: taken as masks where it's clear whose they are, refused where not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgead.datasets import open_dataset
from edgead.errors import DatasetError
from tests.bundles import good_image, write_images
from tests.plugins import layout_trees as trees


def tree(root, n=14):
    for folder in ("train/good", "test/good", "test/spot"):
        write_images(root / folder, [good_image(i) for i in range(n)])
    return root


def put_masks(root, name, value=255, n=14):
    for i in range(n):
        trees.put_mask(root / name.format(i), value, 120)


def masked(found):
    return {
        s.image.name: [m.relative_to(found.folder).as_posix() for m in s.masks] for s in found.test if s.masks
    }


@pytest.mark.parametrize(
    "name",
    [
        "test/spot/{0:03}_mask.png",
        "test/spot/GT_{0:03}.png",
        "test/spot/{0:03}.bmp",
        "test/spot_masks/{0:03}.png",
        "test/Mask_spot/{0:03}_m.png",
        "test/spot_xyz/{0:03}.png",
    ],
)
@pytest.mark.parametrize("good", ["good", "ok"])
def test_they_are_the_images_masks_and_no_defects(name, good, tmp_path):
    tree(tmp_path)
    (tmp_path / "test" / "good").rename(tmp_path / "test" / good)
    put_masks(tmp_path, name)
    found = open_dataset(tmp_path)
    assert found.layout == ("mvtec" if good == "good" else "plain")
    assert [s.defect for s in found.test] == ["good"] * 14 + ["spot"] * 14
    assert masked(found) == {f"{i:03}.png": [name.format(i)] for i in range(14)}
    (note,) = [note for note in found.notes if "among the test images" in note]
    assert note.startswith("14 masks") and name.format(0).split("/", 1)[1] in note


def test_several_masks_of_an_image_are_all_its_own(tmp_path):
    put_masks(tree(tmp_path), "test/spot/{0:03}_mask_1.png")
    put_masks(tmp_path, "test/spot/{0:03}_mask_2.png")
    assert all(len(masks) == 2 for masks in masked(open_dataset(tmp_path)).values())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("test/masks/{0:03}.png", "holds masks, not images of a defect"),
        ("test/spot_masks/x{0}y.png", "which image x0y.png belongs to isn't clear"),
        ("test/good/{0:03}_mask.png", "mark defects lie beside good images"),
    ],
)
def test_what_is_unclear_is_refused(name, said, tmp_path):
    put_masks(tree(tmp_path), name)
    with pytest.raises(DatasetError, match=said):
        open_dataset(tmp_path, "mvtec")


def test_a_mask_of_two_images_or_a_second_mask_is_refused(tmp_path):
    put_masks(tree(tmp_path), "test/spot/{0:03}_mask.png")
    put_masks(tmp_path, "ground_truth/spot/{0:03}_mask.png", n=1)
    with pytest.raises(DatasetError, match=r"000\.png: has two masks"):
        open_dataset(tmp_path)
    for i in range(14):
        cv2.imwrite(str(tmp_path / "test" / "spot" / f"{i:03}.jpg"), good_image(i))
    with pytest.raises(DatasetError, match="which image they belong to isn't clear"):
        open_dataset(tmp_path)


def test_empty_masks_of_good_images_are_left_out(tmp_path):
    put_masks(tree(tmp_path), "test/good/{0:03}_mask.png", value=0)
    found = open_dataset(tmp_path)
    assert [s.defect for s in found.test].count("good") == 14 and not masked(found)
    assert any("14 masks among the test images in good" in note for note in found.notes)


def test_pictures_with_names_alike_stay_images(tmp_path):
    write_images(tree(tmp_path) / "test" / "spot_large", [good_image(i) for i in range(3)])
    for i in range(14):
        cv2.imwrite(str(tmp_path / "test" / "spot" / f"{i:03}_left.png"), good_image(i + 50))
    assert [s.defect for s in open_dataset(tmp_path).test].count("spot") == 28


def test_silhouettes_stay_images(tmp_path):
    for folder in ("good", "spot", "spot_large"):
        for i in range(3):
            picture = np.full((120, 80), 255, np.uint8)
            cv2.circle(picture, (40, 60), 20 + i, 0, -1)
            (tmp_path / "test" / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "test" / folder / f"{i}.png"), picture)
    assert len(open_dataset(tmp_path).test) == 9
