"""Data sets that are damaged, incomplete, unlabelled or misnamed: one clear line each."""

from __future__ import annotations

import pytest

from edgead.datasets import open_dataset
from edgead.errors import DatasetError, ImageError
from tests.plugins import layout_trees as trees


def refusal(folder, layout=None) -> str:
    with pytest.raises(DatasetError) as caught:
        open_dataset(folder, layout)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_missing_mask_leaves_the_image_without_and_is_told(tmp_path):
    folder = trees.mvtec(tmp_path / "bottle")
    (folder / "ground_truth/crack/001_mask.png").unlink()
    found = open_dataset(folder)
    assert [sample.image.name for sample in found.unmasked] == ["001.png"]
    assert found.notes == (
        "1 of 3 defective images has no mask, crack/001.png for one, so pixel metrics will be undefined",
    )


def test_a_missing_mask_folder_is_told(tmp_path):
    folder = trees.mvtec(tmp_path / "bottle")
    (folder / "ground_truth").rename(tmp_path / "gone")
    found = open_dataset(folder)
    assert len(found.unmasked) == 3
    assert found.notes == ("no masks, so pixel metrics will be undefined",)


@pytest.mark.parametrize("empty", ["test/good", "test/crack", "train/good"])
def test_an_empty_class(empty, tmp_path):
    folder = trees.mvtec(tmp_path / "bottle")
    for file in (folder / empty).iterdir():
        file.unlink()
    assert refusal(folder).startswith(f"{folder / empty}: no images in this folder")


def test_only_private_test_images(tmp_path):
    folder = tmp_path / "can"
    trees.put(folder, "train/good/000_regular.png", "test_private/000_regular.png")
    assert "no labels; add test_public" in refusal(folder)
    assert "give the folder above it" in refusal(folder / "test_private")


def test_two_folders_of_good_images(tmp_path):
    trees.put(tmp_path, "good/a.png", "OK/b.png", "bad/c.png")
    assert "'OK' and 'good' both mean good images" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("candle,test,normal,candle/Data/Images/Normal/9999.JPG,", r"line 2: .*9999\.JPG isn't there"),
        ("candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/gone.png", r"gone\.png isn't there"),
        ("candle,test,normal,../secret.png,", r"line 2: '\.\./secret\.png' isn't a plain path"),
        ("candle,test,normal,candle/../../secret.png,", "isn't a plain path"),
        ("candle,test,normal,/etc/passwd,", "isn't a plain path"),
        ("candle,test,normal,C:/secret.png,", "isn't a plain path"),
        ("candle,test,normal,candle\\secret.png,", "isn't a plain path"),
        ("candle,test,normal,,", "isn't a plain path"),
        ("candle,valid,normal,candle/Data/Images/Normal/0007.JPG,", "the split is 'valid'"),
        (
            "candle,test,Nrmal,candle/Data/Images/Normal/0007.JPG,",
            "the label is 'Nrmal'; it must be normal or",
        ),
        ("candle,train,,candle/Data/Images/Normal/0007.JPG,", "the label is ''"),
        ("candle,test,normal", r"line 2: must have 5 values"),
        ("candle,test,normal,candle/Data/Images/Normal/0007.JPG,,,", r"line 2: must have 5 values"),
        ("pcb1,test,normal,pcb1/Data/Images/Normal/0001.JPG,", "nothing of 'candle' in it, only of pcb1"),
        ("candle,train,normal,candle/Data/Images/Normal/0836.JPG,", "no test images"),
    ],
)
def test_visas_csv(row, said, tmp_path):
    folder = trees.visa(tmp_path / "VisA")
    trees.put(tmp_path, "secret.png")
    trees.write_visa_csv(tmp_path / "VisA", row)
    with pytest.raises(DatasetError, match=said):
        open_dataset(folder)
    assert "\n" not in refusal(folder)


def test_visas_csv_absent_or_of_another_kind(tmp_path):
    folder = trees.visa(tmp_path)
    file = tmp_path / "split_csv" / "1cls.csv"
    trees.write_visa_csv(tmp_path, header="object,split,label,picture,mask")
    assert "no column 'image'" in refusal(folder)
    file.write_bytes(b"\xff\xfe\x00\x01")
    assert "not a CSV file in UTF-8" in refusal(folder)
    file.unlink()
    assert "not there" in refusal(folder)


def test_visas_csv_with_a_byte_order_mark_and_windows_line_ends(tmp_path):
    folder = trees.visa(tmp_path)
    file = tmp_path / "split_csv" / "1cls.csv"
    expected = open_dataset(folder)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert open_dataset(folder) == expected


def test_visas_labels_may_be_in_upper_or_lower_case(tmp_path):
    folder = trees.visa(tmp_path)
    expected = open_dataset(folder)
    rows = [
        row.replace(",train,", ",TRAIN,").replace(",normal,", ",Normal,").replace(",anomaly,", ",ANOMALY,")
        for row in trees.VISA_ROWS
    ]
    trees.write_visa_csv(tmp_path, *rows)
    assert open_dataset(folder) == expected


@pytest.mark.parametrize("other", ["ok", "OK", "normal"])
@pytest.mark.parametrize("part", ["test", "train"])
def test_two_folders_of_good_images_in_mvtecs_form(part, other, tmp_path):
    folder = trees.mvtec(tmp_path / "bottle")
    trees.put(folder, f"{part}/{other}/9.png")
    assert f"'good' and '{other}' both mean good images" in refusal(folder)


def test_visas_defective_training_images_are_left_out(tmp_path):
    folder = trees.visa(tmp_path)
    row = "candle,train,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png"
    trees.write_visa_csv(tmp_path, row, *trees.VISA_ROWS[:4])
    found = open_dataset(folder)
    assert [path.name for path in found.train] == ["0451.JPG", "0836.JPG"]
    assert "1 defective training images are not used" in found.notes


@pytest.mark.parametrize(
    ("make", "mask"), [(trees.kolektor, "kos01/Part2_label.bmp"), (trees.kolektor2, "test/20001_GT.png")]
)
def test_kolektors_image_without_its_mask_is_neither_good_nor_bad(make, mask, tmp_path):
    folder = make(tmp_path)
    (folder / mask).unlink()
    assert "nobody knows whether it's good" in refusal(folder)


def test_kolektors_damaged_mask(tmp_path):
    folder = trees.kolektor(tmp_path)
    (folder / "kos01/Part2_label.bmp").write_bytes(b"BM")
    with pytest.raises(ImageError, match="Part2_label"):
        open_dataset(folder)


def test_all_empty_classes_are_named_at_once(tmp_path):
    folder = trees.mvtec(tmp_path / "bottle")
    for name in ("test/dent", "test/bump"):
        (folder / name).mkdir()
    said = refusal(folder)
    assert f"{folder}/test/dent: no images" in said and f"{folder}/test/bump: no images" in said


def test_masks_that_belong_to_no_image_are_told(tmp_path):
    folder = trees.mvtec(tmp_path / "bottle")
    trees.put(folder, "ground_truth/crack/007_gt.png", "ground_truth/crack/099/a.png")
    trees.put(folder, "ground_truth/a_hole/000_mask.npy", "ground_truth/a_hole/readme.txt")
    found = open_dataset(folder)
    assert [(n.code, n.values["text"].partition(":")[0]) for n in found.notices] == [
        ("layout", "files in ground_truth/a_hole that have an image's name and an unknown ending"),
        ("layout", "masks in ground_truth/crack that belong to no image"),
    ]
    assert "2, 007_gt.png for one" in found.notes[1] and "1, 000_mask.npy for one" in found.notes[0]
