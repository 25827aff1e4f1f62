"""Recognition, categories, and layouts that a third party's plugin registers; the command that shows them."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.cli import main
from edgead.datasets import find_categories, find_samples, open_dataset
from edgead.errors import DatasetError, PluginError, UnknownNameError
from edgead.masks import read_mask
from edgead.notices import say
from edgead.plugins import registry
from edgead.resize import ResizeRule
from tests.plugins import layout_trees as trees

THEIRS = '''
from pathlib import Path
from edgead.hookspecs import hookimpl
from edgead.types import Sample, Split

class Flat:
    """DEFECT-NNN.png, all in one folder."""
    refines = {refines}
    def recognises(self, folder):
        {recognises}
    def read(self, folder):
        files = sorted(folder.glob("*.png"))
        test = [Sample(file, file.name.split("-")[0]) for file in files]
        return Split(train=(), test=tuple(test), notes=("flat",))

@hookimpl
def edgead_register_layouts(register):
    register("flat", Flat, "one folder for all")
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """``install(recognises, refines)``: a distribution acme with the layout flat, really on sys.path."""
    site = tmp_path / "site"
    info = site / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgead]\nmain = acme_layouts_module\n")
    monkeypatch.syspath_prepend(str(site))

    def write(recognises: str = "return (folder / 'flat.txt').is_file()", refines: tuple = ()) -> None:
        source = THEIRS.format(recognises=recognises, refines=refines)
        (site / "acme_layouts_module.py").write_text(source)
        sys.modules.pop("acme_layouts_module", None)
        importlib.invalidate_caches()
        registry.cache_clear()

    yield write
    monkeypatch.undo()
    sys.modules.pop("acme_layouts_module", None)
    registry.cache_clear()


def refusal(folder: Path, layout: str | None = None) -> str:
    with pytest.raises(DatasetError) as caught:
        open_dataset(folder, layout)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- a third party's layout


def test_a_plugins_layout_is_recognised_and_read(install, tmp_path, capsys):
    install()
    trees.put(tmp_path / "set", "flat.txt", "dent-1.png", "good-1.png")
    found = open_dataset(tmp_path / "set")
    assert (found.layout, [s.defect for s in found.test]) == ("flat", ["good", "dent"])
    assert "flat" in found.notes
    assert main(["datasets"]) == 0
    assert any(
        line.split()[0] == "flat" and line.endswith("acme") for line in capsys.readouterr().out.splitlines()
    )
    assert main(["plugins"]) == 0
    assert "layouts: flat" in capsys.readouterr().out


def test_a_stricter_form_counts_and_equals_must_be_chosen_between(install, tmp_path):
    folder = trees.mvtec(tmp_path / "bottle")
    install("return (folder / 'test' / 'good').is_dir()", ("mvtec",))
    assert open_dataset(folder, "mvtec").test
    assert refusal(folder) == f"{folder}: no test images; is the data set complete?"  # flat's, which counts
    install("return (folder / 'test' / 'good').is_dir()")
    assert "fits the layouts flat and mvtec; choose with --layout flat or --layout mvtec" in refusal(folder)
    assert open_dataset(folder, "mvtec").layout == "mvtec"


def test_strictness_reaches_over_a_layout_that_does_not_fit(install, tmp_path):
    trees.put(tmp_path / "set", "flat.txt", "good/a.png", "bad/b.png", "good-1.png")
    install(refines=("btad",))  # which refines plain, and isn't what this folder is
    assert open_dataset(tmp_path / "set").layout == "flat"


def test_a_failing_plugin_is_named(install, tmp_path):
    install("return 1 / 0")
    folder = trees.mvtec(tmp_path / "bottle")
    with pytest.raises(PluginError, match=r"acme 1\.0: layout 'flat' fails .*ZeroDivisionError.*--layout"):
        open_dataset(folder)
    assert open_dataset(folder, "mvtec").layout == "mvtec"


# ---------------------------------------------------------------- what the user points at


def test_an_unknown_layout_gets_the_near_matches(tmp_path):
    with pytest.raises(UnknownNameError, match="no layout named 'mvtek': did you mean mvtec"):
        find_samples(trees.mvtec(tmp_path), "mvtek")


def test_a_layout_that_does_not_fit_says_which_does(tmp_path):
    folder = trees.mvtec(tmp_path / "bottle")
    assert refusal(folder, "visa") == f"{folder}: not in the layout visa; it looks like mvtec"


def test_a_root_lists_its_categories(tmp_path):
    trees.mvtec(tmp_path / "bottle")
    trees.mvtec(tmp_path / "cable")
    trees.put(tmp_path, "readme.txt", ".cache/test/good/a.png")
    assert find_categories(tmp_path) == ("bottle", "cable")
    said = refusal(tmp_path)
    assert f"holds 2 data sets; give one of them, for instance {tmp_path / 'bottle'}" in said
    assert "(there are bottle, cable)" in said
    found = open_dataset(tmp_path, category="cable")
    assert (found.name, found.category, found.folder) == (
        f"{tmp_path.name}/cable",
        "cable",
        tmp_path / "cable",
    )
    with pytest.raises(UnknownNameError, match="no category named 'bottel': did you mean bottle"):
        open_dataset(tmp_path, category="bottel")
    with pytest.raises(DatasetError, match="is one data set"):
        open_dataset(tmp_path / "bottle", category="test")
    with pytest.raises(UnknownNameError, match="no category named"):
        open_dataset(tmp_path, category="../elsewhere")


def test_a_root_of_every_published_form(tmp_path):
    trees.visa(tmp_path / "VisA")
    trees.btad(tmp_path / "BTAD" / "01")
    trees.btad(tmp_path / "BTAD" / "02")
    trees.ad2(tmp_path / "AD2" / "can")
    assert find_categories(tmp_path / "VisA") == ("candle", "pcb1")
    assert find_categories(tmp_path / "BTAD") == ("01", "02")
    assert find_categories(tmp_path / "BTAD", "btad") == ("01", "02")
    assert find_categories(tmp_path / "AD2") == ("can",)
    assert open_dataset(tmp_path / "VisA", category="pcb1").train[0].name == "0000.JPG"
    assert f"one folder further down; give {tmp_path / 'AD2'}" in refusal(tmp_path)


def test_a_part_of_a_data_set_points_at_the_whole(tmp_path):
    folder = trees.mvtec(tmp_path / "bottle")
    assert f"give the folder above it, {folder}" in refusal(folder / "ground_truth")
    item = trees.kolektor(tmp_path / "KolektorSDD") / "kos01"
    assert f"layout kolektor-sdd; give the folder above it, {item.parent}" in refusal(item)


def test_a_part_deep_inside_points_at_the_outermost_as_it_was_typed(tmp_path, monkeypatch):
    trees.mvtec(tmp_path / "w" / "bottle")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for part in ("test/crack", "train/good", "ground_truth/crack", "ground_truth"):
        said = refusal(Path("../w/bottle") / part)
        assert said.endswith("in the layout mvtec; give the folder above it, ../w/bottle")


def test_test_images_alone_whose_masks_lie_in_the_folder_above_are_told(tmp_path):
    folder = trees.mvtec(tmp_path / "bottle")
    (told,) = [n for n in open_dataset(folder / "test").notices if n.code == "masks-above"]
    assert told.values == {"folder": str(folder), "layout": "mvtec"}
    shutil.rmtree(folder / "ground_truth")
    assert "masks-above" not in [n.code for n in open_dataset(folder / "test").notices]


def test_a_category_without_its_test_images_is_no_root(tmp_path):
    trees.put(tmp_path / "bottle", "train/good/a.png")  # train, by itself, is a plain folder of good images
    assert "in no known layout" in refusal(tmp_path / "bottle")
    assert open_dataset(tmp_path / "bottle" / "train").notes[-1].startswith("no defective test images")


def test_nothing_that_can_be_read(tmp_path):
    assert "no such folder" in refusal(tmp_path / "absent")
    trees.put(tmp_path, "file", "pile/a.png", "empty/x/y.txt")
    assert "a file, not a folder" in refusal(tmp_path / "file")
    assert "images without labels" in refusal(tmp_path / "pile")
    assert "in no known layout (btad, " in refusal(tmp_path / "empty")


# ---------------------------------------------------------------- masks


def test_several_masks_are_united_and_any_value_counts(tmp_path):
    masks = []
    for place, value in enumerate((1, 7, 255)):
        mask = np.zeros((20, 30), np.uint8)
        mask[:, place * 8 : place * 8 + 4] = value
        masks.append(tmp_path / f"{place}.png")
        cv2.imwrite(str(masks[-1]), mask)
    rule = ResizeRule((20, 30), "stretch")
    found = read_mask(masks, rule, (20, 30))
    assert found.shape == (20, 30)
    assert np.flatnonzero(found.any(axis=0)).tolist() == [c + d for c in (0, 8, 16) for d in range(4)]
    assert found.all(axis=0).sum() == 12
    assert not read_mask([], rule, (20, 30)).any()
    with pytest.raises(DatasetError, match="must be the same size"):
        read_mask(masks, rule, (20, 31))


# ---------------------------------------------------------------- the command


def test_the_command_shows_one_data_set(tmp_path, capsys):
    folder = trees.mvtec(tmp_path / "bottle")
    (folder / "ground_truth/crack/001_mask.png").unlink()
    assert main(["datasets", str(folder)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:6] == [
        "data set bottle",
        "layout mvtec",
        "train 3 good",
        "test 2 good, 3 defective",
        "a_hole 1, 1 with a mask",
        "crack 2, 1 with a mask",
    ]
    assert lines[6].startswith("note: 1 of 3 defective images has no mask")


def test_the_command_as_json(tmp_path, capsys):
    trees.mvtec(tmp_path / "bottle")
    trees.mvtec(tmp_path / "cable")
    (tmp_path / "cable/test/crack/000.png").unlink()
    (tmp_path / "cable/test/crack/001.png").unlink()
    assert main(["datasets", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    bottle, cable = document["datasets"]
    assert (bottle["category"], bottle["layout"], bottle["good"], bottle["defective"]) == (
        "bottle",
        "mvtec",
        2,
        3,
    )
    assert bottle["defects"] == {
        "a_hole": {"images": 1, "with_mask": 1},
        "crack": {"images": 2, "with_mask": 2},
    }
    assert cable["category"] == "cable"
    assert "no images in this folder" in cable["problem"]
    assert main(["datasets", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "bottle" in out
    assert "problem: " in out


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    assert main(["datasets", str(tmp_path)]) == 2
    assert main(["datasets", str(tmp_path), "--layout", "mvtek"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_eval_takes_a_layout(tmp_path, capsys):
    assert main(["eval", "absent", str(trees.mvtec(tmp_path)), "--layout", "btad"]) == 2
    assert "not in the layout btad; it looks like mvtec" in capsys.readouterr().err


def test_the_training_images_of_a_data_set_are_told_as_such(tmp_path):
    """``edgead eval BUNDLE D/train``: figures that look like a promise, on what was learned."""
    root = tmp_path / "nut"
    for name in ("train/good/0.png", "train/good/1.png", "test/good/0.png", "test/blob/0.png"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((16, 16, 3), 90, np.uint8))
    told = {notice.code: say(notice) for notice in open_dataset(root / "train").notices}
    assert "2 of these images are training images" in told["judges-train-images"]
    assert str(root) in told["judges-train-images"]
    for other in (root, root / "test"):
        assert "judges-train-images" not in {notice.code for notice in open_dataset(other).notices}
