"""Mask files of every kind are read as what they mark, and what is doubtful about them is told."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.errors import DatasetError, ImageError
from edgead.images import read_image
from edgead.masks import Doubts, MaskNames, read_marks, read_mask_file, to_input
from edgead.masks.matching import grouped
from edgead.notices import say
from edgead.resize import ResizeRule
from tests.files import exif, png, tiff, turned_jpeg, webp

MARKED = np.zeros((40, 60), bool)
MARKED[5:15, 8:18] = True
WHERE = MARKED.astype(np.uint8)
RED, WHITE, BLACK = b"\xff\0\0", b"\xff\xff\xff", b"\0\0\0"


def encoded(ending: str, values: np.ndarray, *how: int) -> bytes:
    return cv2.imencode(ending, values, how)[1].tobytes()


def with_alpha(colour: tuple[int, ...], elsewhere: tuple[int, ...], alpha: np.ndarray) -> np.ndarray:
    picture = np.where(MARKED[..., None], np.uint8(colour), np.uint8(elsewhere))
    return np.dstack([picture, alpha]).astype(np.uint8)


EXACT = {
    "8 bits, 255": encoded(".png", WHERE * 255),
    "8 bits, 1": encoded(".bmp", WHERE),
    "16 bits, 1": encoded(".png", WHERE.astype(np.uint16)),
    "16 bits, 200, TIFF": encoded(".tiff", WHERE.astype(np.uint16) * 200),
    "signed, TIFF": encoded(".tiff", -WHERE.astype(np.int16)),
    "32 bits, TIFF": encoded(".tiff", WHERE.astype(np.int32) * 70000),
    "float, TIFF": encoded(".tiff", WHERE.astype(np.float32) * 0.25),
    "double, TIFF": encoded(".tiff", WHERE.astype(np.float64) * 1e-9),
    "1 bit": png(WHERE, depth=1),
    "blue alone": encoded(".png", np.dstack([WHERE, 0 * WHERE, 0 * WHERE])),
    "palette": png(WHERE, 3, palette=BLACK + RED),
    "palette, the colours first and last": png(1 - WHERE, 3, palette=RED + BLACK),
    "palette, transparent": png(WHERE, 3, palette=BLACK + RED, transparent=b"\0\xff"),
    "palette of no colour": png(WHERE, 3, palette=BLACK + BLACK),
    "palette without black": png(WHERE, 3, palette=WHITE + RED),
    "opaque": encoded(".png", with_alpha((0, 0, 9), (0, 0, 0), np.full_like(WHERE, 255))),
    "alpha, white": encoded(".png", with_alpha((255,) * 3, (255,) * 3, WHERE * 255)),
    "alpha, black": encoded(".png", with_alpha((0,) * 3, (0,) * 3, WHERE * 255)),
    "alpha, grey and alpha": png(np.dstack([0 * WHERE, WHERE * 255]), 4),
    "red on transparent white": encoded(".png", with_alpha((0, 0, 255), (255,) * 3, WHERE * 255)),
    "black on transparent white": encoded(".png", with_alpha((0,) * 3, (255,) * 3, WHERE * 255)),
    "WebP without loss": encoded(".webp", WHERE * 255, cv2.IMWRITE_WEBP_QUALITY, 101),
}
REMARKS = {
    "palette of no colour": {"palette"},
    "palette without black": {"palette"},
    "alpha, white": {"alpha"},
    "alpha, black": {"alpha"},
    "alpha, grey and alpha": {"alpha"},
    "black on transparent white": {"alpha"},
}


@pytest.mark.parametrize("kind", EXACT)
def test_a_mask_marks_what_was_drawn_whatever_its_depth_and_type(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "mask"
    file.write_bytes(EXACT[kind])
    found = read_mask_file(file)
    assert np.array_equal(found.marked, MARKED)
    assert found.remarks == REMARKS.get(kind, set()) and found.orientation == 1


LOSSY = {
    "JPEG": encoded(".jpg", WHERE * 255, cv2.IMWRITE_JPEG_QUALITY, 75),
    "JPEG, half bright": encoded(".jpg", WHERE * 100, cv2.IMWRITE_JPEG_QUALITY, 75),
    "WebP": encoded(".webp", WHERE * 255, cv2.IMWRITE_WEBP_QUALITY, 60),
    "TIFF": encoded(".tiff", WHERE * 255, cv2.IMWRITE_TIFF_COMPRESSION, 7),
}


@pytest.mark.parametrize("kind", LOSSY)
def test_a_lossy_mask_marks_from_half_of_its_brightest_value_on(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "mask"
    file.write_bytes(LOSSY[kind])
    values = cv2.imdecode(np.frombuffer(LOSSY[kind], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert (values > 0).sum() > 1.1 * MARKED.sum(), "or it would test nothing"
    found = read_mask_file(file)
    assert found.remarks == {"lossy"} and (found.marked != MARKED).sum() <= 2
    file.write_bytes(encoded(".jpg", 0 * WHERE))
    assert not read_mask_file(file).marked.any()


def test_what_was_lossy_before_is_doubted_and_a_few_labels_are_not(tmp_path: Path) -> None:
    file = tmp_path / "mask.png"
    rng = np.random.default_rng(0)
    noisy = np.clip(WHERE * 200.0 + rng.normal(0, 20, WHERE.shape), 0, 255).astype(np.uint8)
    file.write_bytes(encoded(".png", noisy))
    assert read_mask_file(file).remarks == {"grey"}
    file.write_bytes(encoded(".png", WHERE * (np.arange(60, dtype=np.uint8) % 7 + 1)))
    assert read_mask_file(file).remarks == set()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_turned_as_a_picture_is(orientation: int, tmp_path: Path) -> None:
    file = tmp_path / "mask"
    for data in (
        turned_jpeg(encoded(".jpg", WHERE * 255), orientation),
        png(WHERE * 255, orientation=orientation),
        tiff(WHERE * 255, orientation),
    ):
        file.write_bytes(data)
        found = read_mask_file(file)
        assert found.orientation == orientation
        assert (found.marked != (read_image(file)[..., 0] > 127)).sum() <= 2


def refusal(file: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_mask_file(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mask.tiff"
    assert "No such file" in refusal(file)
    file.write_bytes(b"")
    assert "empty" in refusal(file)
    file.write_bytes(b"not an image at all")
    assert "not a PNG" in refusal(file)
    holed = WHERE.astype(np.float32)
    holed[0, 0] = np.nan
    file.write_bytes(encoded(".tiff", holed))
    assert "aren't finite" in refusal(file)
    cv2.imwritemulti(str(file), [WHERE, WHERE])
    assert "several pages" in refusal(file)
    file.write_bytes(tiff(WHERE)[:-200])
    refusal(file)
    damaged = bytearray(encoded(".jpg", np.kron(WHERE, np.ones((8, 8), np.uint8))))
    damaged[len(damaged) // 2 : -64] = bytes(len(damaged) - 64 - len(damaged) // 2)
    file.write_bytes(damaged)
    assert "JPEG file is damaged" in refusal(file)
    with monkeypatch.context() as patched:
        patched.setattr("edgead.masks.file.MAX_PIXELS", WHERE.size - 1)
        file.write_bytes(png(WHERE))
        assert "over the limit" in refusal(file)
    file.unlink()
    file.mkdir()
    assert "not a regular file" in refusal(file)


def test_a_mask_of_another_size_names_both_files_and_a_turned_image(tmp_path: Path) -> None:
    mask, image = tmp_path / "m.png", tmp_path / "i.jpg"
    mask.write_bytes(EXACT["8 bits, 255"])
    with pytest.raises(DatasetError) as caught:
        read_marks([mask], (40, 61), image)
    assert str(caught.value) == (
        f"{mask}: the mask is (40, 60), its image {image} (40, 61) (height, width); "
        "they must be the same size"
    )
    with pytest.raises(DatasetError, match="EXIF orientation 6"):
        read_marks([mask], (60, 40), image, orientation=6)


def test_masks_are_matched_by_name_in_upper_and_lower_case() -> None:
    files = [Path("M") / n for n in ("a_MASK.PNG", "b.png", "B_mask.png", "x_mask.bmp", "X.bmp")]
    names = MaskNames(grouped(files))
    assert names.find("A") == names.find("a") == [Path("M/a_MASK.PNG")]
    assert names.find("b") == [Path("M/b.png")], "as it's written comes first"
    assert names.find("x_mask") == [Path("M/x_mask.bmp")]
    assert names.find("c") is None


# ---------------------------------------------------------------- doubts


def doubts(tmp_path: Path, *files: bytes, orientation: int = 1) -> dict[str, dict]:
    """Code to values of the notices about images with a mask each."""
    rule, found = ResizeRule((40, 60)), Doubts((40, 60))
    for number, data in enumerate(files):
        mask = tmp_path / "crack" / f"{number}_mask.png"
        mask.parent.mkdir(exist_ok=True)
        mask.write_bytes(data)
        image = tmp_path / "crack" / f"{number}.png"
        marks = read_marks([mask], (40, 60), image, orientation)
        found.add(image, marks, to_input(marks.marked, rule))
    for notice in found.notices():
        assert "{" not in say(notice) and notice.code not in say(notice), "a sentence with its values"
    return {notice.code: dict(notice.values) for notice in found.notices()}


DRAWN, INVERTED = EXACT["8 bits, 255"], encoded(".png", (1 - WHERE) * 255)


def test_nothing_is_told_of_masks_as_they_should_be(tmp_path: Path) -> None:
    assert doubts(tmp_path, DRAWN, EXACT["palette"], EXACT["float, TIFF"]) == {}


def test_empty_masks_are_told(tmp_path: Path) -> None:
    found = doubts(tmp_path, DRAWN, encoded(".png", 0 * WHERE), DRAWN)
    assert found == {"mask-empty": {"count": 1, "total": 3, "example": "crack/1.png"}}


def test_inverted_masks_are_told_and_a_single_one_is_named(tmp_path: Path) -> None:
    share = pytest.approx(1 - 100 / 2400)
    found = doubts(tmp_path, DRAWN, INVERTED, DRAWN)
    assert found == {"mask-odd": {"count": 1, "total": 3, "example": "crack/1.png", "share": share}}
    found = doubts(tmp_path, INVERTED, INVERTED, DRAWN)
    assert found == {"mask-most": {"count": 2, "total": 3, "example": "crack/1.png", "share": share}}


def test_kinds_of_files_that_were_read_by_a_rule_of_their_own_are_told(tmp_path: Path) -> None:
    found = doubts(tmp_path, DRAWN, LOSSY["JPEG"], LOSSY["WebP"], EXACT["alpha, white"])
    assert found == {
        "mask-lossy": {"count": 2, "example": "crack/1_mask.png"},
        "mask-alpha": {"count": 1, "example": "crack/3_mask.png"},
    }


def test_a_turned_image_whose_mask_is_not_is_told(tmp_path: Path) -> None:
    turned = {"mask-turned": {"count": 1, "example": "crack/0.png"}}
    assert doubts(tmp_path, DRAWN, orientation=3) == turned
    assert doubts(tmp_path, png(WHERE * 255, orientation=3), orientation=3) == {}


def test_an_odd_name_in_a_notice_can_be_written(tmp_path: Path) -> None:
    found = Doubts((40, 60))
    mask = tmp_path / "m.png"
    mask.write_bytes(encoded(".png", 0 * WHERE))
    marks = read_marks([mask], (40, 60))
    found.add(Path("d/caf\udce9.png"), marks, to_input(marks.marked, ResizeRule((40, 60))))
    (notice,) = found.notices()
    assert r"caf\xe9.png" in say(notice) and say(notice).encode()


@pytest.mark.parametrize("bits", [8, 16])
def test_where_0_is_white_a_picture_and_a_mask_are_turned_or_refused(bits: int, tmp_path: Path) -> None:
    file = tmp_path / "mask.tiff"
    top = (1 << bits) - 1
    values = np.where(MARKED, 0, top).astype(f"u{bits // 8}")  # marked is white
    file.write_bytes(tiff(values, photometric=0))
    if bits == 8:
        assert np.array_equal(read_mask_file(file).marked, MARKED)
        assert np.array_equal(read_image(file)[..., 0] == 255, MARKED)
        return
    assert refusal(file).endswith("would be read as a negative; save it with 0 as black")
    with pytest.raises(ImageError, match=r"0 is white .* at 16 bits.*save it with 0 as black"):
        read_image(file)
    file.write_bytes(tiff(values.astype(np.uint32), photometric=0))
    assert "0 is white" in refusal(file)


def test_a_mask_of_several_pictures_is_refused_whatever_its_kind(tmp_path: Path) -> None:
    file = tmp_path / "mask"
    still = png(WHERE * 255)
    control = struct.pack(">II", 2, 0)
    chunk = struct.pack(">I", 8) + b"acTL" + control + struct.pack(">I", zlib.crc32(b"acTL" + control))
    file.write_bytes(still[:33] + chunk + still[33:])
    assert "several pages (2)" in refusal(file)
    file.write_bytes(webp(WHERE * 255, b"", frames=3))
    assert "several pages (3)" in refusal(file)
    # The second page is the first made smaller, the third is another picture.
    pages = [tiff(WHERE)[8:]] * 3
    data, places = bytearray(b"II*\0" + struct.pack("<I", 8)), []
    for number, page in enumerate(pages):
        start = len(data)
        places.append(start)
        body = bytearray(page)
        if number == 1:  # the orientation's entry becomes the kind of page, and comes first
            entries = [bytes(body[2 + 12 * i : 14 + 12 * i]) for i in range(10)]
            entries = [struct.pack("<HHII", 254, 4, 1, 1), *(e for i, e in enumerate(entries) if i != 6)]
            body[2:122] = b"".join(entries)
        for i in range(10):
            at = 2 + 12 * i
            if struct.unpack_from("<H", body, at)[0] == 273:
                struct.pack_into("<I", body, at + 8, start + 126)
        data += body
    for start, following in zip(places, [*places[1:], 0], strict=True):
        struct.pack_into("<I", data, start + 122, following)
    file.write_bytes(data)
    assert "several pages (2)" in refusal(file)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["webp", "webp, as JPEG", "webp, unannounced", "png, as JPEG"])
def test_a_mask_is_turned_where_opencv_turns_the_picture(kind: str, orientation: int, tmp_path: Path) -> None:
    file = tmp_path / "mask"
    block = (b"Exif\0\0" if kind.endswith("as JPEG") else b"") + exif(orientation)
    if kind.startswith("webp"):
        file.write_bytes(webp(WHERE * 255, block, announced=not kind.endswith("unannounced")))
    else:
        body = struct.pack(">I", len(block)) + b"eXIf" + block
        still = png(WHERE * 255)
        file.write_bytes(still[:33] + body + struct.pack(">I", zlib.crc32(body[4:])) + still[33:])
    found = read_mask_file(file)
    assert np.array_equal(found.marked, read_image(file)[..., 0] > 127)
    assert found.orientation == (orientation if kind == "webp" else 1)
