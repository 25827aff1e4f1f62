"""One depth for learning and judging: a 12-bit camera's frames and its 16-bit files are one picture."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgead
from edgead.cli import main
from edgead.depth import DepthUse
from edgead.errors import DatasetError, ImageError, OptionError
from edgead.images import read_image
from edgead.manifest import Manifest
from edgead.notices import say
from edgead.progress import silent
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve
from tests.bundles import SIZE, bad_image, good_image


def deep(image: np.ndarray, bits: int = 12) -> np.ndarray:
    """An image's grey as a camera of so many bits gives it, in the low bits of 16."""
    return (image[..., 0].astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)


def write(folder: Path, images: list[np.ndarray], suffix: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        assert cv2.imwrite(str(folder / f"{i:03}{suffix}"), image)
    return folder


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle fitted on 12-bit images."""
    folder = tmp_path_factory.mktemp("deep")
    good = write(folder / "good", [deep(good_image(i)) for i in range(12)])
    recipe = resolve("patchcore", options=["coreset_ratio=0.05"])
    chosen = Settings(size=SIZE, holdout=0.4, false_positive_rate=0.1, depth=12)
    return fit(recipe, good, chosen, folder / "deep.edgead", silent).bundle.path


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_16_bit_file_is_read_at_its_own_depth(tmp_path, suffix, channels, bits):
    values = np.random.default_rng(1).integers(0, 1 << bits, (40, 48, channels)).astype(np.uint16)
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), values)
    expected = np.rint(values * 255.0 / (2**bits - 1)).astype(np.uint8)
    np.testing.assert_array_equal(read_image(path, bits), np.broadcast_to(expected, (40, 48, 3)))


def test_a_file_that_holds_more_than_its_depth_is_refused_and_8_bits_take_no_heed(tmp_path):
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((20, 20), 5000, np.uint16))
    cv2.imwrite(str(tmp_path / "plain.png"), np.full((20, 20), 200, np.uint8))
    with pytest.raises(ImageError, match=r"deep\.png: holds 5000, over 12 bits"):
        read_image(tmp_path / "deep.png", 12)
    assert (read_image(tmp_path / "plain.png", 12) == 200).all()
    for wrong in (8, 17, 0, -1):
        with pytest.raises(OptionError, match="9 to 16"):
            read_image(tmp_path / "plain.png", wrong)


@pytest.mark.parametrize(
    ("largest", "likely"),
    [(1023, 10), (1024, 12), (4095, 12), (4096, 14), (16383, 14), (16384, None), (65535, None), (200, 10)],
)
def test_only_a_set_that_leaves_the_upper_bits_unused_is_asked_about(largest, likely):
    use = DepthUse()
    use.see(np.full((8, 8, 3), 255, np.uint8))
    assert use.notice() is None
    use.see(np.zeros((8, 8), np.uint16))  # one dark image is no proof
    use.see(np.full((8, 8), largest, np.uint16))
    doubt = use.notice()
    assert (doubt and doubt.values["likely"]) == likely
    if doubt:
        assert f"--depth {likely}" in say(doubt) and "--depth 16" in say(doubt)


# ---------------------------------------------------------------- fit


def test_fit_asks_about_16_bit_files_that_use_few_bits(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("good"), [deep(good_image(i)) for i in range(4)])
    assert main(["fit", "patchcore", "good", "--size", "96x64", "-q"]) == 2
    line = capsys.readouterr().err
    assert "12 of their 16 bits" in line and "--depth 12" in line and "--depth 16" in line
    assert [p.name for p in Path().iterdir()] == ["good"]
    assert main(["fit", "patchcore", "good", "--size", "96x64", "-q", "--depth", "10"]) == 2
    assert "over 10 bits" in capsys.readouterr().err
    colour = [cv2.merge([deep(good_image(i))] * 3) for i in range(4)]
    with pytest.raises(DatasetError, match="--depth 12"):
        fit(resolve("patchcore"), write(Path("colour"), colour), Settings(SIZE), Path("x.edgead"), silent)
    with pytest.raises(DatasetError, match="none of these"):
        plain = write(Path("plain"), [good_image(i) for i in range(4)])
        fit(resolve("patchcore"), plain, Settings(SIZE, depth=12), Path("x.edgead"), silent)


def test_the_depth_is_kept_and_dark_images_can_be_meant(tmp_path, learned):
    assert Manifest.from_json((learned / "manifest.json").read_bytes()).input.depth == 12
    dark = write(tmp_path / "dark", [deep(good_image(i)) for i in range(4)])
    recipe = resolve("patchcore", options=["coreset_ratio=0.05"])
    bundle = fit(recipe, dark, Settings(SIZE, depth=16), tmp_path / "dark.edgead", silent).bundle
    assert bundle.manifest.input.depth == 16
    shifted = write(tmp_path / "full", [deep(good_image(i), 16) for i in range(4)])
    bundle = fit(recipe, shifted, Settings(SIZE), tmp_path / "full.edgead", silent).bundle
    assert bundle.manifest.input.depth == 16


# ---------------------------------------------------------------- the detector


def test_a_raw_frame_a_file_and_an_8_bit_picture_of_a_part_are_judged_alike(tmp_path, learned):
    detector = edgead.load(learned)
    assert detector.depth == 12
    frames = [deep(good_image(77)), deep(bad_image(2))]
    files = sorted(write(tmp_path, frames).iterdir())
    by_hand = [np.rint(f * 255.0 / 4095).astype(np.uint8) for f in frames]
    wanted = [detector(picture).score for picture in by_hand]
    assert [detector(frame).score for frame in frames] == wanted
    assert [detector(frame, depth=12).score for frame in frames] == wanted
    assert [p.score for p in detector.map(iter(frames))] == wanted
    assert [detector(detector.read_image(file)).score for file in files] == wanted
    assert [detector(frame.astype(">u2")).score for frame in frames] == wanted
    assert wanted[1] > detector.threshold and wanted[1] > 2 * wanted[0]


def test_a_depth_that_contradicts_the_bundle_is_refused(learned):
    frame = deep(good_image(77), 10)
    with pytest.raises(OptionError, match="depth 10 isn't the 12 bits"):
        edgead.load(learned, depth=10)
    detector = edgead.load(learned, depth=12)
    with pytest.raises(OptionError, match="depth 10 isn't the 12 bits"):
        detector(frame, depth=10)
    with pytest.raises(OptionError, match="depth 10 isn't the 12 bits"):
        next(detector.map([frame], depth=10))


def test_a_bundle_that_learned_no_16_bit_image_leaves_the_depth_open(tmp_path, compiled):
    path = compiled("onnx").bundle.path
    frame = deep(good_image(77))
    write(tmp_path, [frame])
    open_, told = edgead.load(path), edgead.load(path, depth=12)
    assert open_.depth is None and told.depth == 12
    assert open_(frame, depth=12).score == told(frame).score != open_(frame).score
    assert open_.depth_notice() is None
    open_.read_image(tmp_path / "000.png")
    told.read_image(tmp_path / "000.png")
    doubt = open_.depth_notice()
    assert doubt is not None and "--depth 12" in say(doubt) and told.depth_notice() is None


def test_eval_reads_files_as_the_bundle_learned_them(tmp_path, learned, capsys, compiled):
    write(tmp_path / "test" / "good", [deep(good_image(i)) for i in range(60, 64)])
    write(tmp_path / "test" / "bad", [deep(bad_image(i)) for i in range(3)])
    assert main(["eval", str(learned), str(tmp_path), "--draws", "0", "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["image_auroc"] == 1.0 and found["escapes"] == 0
    assert main(["eval", str(learned), str(tmp_path), "--depth", "14", "-q"]) == 2
    assert "depth 14 isn't the 12 bits" in capsys.readouterr().err
    other = str(compiled("onnx").bundle.path)
    assert main(["eval", other, str(tmp_path), "--draws", "0", "-q"]) == 0
    assert "--depth 12" in capsys.readouterr().out
    assert main(["eval", other, str(tmp_path), "--draws", "0", "-q", "--depth", "12"]) == 0
    assert "--depth" not in capsys.readouterr().out


# ---------------------------------------------------------------- images that contradict the rest


def test_neither_a_hot_pixel_nor_a_scaled_image_hides_that_the_others_have_12_bits(tmp_path):
    plain = [deep(good_image(i)) for i in range(6)]
    hot, scaled = [image.copy() for image in plain], [image.copy() for image in plain]
    hot[3][4, 4] = 65535
    scaled[5] = plain[5] * 16
    for name, images, odd in (("hot", hot, "003.png"), ("scaled", scaled, "005.png")):
        folder = write(tmp_path / name, images)
        with pytest.raises(DatasetError, match=rf"1 of 6 hold .*\({odd}\).*--depth 12"):
            fit(resolve("patchcore"), folder, Settings(SIZE), tmp_path / "x.edgead", silent)
        with pytest.raises(DatasetError, match=rf"1 of 6 .* over 12 bits \({odd}\)"):
            fit(resolve("patchcore"), folder, Settings(SIZE, depth=12), tmp_path / "x.edgead", silent)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_most_pixels_of_most_images_use_decides(channels):
    def used(*images: np.ndarray) -> DepthUse:
        use = DepthUse()
        for number, image in enumerate(images):
            use.see(image, Path(f"{number}.png"))
        return use

    dim = np.full((100, 100, channels), 4000, np.uint16)
    glint, bright = dim.copy(), dim.copy()
    glint[0, :10] = 65535  # a thousandth
    bright[0, :11] = 65535
    assert used(glint, glint).notice().values["likely"] == 12
    assert used(bright, bright).notice() is None
    assert used(dim, bright).notice() is None and used(dim, dim, bright).notice().values["over"] == 1
    many = used(*[dim] * 9, *[bright] * 8).notice().values
    assert many["over"] == 8 and many["names"] == "9.png, 10.png, 11.png and 5 more"
    assert used(dim).notice().code == "depth-unsaid"


def test_eval_and_run_name_the_images_that_contradict_the_rest(tmp_path, capsys, compiled):
    images = [deep(good_image(i)) for i in range(4)]
    images[2][3, 3] = 65535
    write(tmp_path / "test" / "good", images)
    write(tmp_path / "test" / "bad", [deep(bad_image(i)) for i in range(2)])
    bundle = str(compiled("onnx").bundle.path)
    assert main(["eval", bundle, str(tmp_path), "--draws", "0", "--json", "-q"]) == 0
    told = {notice["code"]: notice["values"] for notice in json.loads(capsys.readouterr().out)["notices"]}
    assert told["depth-contradicted"]["names"] == "002.png" and told["depth-contradicted"]["over"] == 1
    main(["run", bundle, str(tmp_path / "test" / "good"), "--json", "-q"])
    assert "002.png" in (line := capsys.readouterr().err) and "--depth 12" in line
