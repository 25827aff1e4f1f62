"""The pixel formats that are read, by their names and codes in GenICam's Pixel Format Naming Convention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Packing = Literal["whole", "lsb", "gige"]
"""How values lie in memory. ``whole``: each in one or two bytes, little end first. ``lsb``: without gaps,
from the lowest bit up (names that end with p). ``gige``: two values in three bytes, the high bits of each in
a byte of its own (GigE Vision's names that end with Packed)."""
Colour = Literal["mono", "RG", "GR", "GB", "BG", "rgb", "bgr", "yuyv", "uyvy"]
"""What the values mean. Two capitals: a Bayer pattern, by the first two pixels of the first row."""


@dataclass(frozen=True)
class PixelFormat:
    """A format.

    Attributes:
        name, code: as the convention has them.
        colour: what the values mean.
        bits: significant bits of each value.
        packing: how the values lie in memory.
        channels: values of each pixel; two with ``yuyv`` and ``uyvy``, whose chroma is every other pixel's.
    """

    name: str
    code: int
    colour: Colour
    bits: int
    packing: Packing = "whole"
    channels: int = 1

    @property
    def stored_bits(self) -> int:
        """Bits of memory that a pixel takes."""
        each = {"whole": 8 if self.bits <= 8 else 16, "lsb": self.bits, "gige": 12}[self.packing]
        return each * self.channels


def _mono_and_bayer() -> list[PixelFormat]:
    """Every combination of pattern, bits and packing that has a code."""
    single = {8: 0x01080000, 10: 0x01100000, 12: 0x01100000, 14: 0x01100000, 16: 0x01100000}
    whole: dict[Colour, dict[int, int]] = {
        "mono": {8: 0x01, 10: 0x03, 12: 0x05, 14: 0x25, 16: 0x07},
        "GR": {8: 0x08, 10: 0x0C, 12: 0x10, 16: 0x2E},
        "RG": {8: 0x09, 10: 0x0D, 12: 0x11, 16: 0x2F},
        "GB": {8: 0x0A, 10: 0x0E, 12: 0x12, 16: 0x30},
        "BG": {8: 0x0B, 10: 0x0F, 12: 0x13, 16: 0x31},
    }
    packed: dict[Colour, tuple[int, int, int, int]] = {  # 10p, 12p, 10Packed, 12Packed
        "mono": (0x46, 0x47, 0x04, 0x06),
        "BG": (0x52, 0x53, 0x29, 0x2D),
        "GB": (0x54, 0x55, 0x28, 0x2C),
        "GR": (0x56, 0x57, 0x26, 0x2A),
        "RG": (0x58, 0x59, 0x27, 0x2B),
    }
    found = []
    for colour, codes in whole.items():
        name = "Mono" if colour == "mono" else f"Bayer{colour}"
        found += [PixelFormat(f"{name}{n}", single[n] | code, colour, n) for n, code in codes.items()]
        ten, twelve, ten_gige, twelve_gige = packed[colour]
        found += [
            PixelFormat(f"{name}10p", 0x010A0000 | ten, colour, 10, "lsb"),
            PixelFormat(f"{name}12p", 0x010C0000 | twelve, colour, 12, "lsb"),
            PixelFormat(f"{name}10Packed", 0x010C0000 | ten_gige, colour, 10, "gige"),
            PixelFormat(f"{name}12Packed", 0x010C0000 | twelve_gige, colour, 12, "gige"),
        ]
    return found


FORMATS: tuple[PixelFormat, ...] = (
    *_mono_and_bayer(),
    PixelFormat("RGB8", 0x02180014, "rgb", 8, channels=3),
    PixelFormat("BGR8", 0x02180015, "bgr", 8, channels=3),
    PixelFormat("RGBa8", 0x02200016, "rgb", 8, channels=4),
    PixelFormat("BGRa8", 0x02200017, "bgr", 8, channels=4),
    PixelFormat("RGB16", 0x02300033, "rgb", 16, channels=3),
    PixelFormat("BGR16", 0x0230004B, "bgr", 16, channels=3),
    PixelFormat("YUV422_8", 0x02100032, "yuyv", 8, channels=2),
    PixelFormat("YUV422_8_UYVY", 0x0210001F, "uyvy", 8, channels=2),
)
"""All that are read. An alpha channel is dropped."""
_OTHER_NAMES = {
    "RGB8Packed": "RGB8",
    "BGR8Packed": "BGR8",
    "RGBA8Packed": "RGBa8",
    "BGRA8Packed": "BGRa8",
    "RGB16Packed": "RGB16",
    "BGR16Packed": "BGR16",
    "YUV422Packed": "YUV422_8_UYVY",
    "YUV422_YUYV_Packed": "YUV422_8",
}
"""Older names, which some cameras still use."""
_BY_CODE = {each.code: each for each in FORMATS}
_BY_NAME = {each.name: each for each in FORMATS}


def by_code(code: int) -> PixelFormat | None:
    """The format with this code, or None where it isn't read."""
    return _BY_CODE.get(code & 0xFFFFFFFF)


def by_name(name: str) -> PixelFormat | None:
    """The format with this name, an older one too, or None where it isn't read."""
    return _BY_NAME.get(_OTHER_NAMES.get(name, name))


__all__ = ["FORMATS", "Colour", "Packing", "PixelFormat", "by_code", "by_name"]
