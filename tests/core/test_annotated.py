"""Annotated defects: found by name, brought to the model's size, and refused where they can't be right."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.cli import main
from edgead.errors import DatasetError, ImageError, UnknownNameError
from edgead.masks import read_mask
from edgead.progress import silent
from edgead.resize import ResizeRule
from edgead.workbench.annotated import covered, find_defects, read_defects
from edgead.workbench.recipe import resolve
from tests.bundles import bad_image, good_image, write_images

RULE = ResizeRule((60, 40))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three defects of 120 x 80, with masks named both ways."""
    write_images(tmp_path / "images", [bad_image(i) for i in range(3)])
    mask = np.zeros((120, 80, 3), np.uint8)
    mask[20:40, 10:50] = 7
    write_images(tmp_path / "masks", [mask] * 3)
    (tmp_path / "masks" / "002.png").rename(tmp_path / "masks" / "002_mask.png")
    return tmp_path


def test_masks_are_found_by_name_and_shrink_with_their_images(folder):
    names = [(image.name, mask.name) for image, mask in find_defects(folder)]
    assert names == [("000.png", "000.png"), ("001.png", "001.png"), ("002.png", "002_mask.png")]
    found = read_defects([folder], RULE, silent)
    assert len(found) == 3
    for image, mask in found:
        assert image.shape == (60, 40, 3) and mask.shape == (60, 40) and mask.dtype == np.uint8
        wanted = np.zeros((60, 40), np.uint8)
        wanted[10:20, 5:25] = 1
        assert np.array_equal(mask, wanted)


def test_a_letterbox_marks_nothing_in_its_border(folder):
    (_, mask), *_ = read_defects([folder], ResizeRule((60, 60), "letterbox"), silent)
    wanted = np.zeros((60, 60), np.uint8)
    wanted[10:20, 15:35] = 1
    assert np.array_equal(mask, wanted)


def test_a_crack_too_fine_for_half_a_pixel_stays(folder):
    crack = np.zeros((120, 80, 3), np.uint8)
    crack[:, 41] = 255
    for file in (folder / "masks").iterdir():
        cv2.imwrite(str(file), crack)
    (_, mask), *_ = read_defects([folder], ResizeRule((24, 16)), silent)
    assert mask.sum() == 24 and mask[:, 8].all()


def test_what_counts_as_covered():
    share = np.array([[0.0, 0.1, 0.2], [0.19, 0.4, 0.05]], np.float32)
    assert covered(share).tolist() == [[0, 0, 1], [0, 1, 0]]
    assert covered(share * 2.5).tolist() == [[0, 0, 1], [0, 1, 0]]
    assert covered(share * 0).sum() == 0


def test_several_folders_are_read_in_order(folder, tmp_path):
    assert len(read_defects([folder, folder], RULE, silent)) == 6
    assert read_defects([], RULE, silent) == ()


def spoil_size(folder):
    cv2.imwrite(str(folder / "masks" / "001.png"), np.full((80, 120), 255, np.uint8))


def spoil_empty(folder):
    cv2.imwrite(str(folder / "masks" / "001.png"), np.zeros((120, 80), np.uint8))


def spoil_missing(folder):
    (folder / "masks" / "001.png").unlink()


def spoil_twice(folder):
    (folder / "masks" / "001_mask.png").write_bytes((folder / "masks" / "001.png").read_bytes())


def spoil_no_masks(folder):
    (folder / "masks").rename(folder / "ground_truth")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_size, r"masks/001\.png: the mask is \(80, 120\), its image .*images/001\.png \(120, 80\)"),
        (spoil_empty, r"masks/001\.png: marks nothing"),
        (spoil_missing, r"images/001\.png: needs one mask, 001\.png, and .*masks has none"),
        (spoil_twice, r"images/001\.png: needs one mask.*holds 001\.png and 001_mask\.png"),
        (spoil_no_masks, r"no folder masks in it"),
    ],
)
def test_what_cant_be_right_is_refused_in_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(DatasetError, match=message) as told:
        read_defects([folder], RULE, silent)
    assert "\n" not in str(told.value)


def test_a_mask_that_is_no_image_is_named(folder):
    (folder / "masks" / "001.png").write_bytes(b"not an image")
    with pytest.raises(ImageError, match=r"001\.png"):
        read_defects([folder], RULE, silent)


def test_a_method_that_learns_from_good_images_alone_says_so(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    write_images(folder / "good", [good_image(i) for i in range(4)])
    assert main(["fit", "patchcore", "good", "--defects", ".", "-q"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: patchcore learns from good images alone: leave --defects out")
    assert not Path("patchcore.edgead").exists()


def test_a_folder_given_twice_is_refused(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["fit", "patchcore", "images", "./images", "-q"]) == 2
    assert "images: given twice" in capsys.readouterr().err


def test_presets_are_the_methods_own():
    assert resolve("dmad", preset="quick", options=["steps=7"]).options["steps"] == 7
    assert resolve("dmad", preset="quick").options != resolve("dmad").options
    published = resolve("dmad", "default", preset="paper")
    assert published.options["steps"] == 5000 and published.size == (224, 224)
    with pytest.raises(UnknownNameError, match="quick"):
        resolve("dmad", preset="quik")
    with pytest.raises(UnknownNameError, match="'quick': known: paper"):
        resolve("patchcore", preset="quick")


def test_masks_are_read_as_they_are_and_found_in_upper_case(folder):
    mask = np.zeros((120, 80), np.uint16)
    mask[20:40, 10:50] = 1
    (folder / "masks" / "000.png").unlink()
    (folder / "masks" / "000_MASK.PNG").write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    (folder / "masks" / "001.png").unlink()
    lossy = cv2.imencode(".jpg", (mask * 255).astype(np.uint8))[1]
    (folder / "masks" / "001.jpg").write_bytes(lossy.tobytes())
    (folder / "masks").rename(folder / "Masks")
    told = []
    found = read_defects([folder], RULE, silent, tell=told.append)
    assert all(np.array_equal(mask, found[2][1]) for _, mask in found)
    assert [(n.code, n.values["count"]) for n in told] == [("mask-lossy", 1)]


def test_evaluation_and_learning_bring_a_mask_to_the_same_pixels(folder):
    crack = np.zeros((120, 80), np.uint8)
    cv2.line(crack, (3, 5), (70, 110), 255, 1)
    for file in (folder / "masks").iterdir():
        cv2.imwrite(str(file), crack)
    (_, mask), *_ = read_defects([folder], ResizeRule((24, 16)), silent)
    judged = read_mask([folder / "masks" / "001.png"], ResizeRule((24, 16)), (120, 80))
    assert np.array_equal(mask, judged) and cv2.connectedComponents(mask)[0] == 2
