"""What is learned from a folder, a data set or a part of one; and what is said about the rest."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.cli import main
from edgead.datasets import open_dataset
from edgead.errors import DatasetError, ImageError
from edgead.folders import left_out, list_images
from edgead.manifest import Manifest
from edgead.masks.beside import find_masks
from edgead.notices import Notice, say
from edgead.progress import silent
from edgead.workbench.gather import gather
from edgead.workbench.good_images import read_good
from tests.bundles import good_image, write_images


def put(*files: Path) -> None:
    """Write a small image, or a mask where the name says so; bytes for what's no image."""
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = good_image(number, (40, 32))
        if any(word in file.stem.lower() for word in ("mask", "gt", "label")):
            picture = np.zeros((40, 32), np.uint8)
            picture[5:9, 5:20] = 255 if number % 2 else 0
        if file.suffix in (".png", ".jpg", ".bmp"):
            cv2.imwrite(str(file), picture)
        else:
            file.write_bytes(b"x")


def names(paths: tuple[Path, ...], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def codes(notices: tuple[Notice, ...]) -> list[str]:
    return [notice.code for notice in notices]


# ---------------------------------------------------------------- folders


def test_images_in_subfolders_and_of_other_kinds_are_told_and_nothing_else_is(tmp_path: Path) -> None:
    good = tmp_path / "good"
    put(*(good / f"{i}.png" for i in range(3)), *(good / "a" / "b" / f"{i}.jpg" for i in range(5)))
    put(good / "c" / "1.png", good / "text" / "notes.txt")
    assert codes(left_out(good)) == ["left-out-subfolders"]
    put(*(good / f"{i}.pgm" for i in range(4)), good / "x.HEIC", good / "raw.npy")
    put(good / ".DS_Store", good / "Thumbs.db", good / "notes.txt", good / "labels.csv", good / ".hidden.gif")
    folders, files = left_out(good)
    assert folders.values == {"folder": "good", "images": 6, "names": "a, c"}
    assert files.values["files"] == 6 and files.values["kinds"] == ".heic .npy .pgm"
    assert say(folders).startswith("6 images in subfolders of good") and str(tmp_path) not in say(files)
    assert "0.pgm, 1.pgm, 2.pgm and 3 more" in say(files)
    assert gather(good).notices == (folders, files)


def test_a_link_that_leads_round_in_a_circle_ends(tmp_path: Path) -> None:
    put(tmp_path / "good" / "1.png", tmp_path / "good" / "sub" / "2.png")
    (tmp_path / "good" / "sub" / "up").symlink_to(tmp_path / "good", target_is_directory=True)
    assert left_out(tmp_path / "good")[0].values["images"] == 1


@pytest.mark.parametrize(
    ("folders", "named"),
    [
        (("train/good", "test/good", "test/bad"), "train/good"),
        (("bad", "good", "scratch"), "good"),
        (("a", "OK"), "OK"),
        (("one", "two"), "one"),
        (("test/good", "test/bad"), "test/good"),
    ],
)
def test_a_folder_of_folders_is_answered_with_the_one_that_is_likely_meant(tmp_path, folders, named):
    put(*(tmp_path / folder / "1.png" for folder in folders))
    with pytest.raises(DatasetError, match=f"subfolder '{named}' has some"):
        list_images(tmp_path, good=True)


def test_a_folder_of_other_kinds_of_image_says_which(tmp_path: Path) -> None:
    put(tmp_path / "1.pgm", tmp_path / "2.tga")
    with pytest.raises(DatasetError, match=r"\.pgm \.tga is not read, known are \.png"):
        list_images(tmp_path)


# ---------------------------------------------------------------- data sets


def mvtec(root: Path, n: int = 4) -> None:
    put(*(root / "train" / "good" / f"{i:03}.png" for i in range(n)))
    put(*(root / "test" / kind / f"{i:03}.png" for i in range(3) for kind in ("good", "crack")))
    put(*(root / "ground_truth" / "crack" / f"{i:03}_mask.png" for i in range(3)))


def test_of_a_data_set_its_training_images_are_learned_and_no_others(tmp_path: Path) -> None:
    mvtec(tmp_path / "nut")
    wanted = [f"train/good/{i:03}.png" for i in range(4)]
    for part in ("", "train", "train/good"):
        assert names(gather(tmp_path / "nut" / part).paths, tmp_path / "nut") == wanted
    (told,) = gather(tmp_path / "nut").notices
    assert told.values == {"folder": "nut", "layout": "mvtec", "images": 4, "others": 9}
    assert "4 training images are learned, the other 9" in say(told)
    assert not any(gather(tmp_path / "nut" / part).notices for part in ("train", "train/good"))


def test_what_lies_around_in_a_data_sets_folders_is_told(tmp_path: Path) -> None:
    mvtec(tmp_path / "nut")
    put(tmp_path / "nut" / "preview.png", tmp_path / "nut" / "train" / "good" / "more" / "1.png")
    found = gather(tmp_path / "nut")
    assert len(found.paths) == 4 and codes(found.notices) == ["dataset-train", "left-out-subfolders"]
    assert found.notices[0].values["others"] == 11


def test_what_is_left_out_of_test_images_is_told_too(tmp_path: Path) -> None:
    mvtec(tmp_path)
    before = codes(open_dataset(tmp_path).notices)
    put(tmp_path / "test" / "crack" / "more" / "1.png", tmp_path / "test" / "good" / "1.pgm")
    after = open_dataset(tmp_path).notices
    assert sorted(codes(after)) == sorted([*before, "left-out-subfolders", "left-out-files"])
    assert {n.values["folder"] for n in after if n.code.startswith("left-out")} == {"good", "crack"}


def kolektor(root: Path) -> None:
    """As KolektorSDD2: every image has a mask, that of every second one marks something."""
    for part, start in (("train", 0), ("test", 100)):
        for i in range(8):
            put(root / part / f"{start + i}.png")
            mask = np.zeros((40, 32), np.uint8)
            mask[:5] = 255 * (i % 2)
            cv2.imwrite(str(root / part / f"{start + i}_GT.png"), mask)


@pytest.mark.parametrize("part", ["", "train"])
def test_of_defects_and_masks_beside_the_good_images_none_is_learned(tmp_path: Path, part: str) -> None:
    kolektor(tmp_path)
    found = gather(tmp_path / part)
    assert names(found.paths, tmp_path) == [f"train/{i}.png" for i in (0, 2, 4, 6)]
    assert codes(found.notices) == ["dataset-part" if part else "dataset-train"]
    assert found.notices[0].values["others"] == (12 if part else 28)


def test_a_faint_mask_of_16_bits_still_marks_a_defect(tmp_path: Path) -> None:
    kolektor(tmp_path)
    cv2.imwrite(str(tmp_path / "train" / "0_GT.png"), np.eye(40, 32, dtype=np.uint16))
    assert names(gather(tmp_path).paths, tmp_path) == [f"train/{i}.png" for i in (2, 4, 6)]


def test_a_data_sets_test_images_are_refused_where_masks_lie_beside_them(tmp_path: Path) -> None:
    kolektor(tmp_path)
    with pytest.raises(DatasetError, match=r"defective test images \(4\) and masks \(4\)"):
        gather(tmp_path / "test")


@pytest.mark.parametrize("ending", ["_mask", "_GT", "_label", "-mask"])
def test_masks_in_a_plain_folder_are_asked_about(tmp_path: Path, ending: str) -> None:
    put(*(tmp_path / f"{i}.png" for i in range(6)), *(tmp_path / f"{i}{ending}.png" for i in range(2)))
    with pytest.raises(DatasetError, match="masks lie beside the images"):
        gather(tmp_path)


def test_a_photo_that_is_only_called_like_a_mask_is_learned(tmp_path: Path) -> None:
    write_images(tmp_path, [good_image(i) for i in range(4)])
    cv2.imwrite(str(tmp_path / "000_label.png"), good_image(9))  # a picture of the part's label
    assert len(gather(tmp_path).paths) == 5


PAIRS = (
    ("exp1_num_{0}.jpg", "exp1_num_{0}.png"),
    ("{0:03}.png", "mask_{0:03}.png"),
    ("{0:03}.png", "GT_{0:03}.png"),
    ("{0:03}.png", "{0:03}.mask.png"),
    ("{0:03}.png", "{0:03}_m.png"),
    ("{0:03}.png", "{0:03}_mask0.png"),
    ("{0:03}.png", "{0:03}_mask_1.png"),
    ("{0:03}.png", "{0:03}-gt.png"),
    ("{0:03}.png", "{0:03}_groundtruth.png"),
    ("{0:03}.png", "{0:03}Mask.png"),
    *(("{0:03}.png", f"{{0:03}}_{word}.png") for word in ("bw", "annotation", "binary", "target", "defect")),
    ("{0:03}.png", "{0:03}.bmp"),
    ("{0:03}.png", "{0:03}_mask.jpg"),
    ("img_{0}.png", "mask_{0}.png"),
    ("{0}_image.png", "{0}_y.png"),
    ("{0}_rgb.png", "{0}.png"),
)


def write_pairs(root: Path, image: str, mask: str, n: int = 12) -> None:
    """Pictures, and for each a mask with a slanted line on it."""
    root.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        cv2.imwrite(str(root / image.format(i)), good_image(i))
        marks = np.zeros((120, 80), np.uint8)
        cv2.line(marks, (10, 20 + i), (60, 50), 255, 3)
        cv2.imwrite(str(root / mask.format(i)), marks)


@pytest.mark.parametrize(("image", "mask"), PAIRS)
def test_masks_beside_images_are_asked_about_whatever_their_names_add(tmp_path, image, mask):
    write_pairs(tmp_path, image, mask)
    with pytest.raises(DatasetError, match="masks lie beside the images") as caught:
        gather(tmp_path)
    assert f"{mask.format(0)} beside {image.format(0)}" in str(caught.value) and "12 in all" in str(
        caught.value
    )


def test_masks_among_a_data_sets_training_images_are_asked_about_too(tmp_path: Path) -> None:
    write_pairs(tmp_path / "train" / "good", "{0}.jpg", "{0}.png")
    write_images(tmp_path / "test" / "good", [good_image(i) for i in range(2)])
    write_images(tmp_path / "test" / "bad", [good_image(i) for i in range(2)])
    with pytest.raises(DatasetError, match="masks lie beside the images"):
        gather(tmp_path)


@pytest.mark.parametrize(
    "other", ["{0:03}_left.png", "left_{0:03}.png", "{0:03}.jpg", "{0:03}_mask.png", "{0}.png"]
)
def test_pictures_with_names_alike_are_learned(tmp_path: Path, other: str) -> None:
    for i in range(12):
        cv2.imwrite(str(tmp_path / f"{i:03}.png"), good_image(i))
        cv2.imwrite(str(tmp_path / other.format(i)), good_image(i + 20))
    assert len(gather(tmp_path).paths) == 24


def test_two_views_of_a_silhouette_are_learned(tmp_path: Path) -> None:
    for i in range(8):
        lit = np.full((120, 80), 255, np.uint8)
        cv2.circle(lit, (40, 60), 20 + i, 0, -1)
        cv2.imwrite(str(tmp_path / f"{i}.png"), lit)
        cv2.imwrite(str(tmp_path / f"{i}_left.png"), lit[:, ::-1])
    assert len(gather(tmp_path).paths) == 16


def test_no_real_set_of_good_images_is_taken_for_masks(shared_data: Path) -> None:
    for name in sorted(path.name for path in shared_data.iterdir() if path.is_dir()):
        files = list_images(shared_data / name / "train" / "good")
        assert gather(shared_data / name / "train" / "good").paths == tuple(files)
        assert not find_masks(files)


def test_a_root_of_several_data_sets_and_a_folder_given_twice_are_answered(tmp_path: Path) -> None:
    for name in ("nut", "bolt"):
        mvtec(tmp_path / name)
    with pytest.raises(DatasetError, match="holds 2 data sets"):
        gather(tmp_path)
    both = gather([tmp_path / "nut", tmp_path / "bolt" / "train" / "good"])
    assert len(both.paths) == 8 and codes(both.notices) == ["dataset-train"]
    with pytest.raises(DatasetError, match="given twice"):
        gather([tmp_path / "nut", tmp_path / "bolt" / ".." / "nut"])


def test_a_folder_of_good_images_beside_defects_is_learned_as_ever(tmp_path: Path) -> None:
    put(*(tmp_path / kind / f"{i}.png" for i in range(3) for kind in ("good", "scratch")))
    assert names(gather(tmp_path / "good").paths, tmp_path) == [f"good/{i}.png" for i in range(3)]
    with pytest.raises(DatasetError, match="subfolder 'good'"):
        gather(tmp_path)


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("ground_truth/crack", "masks (3)"),
        ("test/crack", "defective test images (3)"),
        ("test/crack/000.png", "defective test images (1)"),
    ],
)
def test_a_data_sets_defective_images_and_masks_are_never_learned(tmp_path, monkeypatch, part, what):
    mvtec(tmp_path / "w" / "nut")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    given = Path("../w/nut") / part
    with pytest.raises(DatasetError) as caught:
        gather([given] if given.suffix else given)
    text = str(caught.value)
    assert f"holds {what} of the data set ../w/nut (layout mvtec)" in text and "\n" not in text
    assert text.endswith("give ../w/nut, whose training images are learned") and "train/" not in text


def test_a_folder_that_is_called_from_within_or_by_a_link_is_a_part_all_the_same(tmp_path, monkeypatch):
    mvtec(tmp_path / "nut")
    (tmp_path / "link").symlink_to(tmp_path / "nut" / "test" / "crack", target_is_directory=True)
    monkeypatch.chdir(tmp_path / "nut" / "test" / "crack")
    for folder in (Path(), tmp_path / "link"):
        with pytest.raises(DatasetError, match=f"give {tmp_path / 'nut'}, whose"):
            gather(folder)


def test_good_test_images_are_learned_and_told(tmp_path: Path) -> None:
    mvtec(tmp_path / "nut")
    found = gather(tmp_path / "nut" / "test" / "good")
    assert len(found.paths) == 3 and codes(found.notices) == ["learns-test-images"]
    assert found.notices[0].values == {"images": 3, "folder": "good", "data": "nut", "layout": "mvtec"}
    assert say(found.notices[0]).endswith("give nut, whose training images are learned")
    assert gather(list(found.paths)).notices == found.notices


def test_of_a_plain_folder_without_training_images_the_same_is_said(tmp_path: Path) -> None:
    put(*(tmp_path / "set" / kind / f"{i}.png" for i in range(3) for kind in ("good", "scratch")))
    assert codes(gather(tmp_path / "set" / "good").notices) == ["learns-all-good"]
    (told,) = gather(tmp_path / "set" / "scratch").notices  # which may be the good images of another product
    assert told.code == "learns-beside-good" and say(told).startswith("3 images in scratch are learned as ")
    put(tmp_path / "set" / "masks" / "scratch" / "0_mask.png")
    with pytest.raises(DatasetError, match=r"test images \(3\) of.*; give its folder of good"):
        gather(tmp_path / "set" / "scratch")
    put(tmp_path / "alone" / "good" / "1.png")
    assert gather(tmp_path / "alone" / "good").notices == ()


@pytest.mark.parametrize("part", ["test", "ground_truth"])
def test_a_part_without_images_of_its_own_points_at_the_whole(tmp_path: Path, part: str) -> None:
    mvtec(tmp_path / "nut")
    with pytest.raises(DatasetError, match=f"give {tmp_path / 'nut'}, whose training images are learned$"):
        gather(tmp_path / "nut" / part)


def test_where_any_images_are_wanted_the_subfolders_with_some_are_named(tmp_path: Path) -> None:
    mvtec(tmp_path / "nut")
    with pytest.raises(DatasetError, match="subfolders train/good, test/crack, test/good and 1 more have"):
        list_images(tmp_path / "nut")


# ---------------------------------------------------------------- images unlike the rest


def read(folder: Path) -> list[str]:
    return [say(notice) for notice in read_good(folder, (64, 64), 32, silent).notices]


def test_a_few_images_of_another_depth_colour_or_size_are_named(tmp_path: Path) -> None:
    write_images(tmp_path, [good_image(i) for i in range(20)])
    assert read(tmp_path) == []
    cv2.imwrite(str(tmp_path / "deep.png"), good_image(50)[..., 0].astype(np.uint16) * 257)
    (text,) = read(tmp_path)
    assert text.startswith("1 of 21 images has 16 bits and the others 8: deep.png;")
    tinted = good_image(51)
    tinted[60, 41] = (90, 91, 90)  # one pixel that's off a grid of samples
    cv2.imwrite(str(tmp_path / "tinted.png"), tinted)
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"large{i}.png"), good_image(60 + i, (240, 160)))
    _, colour, size = read(tmp_path)
    assert colour.startswith("1 of 26 images is colour and the others grey: tinted.png;")
    assert size.startswith("4 of 26 images are of another size than 120 x 80 (height x width): large0.png, ")
    assert "large2.png and 1 more" in size


def test_odd_images_of_two_products_are_told_apart_as_briefly_as_can_be(tmp_path: Path) -> None:
    told = []
    for place in ("here", "there/deeper"):
        folders = [tmp_path / place / product / "train" / "good" for product in ("nut", "bolt")]
        for folder in folders:
            write_images(folder, [good_image(i) for i in range(10)])
        write_images(folders[1], [good_image(0, (240, 160))])
        found = read_good(folders, (64, 64), 32, silent).notices
        told.append([say(notice) for notice in found])
    assert told[0] == told[1] and ": bolt/train/good/000.png;" in told[0][0]


def test_grey_images_stored_with_one_or_three_channels_are_alike(tmp_path: Path) -> None:
    write_images(tmp_path, [good_image(i) for i in range(10)])
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"mono{i}.png"), good_image(i)[..., 0])
    assert read(tmp_path) == []


def test_sizes_that_vary_throughout_or_hardly_are_no_news(tmp_path: Path) -> None:
    write_images(tmp_path / "all", [good_image(i, (100 + 9 * i, 140 - 5 * i)) for i in range(12)])
    assert read(tmp_path / "all") == []
    write_images(tmp_path / "near", [good_image(i, (200 + (i == 3), 150)) for i in range(12)])
    assert read(tmp_path / "near") == []


def test_real_images_bring_no_such_news(shared_data: Path) -> None:
    for name in ("cookie", "magnetic_tile", "mvtec_hazelnut_reduced"):
        found = read_good(shared_data / name / "train" / "good", (64, 64), 32, silent)
        assert found.notices == () and found.depth == 8


def test_all_damaged_images_are_named_at_once(tmp_path: Path) -> None:
    write_images(tmp_path / "good", [good_image(i) for i in range(8)])
    for i in (1, 4, 6):
        file = tmp_path / "good" / f"{i:03}.png"
        file.write_bytes(file.read_bytes()[:700])
    for size in (None, (64, 64)):
        with pytest.raises(ImageError, match=r"^3 of 8 images can't be used.*001\.png.*004\.png.*006\.png"):
            read_good(tmp_path / "good", size, 32, silent)
    for file in (tmp_path / "good").iterdir():
        file.write_bytes(b"")
    with pytest.raises(ImageError, match=r"^8 of 8 images .* and 3 more$"):
        read_good(tmp_path / "good", None, 32, silent)


# ---------------------------------------------------------------- as typed


def test_fit_tells_what_it_left_out_in_words_in_json_and_in_the_bundle(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(Path("good"), [good_image(i) for i in range(12)])
    put(Path("good/sub/1.png"), Path("good/2.pgm"))
    words = ["fit", "patchcore", "good", "--size", "96x64", "--holdout", "0.4", "-q"]
    assert main(words) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert main([*words, "--json"]) == 0
    out = capsys.readouterr().out
    document = json.loads(out)
    kept = Manifest.from_json(Path("patchcore.edgead/manifest.json").read_bytes())
    assert [f"note: {notice['text']}" for notice in document["notices"]] == notes
    assert codes(kept.notices) == ["left-out-subfolders", "left-out-files"]
    of_sizes = [notice.code for notice in kept.sizes_found.doubts((96, 64))]
    assert [n["code"] for n in document["notices"]] == [*codes(kept.notices), *of_sizes]
    assert document["images"] == {"fitted_on": 12, "held_out": 5} and document["bundle"] == "patchcore.edgead"
    assert document["threshold"]["score"] == kept.threshold.score
    assert document["input"]["size"] == [96, 64] and document["input"]["depth"] == 8
    assert str(tmp_path) not in out


def test_a_plugins_warnings_are_notices_of_the_bundle(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(Path("good"), [np.roll(good_image(i), 11 * i, axis=1) for i in range(12)])
    assert main(["fit", "padim", "good", "--size", "96x64", "--holdout", "0.4", "-q", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    facts = Manifest.from_json(Path("padim.edgead/manifest.json").read_bytes()).facts
    told = [n["text"] for n in document["notices"] if n["code"] == "plugin" or n["code"].startswith("padim")]
    assert told and facts.get("warnings", told) == told


# ---------------------------------------------------------------- videos


def test_videos_among_images_are_told_by_fit_and_by_run(tmp_path: Path, capsys, compiled) -> None:
    good = tmp_path / "good"
    write_images(good, [good_image(i) for i in range(2)])
    put(good / "b.mp4", good / "C.TS", good / "notes.txt")
    (told,) = left_out(good)
    assert told.code == "left-out-videos" and told.values["files"] == 2
    assert "2 videos in good" in say(told) and "C.TS, b.mp4" in say(told)
    assert gather(good).notices == (told,)
    main(["run", str(compiled("onnx").bundle.path), str(good), "--json", "-q"])
    assert "C.TS, b.mp4" in capsys.readouterr().err
    put(tmp_path / "films" / "b.mp4")
    with pytest.raises(DatasetError, match="it holds videos: give each by itself"):
        list_images(tmp_path / "films")
