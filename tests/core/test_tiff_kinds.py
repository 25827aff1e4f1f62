"""TIFF's kinds of pixels: those that come out as the specification has them are read, all others refused.

The files are made here by hand from TIFF 6.0, and what they must read as is computed from their values.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from edgead.errors import ImageError
from edgead.images import read_pixels
from edgead.masks.file import read_mask_file

HEIGHT, WIDTH = 12, 20


def file_of(tags: dict[int, list[int]], parts: list[bytes], order: str = "<") -> bytes:
    """A TIFF whose strips are ``parts``."""
    data = b"".join(parts)
    data += bytes(len(data) % 2)
    tags = {
        256: [WIDTH], 257: [HEIGHT], 278: [HEIGHT], 279: [len(part) for part in parts],
        273: [8 + sum(map(len, parts[:i])) for i in range(len(parts))], **tags,
    }  # fmt: skip
    start = 8 + len(data)
    beyond, entries, at = b"", b"", start + 6 + 12 * len(tags)
    for tag, values in sorted(tags.items()):
        long = tag in (256, 257, 273, 278, 279)
        content = struct.pack(order + ("I" if long else "H") * len(values), *values)
        if len(content) > 4:
            content, beyond = struct.pack(order + "I", at + len(beyond)), beyond + content
        entries += struct.pack(order + "HHI", tag, 4 if long else 3, len(values)) + content.ljust(4, b"\0")
    head = b"II*\0" if order == "<" else b"MM\0*"
    count, none = struct.pack(order + "H", len(tags)), struct.pack(order + "I", 0)
    return head + struct.pack(order + "I", start) + data + count + entries + none + beyond


def packed(values: np.ndarray, bits: int, order: str) -> bytes:
    """Rows of unsigned numbers, each row filled up to whole bytes."""
    if bits % 8 == 0 and bits != 24:
        return values.astype(f"{order}u{bits // 8}").tobytes()
    rows = values.reshape(HEIGHT, -1)
    words = ["".join(f"{value:0{bits}b}" for value in row) for row in rows.tolist()]
    return b"".join(
        int(word.ljust(-(-len(word) // 8) * 8, "0"), 2).to_bytes(-(-len(word) // 8), "big") for word in words
    )


def made(
    photometric: int | None,
    samples: int,
    bits: int,
    planar: int = 1,
    sample_format: int = 1,
    order: str = "<",
    compression: int = 1,
) -> tuple[bytes, np.ndarray, np.ndarray]:
    """A file, its values (H, W, samples), and a palette's colours (3, 2**bits)."""
    rng = np.random.default_rng(bits)
    values = rng.integers(0, 1 << min(bits, 30), (HEIGHT, WIDTH, samples))
    colours = rng.integers(0, 1 << 16, (3, 1 << min(bits, 8)))
    planes = [values[..., c] for c in range(samples)] if planar == 2 else [values]
    parts = [packed(plane, bits, order) for plane in planes]
    if compression in (8, 32946):
        parts = [zlib.compress(part) for part in parts]
    tags = {258: [bits] * samples, 259: [compression], 277: [samples], 284: [planar]}
    tags |= {339: [sample_format] * samples} if sample_format != 1 else {}
    tags |= {262: [photometric]} if photometric is not None else {}
    tags |= {320: colours.ravel().tolist()} if photometric == 3 else {}
    return file_of(tags, parts, order), values, colours


def told(photometric: int, bits: int, values: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """What must be read: BGR; 10 to 14 bits are the upper ones of 16, and bits of 1 are black and white."""
    if photometric == 3:
        return (colours[::-1, values[..., 0]] >> 8).transpose(1, 2, 0)
    if photometric == 5:
        cmy, black = values[..., 2::-1], values[..., 3:]
        return (255 - cmy) * (255 - black) / 255
    if bits == 1:
        values = values * 255
    if photometric == 0:
        values = 255 - values
    values = values << (16 - bits if 8 < bits < 16 else 0)
    return values[..., 2::-1] if photometric == 2 else np.repeat(values[..., :1], 3, axis=2)


READ = [
    *itertools.product([0], [1], [1, 8], [1]), (0, 2, 8, 1),
    *itertools.product([1], [1], [1, 8, 10, 12, 14, 16], [1]), (1, 2, 8, 1), (1, 2, 8, 2),
    *itertools.product([2], [3, 4], [8, 10, 12, 14, 16], [1]), (2, 3, 8, 2), (2, 4, 8, 2),
    *itertools.product([3], [1], [1, 4, 8], [1]), (5, 4, 8, 1), (5, 4, 8, 2),
]  # fmt: skip
SINGLE = (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 32803, 32844, 32845, 34892)


@pytest.mark.parametrize("order", ["<", ">"])
def test_what_is_read_is_read_right(order: str, tmp_path: Path) -> None:
    file = tmp_path / "image.tif"
    for (photometric, samples, bits, planar), compression in itertools.product(READ, (1, 8)):
        data, values, colours = made(photometric, samples, bits, planar, order=order, compression=compression)
        file.write_bytes(data)
        expected = told(photometric, bits, values, colours)
        assert np.abs(read_pixels(file) - expected).max() < 1, (photometric, samples, bits, planar)
        if photometric in (1, 2) and samples in (1, 3):
            marked = read_mask_file(file).marked
            assert np.array_equal(marked, values.any(axis=2)), (photometric, samples, bits, planar)


def test_no_other_kind_of_pixels_is_read(tmp_path: Path) -> None:
    file = tmp_path / "image.tif"
    kinds = (
        *itertools.product((*SINGLE, None), (1, 2, 3, 4, 5), (1, 4, 8, 16), (1, 2), (1,)),
        *itertools.product((1, 2), (1, 3), (2, 6, 8, 16, 24, 32, 64), (1,), (1, 2, 3, 4)),
    )
    refused = 0
    for photometric, samples, bits, planar, sample_format in kinds:
        alike = 1 if samples == 1 else planar
        if sample_format == 1 and (photometric, samples, bits, alike) in READ:
            continue
        file.write_bytes(made(photometric, samples, bits, planar, sample_format)[0])
        with pytest.raises(ImageError, match=r"image\.tif: [^;]*; "):
            read_pixels(file)
        refused += 1
    assert refused > 500


def test_a_kind_that_is_not_read_is_named_in_images_and_masks(tmp_path: Path) -> None:
    file = tmp_path / "image.tif"
    for photometric, samples, bits, planar in (
        (8, 3, 8, 1),
        (1, 2, 16, 1),
        (2, 3, 16, 2),
        (6, 3, 8, 1),
        (1, 3, 8, 1),
    ):
        file.write_bytes(made(photometric, samples, bits, planar)[0])
        for read in (read_pixels, read_mask_file):
            with pytest.raises(
                ImageError, match=rf"{samples} samples of {bits} bits.* {photometric}, .*; save it as grey"
            ):
                read(file)


def test_samples_of_several_sizes_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "image.tif"
    file.write_bytes(file_of({258: [8, 8, 16], 259: [1], 262: [2], 277: [3]}, [bytes(HEIGHT * WIDTH * 4)]))
    with pytest.raises(ImageError, match="8 and 16 bits"):
        read_pixels(file)


NOT_READ = (
    *(0, 2, 3, 4, 6, 9, 10, 32766, 32771, 32809, 32895, 32908, 32909, 33003, 33005, 34676, 34677),
    *(34712, 34887, 34892, 34925, 50000, 50001, 52546, 65000),
)


@pytest.mark.parametrize("compression", NOT_READ)
def test_a_compression_that_is_not_read_is_named(compression: int, tmp_path: Path) -> None:
    file = tmp_path / "image.tif"
    for photometric, samples, bits in ((1, 1, 8), (2, 3, 8), (1, 1, 1), (0, 1, 1), (1, 1, 16)):
        file.write_bytes(made(photometric, samples, bits, compression=compression)[0])
        for read in (read_pixels, read_mask_file):
            with pytest.raises(ImageError, match=rf"Compression {compression}\b.*; save it uncompressed"):
                read(file)
