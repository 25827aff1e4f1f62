"""Pixel formats by the letter of GenICam's naming convention, one bit and one pixel after another."""

from __future__ import annotations

PATTERNS = {"RG": "RGGB", "GR": "GRBG", "GB": "GBRG", "BG": "BGGR"}
"""The colours of two by two pixels, row by row."""


def values_of(data: bytes, packing: str, bits: int, count: int) -> list[int]:
    """The first values in a buffer. ``packing``: whole, lsb (names with p) or gige (names with Packed)."""
    if packing == "whole":
        size = 1 if bits <= 8 else 2
        return [int.from_bytes(data[size * i : size * i + size], "little") for i in range(count)]
    if packing == "lsb":  # value i is bits i * n to i * n + n - 1 of one long number
        number = int.from_bytes(data, "little")
        return [number >> (bits * i) & ((1 << bits) - 1) for i in range(count)]
    found = []
    for i in range(count):  # the high 8 bits in bytes 0 and 2 of three, the low ones in the halves of byte 1
        first, shared, third = data[3 * (i // 2)], data[3 * (i // 2) + 1], data[3 * (i // 2) + 2 :][:1]
        low = bits - 8
        if i % 2 == 0:
            found.append(first << low | shared & ((1 << low) - 1))
        else:
            found.append(third[0] << low | shared >> 4 & ((1 << low) - 1))
    return found


def demosaiced(raw: list[list[int]], pattern: str) -> list[list[tuple[int, int, int]]]:
    """(blue, green, red) of each pixel: the mean of the nearest of a colour, rounded half up; the outermost
    pixels are those beside them."""
    height, width = len(raw), len(raw[0])
    colours = PATTERNS[pattern]

    def colour_at(y: int, x: int) -> str:
        return colours[2 * (y % 2) + x % 2]

    def mean(y: int, x: int, colour: str) -> int:
        if colour_at(y, x) == colour:
            return raw[y][x]
        near = [(-1, 0), (1, 0), (0, -1), (0, 1)]
        found = [raw[y + a][x + b] for a, b in near if colour_at(y + a, x + b) == colour]
        if not found:
            corners = [(a, b) for a in (-1, 1) for b in (-1, 1)]
            found = [raw[y + a][x + b] for a, b in corners if colour_at(y + a, x + b) == colour]
        return (2 * sum(found) + len(found)) // (2 * len(found))

    def inside(at: int, end: int) -> int:
        return min(max(at, 1), end - 2)

    return [
        [
            (
                mean(inside(y, height), inside(x, width), "B"),
                mean(inside(y, height), inside(x, width), "G"),
                mean(inside(y, height), inside(x, width), "R"),
            )
            for x in range(width)
        ]
        for y in range(height)
    ]


def bgr_of_yuv(y: int, u: int, v: int) -> tuple[int, int, int]:
    """BT.601 with all levels: red = Y + 1.403 V, green = Y - 0.714 V - 0.344 U, blue = Y + 1.773 U, in fixed
    point of 14 bits, rounded half up."""

    def rounded(number: int) -> int:
        return min(max(y + (number + (1 << 13) >> 14), 0), 255)

    u, v = u - 128, v - 128
    return rounded(29049 * u), rounded(-5636 * u - 11698 * v), rounded(22987 * v)


def eight_bits(value: int, bits: int) -> int:
    """``round(value * 255 / (2**bits - 1))``, half up."""
    top = (1 << bits) - 1
    return (2 * 255 * value + top) // (2 * top)


__all__ = ["PATTERNS", "bgr_of_yuv", "demosaiced", "eight_bits", "values_of"]
