"""Every published layout on a small tree of its own: what is recognised, learnt from, judged and masked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.datasets import Dataset, find_categories, find_samples, open_dataset
from edgead.plugins import registry
from tests.plugins import layout_trees as trees


def listed(found: Dataset) -> list[tuple[str, str, list[str]]]:
    """The test samples as (image, defect, masks), relative to the data set."""
    here = found.folder

    def name(path: Path) -> str:
        return path.relative_to(here).as_posix()

    return [(name(s.image), s.defect, [name(m) for m in s.masks]) for s in found.test]


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.name for path in paths]


TREES = {
    "mvtec": (trees.mvtec, "bottle"),
    "mvtec-loco": (trees.loco, "pushpins"),
    "mvtec-ad-2": (trees.ad2, "can"),
    "mpdd": (trees.mvtec, "bracket_black"),
    "btad": (trees.btad, "01"),
    "kolektor-sdd": (trees.kolektor, "KolektorSDD"),
    "kolektor-sdd2": (trees.kolektor2, "KolektorSDD2"),
}


@pytest.mark.parametrize("layout", TREES)
def test_each_tree_is_recognised_as_its_layout_only(layout, tmp_path):
    make, name = TREES[layout]
    folder = make(tmp_path / name)
    found = open_dataset(folder)
    assert (found.layout, found.name, found.category, found.folder) == (layout, name, None, folder)
    assert find_categories(folder) == ()
    assert found == open_dataset(folder, layout)
    assert found.test == tuple(find_samples(folder))
    goods = [sample.is_good for sample in found.test]
    assert goods == sorted(goods, reverse=True), "the good first"
    assert {True, False} == set(goods)
    assert found.train
    assert not set(found.train) & {sample.image for sample in found.test}
    for file in [*found.train, *found.validation, *(m for s in found.test for m in (s.image, *s.masks))]:
        assert file.is_file()


def test_every_registered_layout_is_tested_here():
    ours = {entry.name for entry in registry().entries("layouts") if entry.distribution == "edgead"}
    assert ours == {*TREES, "visa", "plain"}


def test_mvtec(tmp_path):
    found = open_dataset(trees.mvtec(tmp_path / "bottle"))
    assert names(found.train) == ["000.png", "001.png", "002.png"]
    assert found.validation == ()
    assert found.notes == ()
    assert listed(found) == [
        ("test/good/000.png", "good", []),
        ("test/good/001.png", "good", []),
        ("test/a_hole/000.png", "a_hole", ["ground_truth/a_hole/000_mask.png"]),
        ("test/crack/000.png", "crack", ["ground_truth/crack/000_mask.png"]),
        ("test/crack/001.png", "crack", ["ground_truth/crack/001_mask.png"]),
    ]


def test_visa_after_its_publishers_conversion_is_mvtec(tmp_path):
    found = open_dataset(trees.visa_converted(tmp_path / "candle"))
    assert found.layout == "mvtec"
    assert listed(found)[1] == ("test/bad/000.JPG", "bad", ["ground_truth/bad/000.png"])


def test_loco_has_several_masks_for_an_image_and_a_validation_part(tmp_path):
    found = open_dataset(trees.loco(tmp_path / "pushpins"))
    masks = [f"ground_truth/logical_anomalies/000/{i:03}.png" for i in range(3)]
    assert listed(found)[1:] == [
        ("test/logical_anomalies/000.png", "logical_anomalies", masks),
        (
            "test/structural_anomalies/000.png",
            "structural_anomalies",
            [masks[0].replace("logical", "structural")],
        ),
    ]
    assert names(found.validation) == ["000.png"]
    assert any("saturation" in note for note in found.notes)


def test_ad2_takes_the_public_test_images_and_says_so(tmp_path):
    found = open_dataset(trees.ad2(tmp_path / "can"))
    where = "test_public/ground_truth/bad"
    assert listed(found) == [
        ("test_public/good/000_overexposed.png", "good", []),
        ("test_public/good/000_regular.png", "good", []),
        ("test_public/bad/000_regular.png", "bad", [f"{where}/000_regular_mask.png"]),
        ("test_public/bad/000_shift_1.png", "bad", [f"{where}/000_shift_1_mask.png"]),
    ]
    assert names(found.validation) == ["000_regular.png"]
    assert found.notes == ("test_private and test_private_mixed: no labels, not used",)


def test_btad_masks_may_have_another_ending_than_their_images(tmp_path):
    found = open_dataset(trees.btad(tmp_path / "01"))
    assert names(found.train) == ["0000.bmp", "0001.bmp"]
    assert listed(found) == [
        ("test/ok/0000.bmp", "good", []),
        ("test/ko/0000.bmp", "ko", ["ground_truth/ko/0000.png"]),
        ("test/ko/0001.bmp", "ko", ["ground_truth/ko/0001.bmp"]),
    ]


def test_mpdd_is_told_from_mvtec_by_its_categories_names(tmp_path):
    mpdd, mvtec = trees.mvtec(tmp_path / "tubes"), trees.mvtec(tmp_path / "bottle")
    assert [open_dataset(folder).layout for folder in (mpdd, mvtec)] == ["mpdd", "mvtec"]
    assert listed(open_dataset(mpdd)) == listed(open_dataset(mvtec))


def test_visa_is_divided_by_its_csv(tmp_path):
    found = open_dataset(trees.visa(tmp_path))
    assert (found.layout, found.name) == ("visa", "candle")
    assert names(found.train) == ["0451.JPG", "0836.JPG"]
    assert listed(found) == [
        ("Data/Images/Normal/0007.JPG", "good", []),
        ("Data/Images/Anomaly/000.JPG", "anomaly", ["Data/Masks/Anomaly/000.png"]),
        ("Data/Images/Anomaly/001.JPG", "anomaly", ["Data/Masks/Anomaly/001.png"]),
    ]


def test_visas_category_from_inside_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(trees.visa(tmp_path))
    found = open_dataset(Path())
    assert (found.layout, found.name, len(found.test)) == ("visa", "candle", 3)


def test_kolektor_tests_every_third_good_image_and_every_defective_one(tmp_path):
    found = open_dataset(trees.kolektor(tmp_path / "KolektorSDD"))
    parts = [f"kos0{item}/Part{part}.jpg" for item in (1, 2) for part in range(4)]
    good = [part for part in parts if part not in ("kos01/Part1.jpg", "kos02/Part0.jpg")]
    assert [path.relative_to(found.folder).as_posix() for path in found.train] == good[0:2] + good[3:5]
    assert listed(found) == [
        (good[2], "good", []),
        (good[5], "good", []),
        ("kos01/Part1.jpg", "defect", ["kos01/Part1_label.bmp"]),
        ("kos02/Part0.jpg", "defect", ["kos02/Part0_label.bmp"]),
    ]
    assert any("no official split" in note for note in found.notes)


def test_kolektor2_learns_from_the_good_only_and_skips_the_stray_copies(tmp_path):
    found = open_dataset(trees.kolektor2(tmp_path / "KolektorSDD2"))
    assert names(found.train) == ["10000.png", "10002.png", "10003.png"]
    assert listed(found) == [
        ("test/20001.png", "good", []),
        ("test/20002.png", "good", []),
        ("test/20000.png", "defect", ["test/20000_GT.png"]),
    ]
    assert found.notes == ("1 defective images in train are not used: methods here learn from good ones",)


@pytest.mark.parametrize("good", ["good", "OK", "Normal", "nominal", "pass"])
@pytest.mark.parametrize("where", ["", "test/"])
def test_plain_folders_by_the_names_people_give_them(good, where, tmp_path):
    trees.put(tmp_path, f"{where}{good}/a.jpg", f"{where}{good}/b.jpg", f"{where}NG/c.jpg", "masks/NG/c.png")
    trees.put(tmp_path, f"train/{good}/d.jpg")
    found = open_dataset(tmp_path)
    assert found.layout == ("mvtec" if (good, where) == ("good", "test/") else "plain")
    expected = [(f"{where}{good}/a.jpg", "good", []), (f"{where}{good}/b.jpg", "good", [])]
    masks = ["masks/NG/c.png"] if found.layout == "plain" else []
    assert listed(found) == [*expected, (f"{where}NG/c.jpg", "NG", masks)]
    assert names(found.train) == ["d.jpg"]


def test_a_plain_folder_without_training_images_or_masks_says_so(tmp_path):
    trees.put(tmp_path, "good/a.jpg", "bad/b.jpg")
    found = open_dataset(tmp_path)
    assert found.train == ()
    assert [note.split(",")[0] for note in found.notes] == ["no training images", "no masks"]


def test_the_real_data_sets(shared_data):
    counts = {"cookie": (31, 14, 32), "magnetic_tile": (300, 100, 135), "kolektor_sdd": (200, 100, 52)}
    for name, (train, good, bad) in counts.items():
        found = open_dataset(shared_data / name)
        assert found.layout == "mvtec"
        assert (len(found.train), sum(s.is_good for s in found.test)) == (train, good)
        assert sum(len(s.masks) for s in found.test) == bad
        assert found.unmasked == ()
    assert set(counts) <= set(find_categories(shared_data))


def test_recognition_opens_no_image_and_imports_nothing_heavy(tmp_path):
    folder = trees.mvtec(tmp_path / "bottle")  # every image is an empty file
    code = (
        "import sys; from pathlib import Path; from edgead.datasets import open_dataset\n"
        f"open_dataset(Path({str(folder)!r}))\n"
        "heavy = {'torch', 'openvino', 'onnxruntime', 'onnx', 'spox', 'nncf', 'sklearn', 'pandas', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_page_names_every_layout_and_its_example_works(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text("utf-8")
    for entry in registry().entries("layouts"):
        if entry.distribution == "edgead":
            assert f"`{entry.name}`" in page
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict = {}
    exec(code, names)
    trees.put(tmp_path, "gut/a.png", "schlecht/b.png", "masken/schlecht/b.png", "lernen/c.png")
    layout = names["Line7"]()
    assert layout.recognises(tmp_path)
    assert layout.read(tmp_path).test[1].masks == (tmp_path / "masken/schlecht/b.png",)
    assert layout.read(tmp_path).train == (tmp_path / "lernen/c.png",)


@pytest.mark.parametrize("mask", ["NG/C_MASK.PNG", "ng/c.Png", "Ng/c_Mask.TIFF", "NG/C/0.png"])
def test_masks_are_found_in_upper_and_lower_case(mask, tmp_path):
    trees.put(tmp_path, "good/a.png", "NG/c.jpg", f"ground_truth/{mask}")
    found = open_dataset(tmp_path)
    assert listed(found)[1] == ("NG/c.jpg", "NG", [f"ground_truth/{mask}"])
    assert found.notes == ("no training images, only test images",)


def test_kolektors_masks_may_hold_ones_in_16_bits_and_be_named_in_upper_case(tmp_path):
    folder = trees.kolektor(tmp_path / "KolektorSDD")
    mask = np.zeros((16, 16), np.uint16)
    mask[3:5, 3:5] = 1
    file = folder / "kos01" / "Part1_label.bmp"
    file.unlink()
    file.with_name("Part1_LABEL.BMP").write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    found = open_dataset(folder)
    assert ("kos01/Part1.jpg", "defect", ["kos01/Part1_LABEL.BMP"]) in listed(found)
