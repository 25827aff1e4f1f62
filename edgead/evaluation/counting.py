"""How many good and defective pixels have each score: exact, without keeping the pixels.

Thousands of full-size maps have billions of pixels but far fewer distinct scores: between a value and its
double there are 2**23 float32 numbers. So pixels are counted by their 32 bits, in pages of counters that are
taken into use where scores occur. Where scores spread so widely that the memory given doesn't hold the pages,
neighbouring numbers share a counter, two by two, as often as needed: ``bits`` then says how many significant
bits of a score are still told apart (24: all of them, and every figure is exact).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint32]

_PAGE_BITS = 12
_PAGE = 1 << _PAGE_BITS
_SIGNIFICANT = 24
_COUNTER_MAX = 2**32 - 1
_BLOCK_PAGES = 64


def keys_of(scores: NDArray[np.float32]) -> Keys:
    """Return whole numbers in the order of the scores, equal where these are; -0.0 is 0.0."""
    bits = (scores + np.float32(0)).view(np.uint32)
    negative = (bits.view(np.int32) >> 31).view(np.uint32)
    return bits ^ (negative | np.uint32(0x80000000))


def without_low_bits(keys: Keys, shift: int) -> Keys:
    """Return the keys moved down by ``shift`` bits."""
    return np.right_shift(keys, np.uint32(shift), dtype=np.uint32)


@dataclass(frozen=True)
class Block:
    """Some of the scores that occur, the highest first.

    Attributes:
        keys: (n,) uint32, ``keys_of`` the scores without the bits that aren't told apart; descending.
        good, bad: (n,) float64, number of pixels.
        overlap: (n,) float64, sum of the weights of the defective pixels.
    """

    keys: Keys
    good: NDArray[np.float64]
    bad: NDArray[np.float64]
    overlap: NDArray[np.float64]


class PixelCounts:
    """Counts pixels by score in bounded memory; see the module's text.

    Args:
        memory: bytes that the counters may take; they're taken into use as scores need them.

    Attributes:
        shift: number of low bits that aren't told apart.
        good, bad: number of pixels counted.
    """

    def __init__(self, memory: int) -> None:
        self.shift, self.good, self.bad = 0, 0, 0
        self._good = _Pages(memory * 2 // 5 // 4, (np.uint32,))
        self._bad = _Pages(memory * 3 // 5 // 12, (np.uint32, np.float64))

    @property
    def bits(self) -> int:
        """Significant bits of a score that are told apart: 24 is exact."""
        return max(0, _SIGNIFICANT - self.shift)

    def add_good(self, keys: Keys) -> None:
        """Count good pixels; ``keys`` is flat."""
        self.good += keys.size
        if self.good > _COUNTER_MAX:
            self._good.widen()
        self._add(self._good, keys, None)

    def add_bad(self, keys: Keys, weights: NDArray[np.float64]) -> None:
        """Count defective pixels and add up their weights; both are flat."""
        self.bad += keys.size
        if self.bad > _COUNTER_MAX:
            self._bad.widen()
        self._add(self._bad, keys, weights)

    def _add(self, pages: _Pages, keys: Keys, weights: NDArray[np.float64] | None) -> None:
        slots = without_low_bits(keys, self.shift)
        while not pages.take(slots):
            self.shift += 1
            slots = without_low_bits(slots, 1)
            self._good.halve()
            self._bad.halve()
        at = pages.find(slots)
        counter = pages.columns[0]
        np.add.at(counter, at, counter.dtype.type(1))  # of its own type: else it's 40 times slower
        if weights is not None:
            np.add.at(pages.columns[1], at, weights)

    def blocks(self) -> Iterator[Block]:
        """Walk down the scores that occur, each in one block."""
        used = np.flatnonzero((self._good.page_of >= 0) | (self._bad.page_of >= 0))[::-1]
        for start in range(0, used.size, _BLOCK_PAGES):
            tops = used[start : start + _BLOCK_PAGES]
            good, bad, overlap = self._good.read(tops, 0), self._bad.read(tops, 0), self._bad.read(tops, 1)
            slots = ((tops[:, None] << _PAGE_BITS) + np.arange(_PAGE - 1, -1, -1)).ravel()
            some = np.flatnonzero((good > 0) | (bad > 0))
            keys = (slots[some] << self.shift).astype(np.uint32)
            yield Block(keys, good[some], bad[some], overlap[some])


class _Pages:
    """Columns of counters, a page at a time; ``page_of`` tells a page's place, -1 where it isn't used."""

    def __init__(self, counters: int, types: tuple[type[np.generic], ...]) -> None:
        self._pages = max(1, counters >> _PAGE_BITS)
        # The system hands out zeroed memory as it's first touched, so that what isn't used costs nothing.
        self.columns = [np.zeros(self._pages << _PAGE_BITS, t) for t in types]
        self.page_of = np.full(1 << (32 - _PAGE_BITS), -1, np.int32)
        self._fresh = 0
        self._free: list[int] = []

    def take(self, slots: Keys) -> bool:
        """Take the pages that these need into use; False where there isn't room for all."""
        tops = without_low_bits(slots, _PAGE_BITS)
        new = np.unique(tops[self.page_of[tops] < 0])
        if new.size > self._pages - self._fresh + len(self._free):
            return False
        for top in new:
            if self._free:
                self.page_of[top] = self._free.pop()
            else:
                self.page_of[top] = self._fresh
                self._fresh += 1
        return True

    def find(self, slots: Keys) -> NDArray[np.intp]:
        """Return the places of slots in each column."""
        pages = self.page_of[without_low_bits(slots, _PAGE_BITS)].astype(np.intp)
        return np.asarray((pages << _PAGE_BITS) + (slots & np.uint32(_PAGE - 1)), np.intp)

    def read(self, tops: NDArray[np.intp], column: int) -> NDArray[np.float64]:
        """Return a column's counters of these pages, each page from its end; zeros where it isn't used."""
        places = self.page_of[tops]
        found = np.zeros((tops.size, _PAGE))
        found[places >= 0] = self.columns[column].reshape(-1, _PAGE)[places[places >= 0], ::-1]
        return found.ravel()

    def halve(self) -> None:
        """Put each two neighbouring counters together, in place."""
        page_of = np.full(max(1, self.page_of.size // 2), -1, np.int32)
        for parent in np.unique(np.flatnonzero(self.page_of >= 0) // 2):
            pair = self.page_of[2 * parent : 2 * parent + 2]
            kept, spare = pair.max(), pair.min()
            for column in self.columns:
                rows = column.reshape(-1, _PAGE)
                none = np.zeros(_PAGE, column.dtype)
                whole = np.concatenate([rows[place] if place >= 0 else none for place in pair])
                rows[kept] = whole[::2] + whole[1::2]
                if spare >= 0:
                    rows[spare] = 0
            page_of[parent] = kept
            if spare >= 0:
                self._free.append(int(spare))
        self.page_of = page_of

    def widen(self) -> None:
        """Give the whole-number column 64 bits, once it could overflow 32."""
        old = self.columns[0]
        if old.dtype == np.uint32:
            used = self._fresh << _PAGE_BITS
            self.columns[0] = np.zeros(old.size, np.uint64)
            self.columns[0][:used] = old[:used]


__all__ = ["Block", "PixelCounts", "keys_of"]
