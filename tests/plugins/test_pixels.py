"""Cameras' pixel formats, exactly as an oracle that goes from bit to bit and pixel to pixel."""

from __future__ import annotations

import random

import numpy as np
import pytest

from edgead.errors import FrameError
from edgead.images import as_bgr
from edgead.types import Image
from edgead_plugins.pixels import FORMATS, PixelFormat, by_code, by_name, bytes_of, picture_of
from tests.plugins import pixels_oracle as oracle

SIZES = ((16, 9), (7, 5), (10, 3), (3, 8))
"""Width and height; with odd widths packed rows end within a byte."""


def filled(pixel_format: PixelFormat, length: int, seed: int) -> bytes:
    """Random bytes, whose values have no more bits than they may."""
    data = bytearray(random.Random(seed).randbytes(length))
    if pixel_format.packing == "whole" and 8 < pixel_format.bits < 16:
        data[1::2] = bytes(byte & ((1 << (pixel_format.bits - 8)) - 1) for byte in data[1::2])
    return bytes(data)


def expected(pixel_format: PixelFormat, data: bytes, width: int, height: int) -> list[list[object]]:
    """Rows of values, or of (blue, green, red)."""
    channels, bits, colour = pixel_format.channels, pixel_format.bits, pixel_format.colour
    flat = oracle.values_of(data, pixel_format.packing, bits, width * height * channels)
    rows = [flat[y * width * channels : (y + 1) * width * channels] for y in range(height)]
    if colour == "mono":
        return [list(row) for row in rows]
    found: list[list[tuple[int, ...]]]
    if colour in oracle.PATTERNS:
        found = [list(row) for row in oracle.demosaiced(rows, colour)]
    elif colour in ("yuyv", "uyvy"):
        y, u, v = (0, 1, 3) if colour == "yuyv" else (1, 0, 2)
        found = [
            [
                oracle.bgr_of_yuv(
                    row[4 * (x // 2) + y + 2 * (x % 2)], row[4 * (x // 2) + u], row[4 * (x // 2) + v]
                )
                for x in range(width)
            ]
            for row in rows
        ]
    else:
        order = (2, 1, 0) if colour == "rgb" else (0, 1, 2)
        found = [[tuple(row[channels * x + c] for c in order) for x in range(width)] for row in rows]
    small = (lambda v: v) if bits == 8 else (lambda v: oracle.eight_bits(v, bits))
    return [[tuple(small(v) for v in pixel) for pixel in row] for row in found]


@pytest.mark.parametrize("pixel_format", FORMATS, ids=lambda each: each.name)
def test_a_format_is_what_the_convention_says(pixel_format: PixelFormat) -> None:
    for number, (width, height) in enumerate(SIZES):
        if pixel_format.colour in ("yuyv", "uyvy") and width % 2:
            continue
        length = -(-width * height * pixel_format.stored_bits // 8)
        if pixel_format.packing == "gige":  # two values in three bytes, the last alone in two
            length = width * height // 2 * 3 + width * height % 2 * 2
        data = filled(pixel_format, length, number)
        image, depth = picture_of(data, pixel_format, width, height)
        assert image.tolist() == [
            [list(pixel) if isinstance(pixel, tuple) else pixel for pixel in row]
            for row in expected(pixel_format, data, width, height)
        ]
        deep = pixel_format.colour == "mono" and pixel_format.bits > 8
        assert image.dtype == (np.uint16 if deep else np.uint8)
        assert depth == (pixel_format.bits if deep and pixel_format.bits < 16 else None)


@pytest.mark.parametrize("padding", [1, 5, 32])
@pytest.mark.parametrize("pixel_format", FORMATS, ids=lambda each: each.name)
def test_what_pads_a_row_is_left_out(pixel_format: PixelFormat, padding: int) -> None:
    width, height = 14, 6
    row = -(-width * pixel_format.stored_bits // 8)
    if row % 2 != 0 and pixel_format.packing == "whole" and pixel_format.bits > 8:
        pytest.fail("a row of two bytes each is even")
    rows = [filled(pixel_format, row, y) for y in range(height)]
    padded = b"".join(each + b"\xff" * padding for each in rows)
    found = picture_of(padded, pixel_format, width, height, padding).image
    if pixel_format.packing == "whole" or width * pixel_format.stored_bits % 8 == 0:
        whole = picture_of(b"".join(rows), pixel_format, width, height).image
        assert np.array_equal(found, whole)
    elif pixel_format.colour == "mono":
        for y, each in enumerate(rows):
            values = oracle.values_of(each, pixel_format.packing, pixel_format.bits, width)
            assert found[y].tolist() == values


def test_packed_rows_that_begin_with_a_byte_are_told_by_the_buffers_size() -> None:
    mono = by_name("Mono12p")
    assert mono is not None
    rows = [filled(mono, 11, y) for y in range(4)]  # 7 values of 12 bits are 10.5 bytes
    image = picture_of(b"".join(rows), mono, 7, 4).image
    assert image.tolist() == [oracle.values_of(row, "lsb", 12, 7) for row in rows]
    assert bytes_of(mono, 7, 4) == 42, "and without a gap they're shorter"


@pytest.mark.parametrize("pixel_format", FORMATS, ids=lambda each: each.name)
def test_a_buffer_of_another_size_is_a_problem(pixel_format: PixelFormat) -> None:
    right = bytes_of(pixel_format, 16, 8)
    for length in (0, 1, right - 1, right + 1, right * 2, right // 2):
        with pytest.raises(FrameError, match=pixel_format.name):
            picture_of(bytes(length), pixel_format, 16, 8)
    with pytest.raises(FrameError):
        picture_of(bytes(right), pixel_format, 16, 8, padding=1)


def test_shapes_that_no_image_has_are_a_problem() -> None:
    for name, width, height in (("Mono8", 0, 8), ("Mono8", 8, -1), ("BayerRG8", 2, 8), ("YUV422_8", 7, 4),
                                ("Mono8", 1 << 20, 1 << 20)):  # fmt: skip
        pixel_format = by_name(name)
        assert pixel_format is not None
        with pytest.raises(FrameError):
            picture_of(bytes(max(0, min(width * height, 64))), pixel_format, width, height)


@pytest.mark.parametrize("name", ["Mono10", "Mono12", "Mono14", "BayerGB10", "BayerRG12"])
def test_values_over_the_formats_bits_are_a_problem(name: str) -> None:
    pixel_format = by_name(name)
    assert pixel_format is not None
    pixels = np.zeros((8, 8), np.uint16)
    picture_of(pixels.tobytes(), pixel_format, 8, 8)
    pixels[3, 3] = 1 << pixel_format.bits
    with pytest.raises(FrameError, match=f"over {pixel_format.bits} bits"):
        picture_of(pixels.tobytes(), pixel_format, 8, 8)


def test_a_format_of_16_bits_has_the_depth_that_it_is_told() -> None:
    mono, bayer = by_name("Mono16"), by_name("BayerRG16")
    assert mono is not None and bayer is not None
    data = np.full((8, 8), 4095, np.uint16).tobytes()
    assert picture_of(data, mono, 8, 8).depth is None
    assert picture_of(data, mono, 8, 8, depth=12).depth == 12
    assert picture_of(data, bayer, 8, 8, depth=12).image.max() == 255
    assert picture_of(data, bayer, 8, 8).image.max() == round(4095 / 257)
    for pixel_format in (mono, bayer):
        with pytest.raises(FrameError, match="over 10 bits"):
            picture_of(data, pixel_format, 8, 8, depth=10)


def test_a_frame_of_so_many_bits_is_judged_as_a_file_of_them_is() -> None:
    mono = by_name("Mono12p")
    assert mono is not None
    data = filled(mono, bytes_of(mono, 16, 16), 5)
    image, depth = picture_of(data, mono, 16, 16)
    judged: Image = as_bgr(image, depth=depth)
    assert judged[..., 0].tolist() == [[oracle.eight_bits(v, 12) for v in row] for row in image.tolist()]


def test_names_and_codes_are_those_of_the_convention() -> None:
    pfnc = pytest.importorskip("pypylon.pylon", reason="pypylon isn't installed")
    theirs = {name.removeprefix("PixelType_").lower(): code for name, code in vars(pfnc).items()
              if name.startswith("PixelType_")}  # fmt: skip
    other = {"rgb8": "rgb8packed", "bgr8": "bgr8packed", "bgra8": "bgra8packed", "rgb16": "rgb16packed",
             "yuv422_8": "yuv422_yuyv_packed", "yuv422_8_uyvy": "yuv422packed"}  # fmt: skip
    compared = 0
    for each in FORMATS:
        name = each.name.lower()
        code = theirs.get(name, theirs.get(other.get(name, "")))
        if code is not None:
            compared += 1
            assert code & 0xFFFFFFFF == each.code, each.name
    assert compared >= 35
    assert len({each.code for each in FORMATS}) == len({each.name for each in FORMATS}) == len(FORMATS)


def test_older_names_are_known_and_others_are_not() -> None:
    assert by_name("BGRA8Packed") is by_name("BGRa8") is by_code(0x02200017)
    assert by_name("YUV422Packed") is by_name("YUV422_8_UYVY")
    assert by_name("Mono1p") is None and by_code(0) is None
