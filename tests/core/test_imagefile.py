"""Damage inside image files: found wherever the kind leaves a trace of it, and never where there's none."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.errors import ImageError
from edgead.imagefile import lzw, png
from edgead.images import check_images, read_image, unusable

TIFF_PACKINGS = {"LZW": 5, "PackBits": 32773, "Deflate": 8, "Adobe Deflate": 32946, "JPEG": 7}
JPEG_KINDS = {
    "baseline": (),
    "restart markers": (cv2.IMWRITE_JPEG_RST_INTERVAL, 8),
    "optimised tables": (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
}


def picture(channels: int = 3, height: int = 240, width: int = 320) -> np.ndarray:
    """A part with a grain, so that there are bytes to damage."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:height, :width]
    grey = 110 + 40 * np.sin(x / 30) + 20 * np.sin(y / 11) + rng.normal(0, 4, (height, width))
    image = np.clip(np.stack([grey + 10 * c for c in range(channels)], axis=2), 0, 255).astype(np.uint8)
    return image if channels > 1 else image[..., 0]


def encode(suffix: str, image: np.ndarray, *words: int) -> bytes:
    ok, data = cv2.imencode(suffix, image, list(words))
    assert ok
    return data.tobytes()


def refused(folder: Path, suffix: str, data: bytes) -> str:
    path = folder / f"damaged{suffix}"
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text
    return text


def accepted(folder: Path, suffix: str, data: bytes) -> np.ndarray:
    path = folder / f"whole{suffix}"
    path.write_bytes(data)
    return read_image(path)


# ---------------------------------------------------------------- JPEG


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", JPEG_KINDS)
@pytest.mark.parametrize("zeros", [64, 512, 4096, "an eighth"])
def test_zeroed_bytes_in_a_jpeg_are_found(tmp_path: Path, kind: str, channels: int, zeros: int | str) -> None:
    for quality in (75, 95):
        words = (cv2.IMWRITE_JPEG_QUALITY, quality, *JPEG_KINDS[kind])
        data = encode(".jpg", picture(channels), *words)
        accepted(tmp_path, ".jpg", data)
        n = len(data) // 8 if zeros == "an eighth" else int(zeros)
        start = data.index(b"\xff\xda") + 14
        for place in (0.05, 0.2, 0.4, 0.6, 0.8):
            at = start + int((len(data) - start) * place)
            length = min(n, len(data) - 2 - at)
            damage = data[:at] + bytes(length) + data[at + length :]
            assert "JPEG" in refused(tmp_path, ".jpg", damage)


def test_a_part_of_a_jpeg_that_is_missing_or_another_files_is_found(tmp_path: Path) -> None:
    data, other = encode(".jpg", picture()), encode(".jpg", picture()[::-1])
    for at in range(1000, len(data) - 3000, 2000):
        assert "damaged" in refused(tmp_path, ".jpg", data[:at] + data[at + 512 :])
        assert "damaged" in refused(tmp_path, ".jpg", data[:at] + other[at : at + 2048] + data[at + 2048 :])


@pytest.mark.parametrize("words", [(), (cv2.IMWRITE_JPEG_OPTIMIZE, 1), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_a_flat_jpeg_that_is_rightly_full_of_zeros_is_read(tmp_path: Path, words: tuple[int, ...]) -> None:
    for level in (0, 128, 255):
        flat = np.full((600, 800), level, np.uint8)
        data = encode(".jpg", flat, *words)
        assert not words or bytes(64) in data
        np.testing.assert_array_equal(accepted(tmp_path, ".jpg", data)[..., 0], flat)


def test_no_real_jpeg_is_refused(shared_data: Path) -> None:
    files = sorted(shared_data.rglob("*.jpg"))
    assert len(files) > 100
    assert check_images(files[::4]) == {}


def test_a_jpeg_that_asks_for_endless_scans_is_refused_undecoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(".jpg", np.zeros((4000, 4000), np.uint8), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = data.rindex(b"\xff\xda")
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *_, **__: pytest.fail("the image was decoded"))
    assert "scans" in refused(tmp_path, ".jpg", data[:last] + data[last:-2] * 5000 + data[-2:])


# ---------------------------------------------------------------- TIFF


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("packing", TIFF_PACKINGS)
def test_a_damaged_packed_tiff_is_refused(tmp_path: Path, packing: str, dtype: type) -> None:
    if packing == "JPEG" and dtype is np.uint16:
        pytest.skip("a TIFF's JPEG has 8 bits")
    rng = np.random.default_rng(2)
    strips = (cv2.IMWRITE_TIFF_ROWSPERSTRIP, 48)
    for channels in (1, 3):
        image = picture(channels).astype(dtype) * (1 if dtype is np.uint8 else 257)
        data = encode(".tif", image, cv2.IMWRITE_TIFF_COMPRESSION, TIFF_PACKINGS[packing], *strips)
        accepted(tmp_path, ".tif", data)
        missed = 0
        for place in np.linspace(0.05, 0.7, 20):
            at = int(len(data) * place)
            damage = data[:at] + rng.integers(0, 256, 512, np.uint8).tobytes() + data[at + 512 :]
            path = tmp_path / "damaged.tif"
            path.write_bytes(damage)
            missed += not check_images([path])
        # PackBits copies most bytes as they are; the others fall out of step but for a rare accident.
        assert missed <= {"PackBits": 12, "LZW": 1}.get(packing, 0)


def unpack(packed: bytes, wanted: int) -> bytes | None:
    """LZW as the TIFF 6.0 specification tells it, a code at a time; None where a code makes no sense."""
    bits = "".join(f"{byte:08b}" for byte in packed)
    out, at, table, old = b"", 0, [], None
    while True:
        n = len(table)
        width = 9 if n < 511 else 10 if n < 1023 else 11 if n < 2047 else 12
        if at + width > len(bits):
            return out if len(out) >= wanted else None
        code = int(bits[at : at + width], 2)
        at += width
        if code == 257:
            return out
        if code == 256:
            table, old = [bytes([i]) for i in range(256)] + [b"", b""], None
            continue
        if old is None:
            if code > 255:
                return None
            entry = table[code]
        else:
            if code > len(table):
                return None
            entry = table[code] if code < len(table) else old + old[:1]
            table.append(old + entry[:1])
        out, old = out + entry, entry


def lzw_streams() -> list[tuple[bytes, int]]:
    """Streams as libtiff writes them, cut out of whole files with a strip to each."""
    found = []
    for image in (picture(1), np.zeros((240, 320), np.uint8), picture(3)):
        data = encode(".tif", image, cv2.IMWRITE_TIFF_COMPRESSION, 5)
        tags = {}
        (at,) = struct.unpack_from("<I", data, 4)
        for i in range(struct.unpack_from("<H", data, at)[0]):
            tag, kind, n, value = struct.unpack_from("<HHII", data, at + 2 + 12 * i)
            form = {3: "H", 4: "I"}.get(kind, "B")
            inline = n * struct.calcsize(form) <= 4
            tags[tag] = struct.unpack_from(f"<{n}{form}", data, at + 10 + 12 * i if inline else value)
        rows = min(tags[278][0], 240)
        size = rows * 320 * (image.ndim if image.ndim == 3 else 1)
        found.append((data[tags[273][0] : tags[273][0] + tags[279][0]], size))
    return found


def test_the_length_of_an_lzw_stream_is_that_of_its_bytes() -> None:
    rng = np.random.default_rng(4)
    for packed, size in lzw_streams():
        whole = unpack(packed, size)
        assert whole is not None and len(whole) == size == lzw.unpacked_bytes(packed, size)
        for _ in range(10):
            damaged = bytearray(packed)
            at = int(rng.integers(0, max(1, len(packed) - 16)))
            damaged[at : at + 16] = rng.integers(0, 256, 16, np.uint8).tobytes()
            out = unpack(bytes(damaged), size)
            found = lzw.unpacked_bytes(bytes(damaged), size)
            assert found is None if out is None else found in (None, len(out))
            if out is not None and found is None:  # only what overruns its table or its picture by far
                assert len(out) != size


def tiff(pages: list[tuple[int, int]], size: int = 16, extra: tuple[tuple[int, int], ...] = ()) -> bytes:
    """An uncompressed TIFF; each page is (kind of page, grey level)."""
    data = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for kind, level in pages:
        pixels = len(data)
        data += bytes([level]) * size * size
        struct.pack_into("<I", data, link, len(data))
        tags = [(254, kind), (256, size), (257, size), *extra, (258, 8), (259, 1), (262, 1)]
        tags += [(273, pixels), (277, 1), (278, size), (279, size * size)]
        data += struct.pack("<H", len(tags))
        for tag, value in tags:
            data += struct.pack("<HHII", tag, 4, 1, value)
        link = len(data)
        data += bytes(4)
    return bytes(data)


def test_a_tiff_of_several_pages_is_refused_with_their_number(tmp_path: Path) -> None:
    assert accepted(tmp_path, ".tif", tiff([(0, 7)]))[0, 0, 0] == 7
    assert "3 images in one TIFF" in refused(tmp_path, ".tif", tiff([(0, 7), (0, 200), (2, 90)]))
    several = cv2.imencodemulti(".tif", [picture(1)] * 4)[1].tobytes()
    assert "4 images in one TIFF" in refused(tmp_path, ".tif", several)


def test_a_tiffs_preview_is_no_page(tmp_path: Path) -> None:
    assert accepted(tmp_path, ".tif", tiff([(0, 7), (1, 9), (4, 9)]))[0, 0, 0] == 7


def test_a_tiff_that_states_its_size_twice_is_refused_undecoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the image was decoded"))
    twice = tiff([(0, 7)], extra=((256, 20_000), (257, 20_000)))
    assert "given twice" in refused(tmp_path, ".tif", twice)


def test_a_tiff_whose_pages_go_in_a_circle_is_refused(tmp_path: Path) -> None:
    data = bytearray(tiff([(0, 7), (0, 8)]))
    data[-4:] = data[4:8]
    assert "circle" in refused(tmp_path, ".tif", bytes(data))


# ---------------------------------------------------------------- animations, and what isn't said aloud


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    return data[:33] + chunk(kind, body) + data[33:]  # behind the header


def test_animations_are_refused_with_their_number_of_frames(tmp_path: Path) -> None:
    whole = encode(".png", picture())
    five = with_chunk(whole, b"acTL", struct.pack(">II", 5, 0))
    assert "5 images in one PNG" in refused(tmp_path, ".png", five)
    accepted(tmp_path, ".png", with_chunk(whole, b"acTL", struct.pack(">II", 1, 0)))
    image = encode(".webp", picture())[12:]
    frame = b"ANMF" + struct.pack("<I", len(image) + 16) + bytes(16) + image
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\x02" + bytes(3) + struct.pack("<HBHB", 319, 0, 239, 0)
    body = b"WEBP" + canvas + frame * 3
    assert "3 images in one WebP" in refused(tmp_path, ".webp", b"RIFF" + struct.pack("<I", len(body)) + body)


def test_no_library_writes_to_stderr_about_a_file_that_it_does_not_name(tmp_path: Path) -> None:
    jpeg = bytearray(encode(".jpg", picture()))
    jpeg[3000:3512] = bytes(512)
    (tmp_path / "damaged.jpg").write_bytes(jpeg)
    lzw_data = bytearray(encode(".tif", picture(), cv2.IMWRITE_TIFF_COMPRESSION, 5))
    lzw_data[3000:3100] = bytes(100)
    (tmp_path / "damaged.tif").write_bytes(lzw_data)
    profile = with_chunk(encode(".png", picture()), b"iCCP", b"x\0\0" + zlib.compress(b"not a profile"))
    (tmp_path / "profile.png").write_bytes(profile)
    turned = with_chunk(encode(".png", picture()), b"eXIf", b"Exif\0\0II*\0" + bytes(12))
    (tmp_path / "turned.png").write_bytes(turned)
    clear = encode(".png", np.dstack([picture(), picture(1)]))
    (tmp_path / "clear.png").write_bytes(with_chunk(clear, b"tRNS", bytes(6)))
    code = (
        "import sys; from pathlib import Path; from edgead.images import check_images\n"
        "print(*(p.name for p in check_images(sorted(Path(sys.argv[1]).iterdir()))))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["damaged.jpg", "damaged.tif"] and done.stderr == ""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this system")
def test_a_system_file_that_has_no_size_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(ImageError, match="empty"):
        read_image(Path("/proc/self/status"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_that_takes_the_files_name_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "part.png"
    file.write_bytes(encode(".png", picture()))
    seen = Path.stat

    def exchanged(self: Path, **words: bool) -> os.stat_result:
        found = seen(self, **words)
        if self == file and not stat.S_ISFIFO(os.lstat(file).st_mode):
            file.unlink()
            os.mkfifo(file)
        return found

    monkeypatch.setattr(Path, "stat", exchanged)
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(file)


# ---------------------------------------------------------------- PNG

PASSES = np.array([
    [1, 6, 4, 6, 2, 6, 4, 6], [7] * 8, [5, 6] * 4, [7] * 8,
    [3, 6, 4, 6, 3, 6, 4, 6], [7] * 8, [5, 6] * 4, [7] * 8,
])  # fmt: skip
"""Which pass each pixel of a square of 8 is sent in: PNG specification, section 8.2."""


def rows(values: np.ndarray, depth: int) -> bytes:
    lines = np.packbits(values, axis=1) if depth == 1 else values.astype(">u2" if depth == 16 else np.uint8)
    return b"".join(b"\0" + line.tobytes() for line in lines)


def interlaced(values: np.ndarray, depth: int) -> bytes:
    """The seven passes one after the other, each a smaller picture of what the square gives to it."""
    height, width = values.shape
    where = np.tile(PASSES, (height // 8 + 1, width // 8 + 1))[:height, :width]
    parts = []
    for number in range(1, 8):
        mask = where == number
        part = values[np.ix_(mask.any(axis=1), mask.any(axis=0))]
        parts.append(rows(part, depth) if part.size else b"")
    return b"".join(parts)


def packed(
    size: tuple[int, int], depth: int, content: bytes, interlace: int = 0, colour_type: int = 0
) -> bytes:
    header = struct.pack(">IIBBBBB", size[1], size[0], depth, colour_type, 0, 0, interlace)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", content), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("depth", [1, 8, 16])
def test_a_whole_png_is_read_interlaced_or_not(tmp_path: Path, depth: int) -> None:
    rng = np.random.default_rng(depth)
    for size in ((8, 8), (9, 13), (16, 10), (23, 31), (8, 100)):
        values = rng.integers(0, 1 << depth, size)
        shown = values * 255 if depth == 1 else values >> (depth - 8)
        for interlace, content in enumerate((rows(values, depth), interlaced(values, depth))):
            data = packed(size, depth, zlib.compress(content), interlace)
            found = accepted(tmp_path, ".png", data)
            assert np.abs(found[..., 0].astype(int) - shown).max() <= (1 if depth == 16 else 0)
            for other in (content + b"\0", content[:-1]):
                refused(tmp_path, ".png", packed(size, depth, zlib.compress(other), interlace))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: zlib.compress(c + bytes(1 << 27)), "holds more than its picture"),
        (lambda c: zlib.compress(c) + b"more", "holds more than its picture"),
        (lambda c: zlib.compress(c[:-65]), "a part of its picture is missing"),
        (lambda c: zlib.compress(c)[:-1] + b"?", "doesn't unpack"),
        (lambda c: zlib.compress(c)[:-4], "a part of its picture is missing"),
        (lambda c: b"", "a part of its picture is missing"),
        (lambda c: bytes(100), "doesn't unpack"),
    ],
)
def test_a_png_that_does_not_hold_its_picture_is_refused_undecoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change, says: str
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the image was decoded"))
    assert says in refused(tmp_path, ".png", packed((64, 64), 8, change(rows(picture(1, 64, 64), 8))))


def test_a_png_of_very_many_parts_or_of_unknown_pixels_is_refused(tmp_path: Path) -> None:
    whole = encode(".png", picture())
    many = whole[:33] + chunk(b"tEXt", b"a\0b") * (png.MAX_CHUNKS + 1) + whole[33:]
    assert "parts" in refused(tmp_path, ".png", many)
    content = zlib.compress(rows(picture(1, 64, 64), 8))
    for depth, colour_type in ((8, 1), (8, 5), (3, 0), (0, 0)):
        odd = packed((64, 64), depth, content, 0, colour_type)
        assert "no known kind" in refused(tmp_path, ".png", odd)


# ---------------------------------------------------------------- all of them at once


def test_every_file_that_cannot_be_used_is_found_and_the_first_are_named(tmp_path: Path) -> None:
    whole = encode(".png", picture())
    for i in range(9):
        (tmp_path / f"{i}.png").write_bytes(whole[:2000] if i % 2 else whole)
    problems = check_images(sorted(tmp_path.iterdir()))
    assert [path.name for path in problems] == ["1.png", "3.png", "5.png", "7.png"]
    text = str(unusable(problems, 9))
    assert text.startswith("4 of 9 images") and all(f"{i}.png: the PNG" in text for i in (1, 3, 5, 7))
    many = {Path(f"{i:03}.png"): f"{i:03}.png: broken; replace it" for i in range(40)}
    text = str(unusable(many, 60))
    assert text.startswith("40 of 60") and text.endswith("and 35 more") and text.count("broken") == 5
    assert str(unusable({Path("a.png"): "a.png: broken; replace it"}, 60)) == "a.png: broken; replace it"
