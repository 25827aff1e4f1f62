"""How many bytes a TIFF's LZW stream unpacks to, without unpacking it: damage shows in the sum.

After each Clear code, the widths of the codes depend on their number alone, so they are all cut out at once;
the length of an entry is one more than that of the code it was made after. TIFF 6.0, section 13.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CLEAR, _END = 256, 257
_MOST = 4096 - 257
"""Codes that fit in one table."""
_FEW = 64
"""Codes between two Clear codes, on average, at the least: writers clear a table when it's full."""
_WIDTHS = np.select([np.arange(_MOST) < edge for edge in (254, 766, 1790)], [9, 10, 11], 12)
_STARTS = np.concatenate([[0], np.cumsum(_WIDTHS)])


def unpacked_bytes(packed: bytes, wanted: int) -> int | None:
    """Return the length of the unpacked stream, or None where it's damaged.

    Args:
        packed: the stream, most significant bits first, as every writer since 1988 does it.
        wanted: the expected length; it's enough, where the End code is missing.
    """
    if len(packed) > 1 and packed[0] == 0 and packed[1] & 1:  # the older order of bits
        return wanted
    stream = np.frombuffer(packed + bytes(4), np.uint8).astype(np.uint32)
    bits, at, found, tables, read = len(packed) * 8, 0, 0, 0, 0
    while True:
        codes = _codes(stream, at, bits)
        stop = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        n = int(stop[0]) if len(stop) else len(codes)
        length = _length(codes[:n])
        if length is None:
            return None
        found += length
        if not len(stop):
            return found if found >= wanted and at + int(_STARTS[n]) + 12 > bits else None
        if codes[n] == _END:
            return found
        tables, read = tables + 1, read + n
        if found > 2 * wanted or tables > _FEW + read // _FEW:  # cleared without end: made to take long
            return None
        at += int(_STARTS[n + 1])


def _codes(stream: NDArray[np.uint32], at: int, bits: int) -> NDArray[np.int64]:
    """Cut out the codes from bit ``at`` on, as many as one table can take."""
    ends = at + _STARTS[1:]
    n = int(np.searchsorted(ends, bits, side="right"))
    start, width = at + _STARTS[:n], _WIDTHS[:n]
    byte = start >> 3
    window = stream[byte] << 16 | stream[byte + 1] << 8 | stream[byte + 2]
    codes: NDArray[np.int64] = (window >> (24 - (start & 7) - width)) & ((1 << width) - 1)
    return codes


def _length(codes: NDArray[np.int64]) -> int | None:
    """Add up what the codes between two Clear codes stand for; None where one isn't in the table yet."""
    number = np.arange(len(codes))
    if (codes > 257 + number).any() or (len(codes) and codes[0] > 255):
        return None
    parent = np.where(codes > _END, codes - 258, -1)  # entry 258 + j is code j and one byte more
    lengths = np.ones(len(codes) + 1, np.int64)  # the last is that of no parent
    lengths[-1] = 0
    while (parent >= 0).any():  # each turn adds the ancestors of twice as far
        lengths[:-1] += lengths[parent]
        parent = np.where(parent >= 0, np.append(parent, -1)[parent], -1)
    return int(lengths.sum())


__all__ = ["unpacked_bytes"]
