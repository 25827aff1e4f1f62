"""Reading folders and files, taking frames: every kind that is promised, every fault that is answered."""

from __future__ import annotations

import base64
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.errors import DatasetError, FrameError, ImageError
from edgead.images import MIN_IMAGE_SIDE, SUFFIXES, as_bgr, list_images, read_image

# A 32 x 16 CMYK JPEG with Adobe's inverted values: the left half red, the right half blue.
CMYK_JPEG = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAGBAUGBQQGBgUGBwcGCAoQCgoJCQoUDg8MEBcUGBgXFBYWGh0lHxobIxwWFiAsICMmJykq"
    "KRkfLTAtKDAlKCko/8AAFAgAEAAgBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAJCP/EABQQAQAAAAAAAAAAAAAA"
    "AAAAAAD/2gAOBEMATQBZAEsAAD8A1Syoyo1SAJViqgAKqCVYAJViqgAP/9k="
)


def textured(height: int = 40, width: int = 56, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, channels), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width]


def encode(suffix: str, image: np.ndarray) -> bytes:
    ok, data = cv2.imencode(suffix, image)
    assert ok
    return data.tobytes()


def refused(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text
    return text


# ---------------------------------------------------------------- folders


def test_images_are_listed_by_name_and_nothing_else_is(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "10.tiff", "é.webp", ".hidden.png", "notes.txt", "png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["10.tiff", "a.jpg", "b.PNG", "é.webp"]


def test_every_known_suffix_is_listed(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        (tmp_path / f"x{suffix}").write_bytes(b"x")
    assert len(list_images(tmp_path)) == len(SUFFIXES)


def test_a_folder_without_images_is_an_error_that_helps(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no images"):
        list_images(tmp_path)
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "1.png").write_bytes(b"x")
    with pytest.raises(DatasetError, match="subfolder 'good'"):
        list_images(tmp_path)
    with pytest.raises(DatasetError, match="a file, not a folder"):
        list_images(tmp_path / "good" / "1.png")


# ---------------------------------------------------------------- files that are fine


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_lossless_files_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    image = textured()
    path = tmp_path / f"Prüfstück 検査{suffix}"
    path.write_bytes(encode(suffix, image))
    np.testing.assert_array_equal(read_image(path), image)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_files_come_back_nearly(tmp_path: Path, suffix: str) -> None:
    image = cv2.GaussianBlur(textured(), (0, 0), 4)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(encode(suffix, image))
    assert np.abs(read_image(path).astype(int) - image).mean() < 4


def test_the_kind_is_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(encode(".png", textured()))
    np.testing.assert_array_equal(read_image(path), textured())


def test_a_bmp_with_its_top_row_first_is_read(tmp_path: Path) -> None:
    data = bytearray(encode(".bmp", textured()))
    struct.pack_into("<i", data, 22, -40)  # a negative height says so
    path = tmp_path / "top_down.bmp"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_image(path), textured()[::-1])


def test_mono_is_repeated_and_alpha_dropped(tmp_path: Path) -> None:
    mono, rgba = textured(channels=1), textured(channels=4)
    (tmp_path / "mono.png").write_bytes(encode(".png", mono))
    (tmp_path / "rgba.png").write_bytes(encode(".png", rgba))
    np.testing.assert_array_equal(read_image(tmp_path / "mono.png"), np.repeat(mono, 3, axis=2))
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), rgba[..., :3])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_become_8_by_one_rule(tmp_path: Path, suffix: str, channels: int) -> None:
    deep = np.random.default_rng(1).integers(0, 1 << 16, (64, 64, channels), dtype=np.uint16)
    path = tmp_path / f"deep{suffix}"
    path.write_bytes(encode(suffix, deep))
    expected = np.broadcast_to(np.rint(deep / 257).astype(np.uint8), (64, 64, 3))
    np.testing.assert_array_equal(read_image(path), expected)
    if channels == 1:  # the file and the camera's frame meet in the same values
        np.testing.assert_array_equal(as_bgr(deep), expected)


def test_cmyk_jpeg_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "cmyk.jpg"
    path.write_bytes(CMYK_JPEG)
    image = read_image(path).astype(int)
    assert image.shape == (16, 32, 3)
    assert np.abs(image[:, 2:14] - (0, 0, 255)).max() < 12
    assert np.abs(image[:, 18:30] - (255, 0, 0)).max() < 12


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    upright = cv2.GaussianBlur(textured(), (0, 0), 4)
    plain = encode(".jpg", upright)
    ifd = struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)  # one entry: orientation 6, turn right
    body = b"Exif\0\0MM\0*\0\0\0\x08" + ifd
    path = tmp_path / "turned.jpg"
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:])
    turned = read_image(path)
    assert turned.shape == (56, 40, 3)
    assert np.abs(turned.astype(int) - np.rot90(upright, -1)).mean() < 4


def test_long_paths_are_read(tmp_path: Path) -> None:
    folder = tmp_path
    while len(str(folder)) < 2500:
        folder = folder / ("d" * 200)
    folder.mkdir(parents=True)
    path = folder / "x.png"
    path.write_bytes(encode(".png", textured()))
    np.testing.assert_array_equal(read_image(path), textured())
    refused(folder / ("n" * 400 + ".png"))
    refused(Path("/" + "very long/" * 1000 + "x.png"))


# ---------------------------------------------------------------- files that aren't


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    data = encode(suffix, textured())
    path = tmp_path / f"cut{suffix}"
    for length in sorted({*np.linspace(0, len(data) - 1, 60).astype(int).tolist(), len(data) - 2}):
        path.write_bytes(data[:length])
        refused(path)


def test_a_progressive_jpeg_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = cv2.imencode(".jpg", textured(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    path = tmp_path / "cut.jpg"
    path.write_bytes(data)
    assert read_image(path).shape == (40, 56, 3)
    for length in range(len(data) - 1, 0, -17):
        path.write_bytes(data[:length])
        refused(path)


def test_a_jpeg_cut_behind_its_thumbnail_is_refused(tmp_path: Path) -> None:
    plain, thumbnail = encode(".jpg", textured()), encode(".jpg", textured(16, 16))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path = tmp_path / "cut.jpg"
    path.write_bytes((plain[:2] + segment + plain[2:])[:-40])  # the only end marker left is the thumbnail's
    assert "cut short" in refused(path)


def test_a_changed_png_is_refused(tmp_path: Path) -> None:
    data = bytearray(encode(".png", textured()))
    data[len(data) // 2] ^= 1
    path = tmp_path / "changed.png"
    path.write_bytes(data)
    assert "checksum" in refused(path)


def test_damaged_bytes_never_end_in_another_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for suffix in (".png", ".jpg", ".bmp", ".tif", ".webp"):
        data = encode(suffix, textured())
        path = tmp_path / f"x{suffix}"
        for _ in range(60):
            damaged = bytearray(data)
            for at in rng.integers(0, min(len(data), 200), 3):
                damaged[at] = rng.integers(0, 256)
            path.write_bytes(damaged)
            try:
                image = read_image(path)
            except ImageError as error:
                assert "\n" not in str(error)
            else:
                assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("I am a text file\n" * 20)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert "not a PNG" in refused(tmp_path / "text.png")
    assert "empty" in refused(tmp_path / "empty.png")
    assert "folder" in refused(tmp_path / "folder.png")
    assert "no such file" in refused(tmp_path / "nothing.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nothing.png")
    assert "no such file" in refused(tmp_path / "dangling.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refused(tmp_path / "pipe.png")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encode(".png", textured()))

    def denied(self: Path, *_: int) -> int:  # root may read everything, so the system's answer is played
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(os, "open", denied)
    assert "Permission denied" in refused(path)


def test_too_small_and_float_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(encode(".png", np.zeros((1, 1, 3), np.uint8)))
    (tmp_path / "thin.png").write_bytes(encode(".png", np.zeros((MIN_IMAGE_SIDE - 1, 100, 3), np.uint8)))
    (tmp_path / "least.png").write_bytes(
        encode(".png", np.zeros((MIN_IMAGE_SIDE, MIN_IMAGE_SIDE, 3), np.uint8))
    )
    (tmp_path / "float.tif").write_bytes(encode(".tif", np.zeros((20, 20), np.float32)))
    assert "too small" in refused(tmp_path / "one.png")
    assert "too small" in refused(tmp_path / "thin.png")
    assert read_image(tmp_path / "least.png").shape == (MIN_IMAGE_SIDE, MIN_IMAGE_SIDE, 3)
    refused(tmp_path / "float.tif")


def huge_headers(side: int) -> dict[str, bytes]:
    """Small files that claim side x side pixels; only the PNG is whole, as a real bomb would be."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = zlib.compressobj(9)
    pixels = b"".join(rows.compress(bytes(side // 8 + 1)) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    jpeg = bytearray(encode(".jpg", textured()))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", side, side)
    tiff = bytearray(encode(".tif", textured()))
    (ifd,) = struct.unpack_from("<I", tiff, 4)
    for i in range(*struct.unpack_from("<H", tiff, ifd)):
        entry = ifd + 2 + i * 12
        if struct.unpack_from("<H", tiff, entry)[0] in (256, 257):
            struct.pack_into("<HII", tiff, entry + 2, 4, 1, side)
    return {".png": png, ".jpg": bytes(jpeg), ".tif": bytes(tiff)}


def test_huge_images_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = huge_headers(20_000)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the image was decoded"))
    for suffix, data in files.items():
        path = tmp_path / f"huge{suffix}"
        path.write_bytes(data)
        assert "20000 x 20000 pixels is over the limit" in refused(path)


def test_a_20000_pixel_line_scan_image_is_read(tmp_path: Path) -> None:
    path = tmp_path / "line.png"
    path.write_bytes(encode(".png", np.zeros((20_000, 64), np.uint8)))
    assert read_image(path).shape == (20_000, 64, 3)


def test_opencv_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "float.tif").write_bytes(encode(".tif", np.zeros((20, 20), np.float32)))
    (tmp_path / "bad.bmp").write_bytes(encode(".bmp", textured())[:-900])
    code = (
        "import sys; from pathlib import Path; from edgead.errors import ImageError\n"
        "from edgead.images import read_image\n"
        "for name in sys.argv[1:]:\n"
        "    try: read_image(Path(name))\n"
        "    except ImageError: pass\n"
    )
    names = [str(tmp_path / "float.tif"), str(tmp_path / "bad.bmp")]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OPENCV_LOG_LEVEL": "DEBUG"}
    done = subprocess.run([sys.executable, "-c", code, *names], env=env, capture_output=True, check=True)
    assert done.stdout == b"" and done.stderr == b""


# ---------------------------------------------------------------- frames


def test_a_bgr_frame_is_passed_on_without_a_copy() -> None:
    frame = textured()
    assert as_bgr(frame) is frame
    view = textured(80, 112)[::2, 10:60]
    assert np.shares_memory(as_bgr(view), view)


def test_rgb_and_mono_frames_become_bgr_and_stay_unchanged() -> None:
    for frame in (textured(), textured()[::-1, ::2], np.asfortranarray(textured())):
        before = frame.copy()
        frame.flags.writeable = False
        np.testing.assert_array_equal(as_bgr(frame, "rgb"), before[..., ::-1])
        np.testing.assert_array_equal(as_bgr(frame), before)
        np.testing.assert_array_equal(as_bgr(frame[..., 1]), np.repeat(before[..., 1:2], 3, axis=2))
        np.testing.assert_array_equal(as_bgr(frame[..., 1:2]), np.repeat(before[..., 1:2], 3, axis=2))
        np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("depth", range(9, 17))
def test_every_deep_value_is_rounded_to_the_nearest(depth: int) -> None:
    values = np.arange(1 << depth, dtype=np.uint16).reshape(16, -1)
    expected = np.rint(values * 255.0 / (2**depth - 1)).astype(np.uint8)  # an odd divisor: never a tie
    out = as_bgr(values, depth=depth)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, np.repeat(expected[..., None], 3, axis=2))
    assert out.min() == 0 and out.max() == 255


def test_a_big_endian_frame_is_read_as_numbers() -> None:
    frame = np.arange(400, dtype=np.uint16).reshape(20, 20) * 100
    np.testing.assert_array_equal(as_bgr(frame.astype(">u2")), as_bgr(frame))


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (np.full((20, 20, 3), np.nan, np.float32), "float32"),
        (np.zeros((20, 20), np.float64), "float64"),
        (np.zeros((20, 20, 3), np.int16), "int16"),
        (np.zeros((20, 20), bool), "bool"),
        (np.zeros((20, 20, 4), np.uint8), r"\(20, 20, 4\)"),
        (np.zeros((20, 20, 2), np.uint8), r"\(20, 20, 2\)"),
        (np.zeros((1, 20, 20, 3), np.uint8), r"\(1, 20, 20, 3\)"),
        (np.zeros(400, np.uint8), r"\(400,\)"),
        (np.zeros((), np.uint8), r"\(\)"),
        (np.zeros((0, 20, 3), np.uint8), r"\(0, 20, 3\)"),
        (np.zeros((0, 0), np.uint8), r"\(0, 0\)"),
        (np.zeros((1, 1, 3), np.uint8), "least"),
        (np.zeros((3, 64, 64), np.uint8), r"\(3, 64, 64\)"),
        (np.zeros((20, 20, 3), np.uint16), "uint8"),
        ([[1, 2], [3, 4]], "list"),
        (None, "NoneType"),
        (np.array([["a"] * 20] * 20), "U1"),
    ],
)
def test_other_frames_are_refused(frame: np.ndarray, says: str) -> None:
    with pytest.raises(FrameError, match=says) as caught:
        as_bgr(frame)
    assert "\n" not in str(caught.value)


def test_a_wrong_argument_is_refused() -> None:
    deep = np.full((20, 20), 5000, np.uint16)
    with pytest.raises(FrameError, match="5000"):
        as_bgr(deep, depth=12)
    with pytest.raises(FrameError, match="depth"):
        as_bgr(deep, depth=17)
    with pytest.raises(FrameError, match="depth"):
        as_bgr(textured(), depth=12)
    with pytest.raises(FrameError, match="grb"):
        as_bgr(textured(), "grb")  # type: ignore[arg-type]
