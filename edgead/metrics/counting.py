"""How many good and defective pixels have each score: exact, without keeping the pixels.

Thousands of full-size maps have billions of pixels but far fewer distinct scores: between a value and its
double there are 2**23 float32 numbers. So pixels are counted by their 32 bits, in pages of counters that are
taken into use where scores occur. Where scores spread so widely that the memory given doesn't hold the pages,
neighbouring numbers share a counter, two by two and as often as needed, first between those powers of two
where a page counts the smallest share of the pixels. ``bits`` then says how many significant bits of a score
are told apart at least (24: all of them, and every figure is exact).
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
_FRACTION_BITS = 23
_BINADES = 1 << (32 - _FRACTION_BITS)
"""A binade: the numbers from a power of two to its double; of both signs there are so many."""
_BASE_BITS = _FRACTION_BITS - _PAGE_BITS
"""A binade has 2**11 pages while no counter is shared, and one when each is shared by as many scores."""
_COUNTER_MAX = 2**32 - 1
_BLOCK_PAGES = 64


def keys_of(scores: NDArray[np.float32]) -> Keys:
    """Return whole numbers in the order of the scores, equal where these are; -0.0 is 0.0."""
    bits = (scores + np.float32(0)).view(np.uint32)
    negative = (bits.view(np.int32) >> 31).view(np.uint32)
    return bits ^ (negative | np.uint32(0x80000000))


@dataclass(frozen=True)
class Block:
    """Some of the scores that occur, the highest first.

    Attributes:
        keys: (n,) uint32, descending; the lowest of those that share a counter.
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
        memory: bytes that the counters may take, 32 MiB at least; they're taken into use as scores need them.

    Attributes:
        good, bad: number of pixels counted.
    """

    def __init__(self, memory: int) -> None:
        self.good, self.bad = 0, 0
        self._shift = np.zeros(_BINADES, np.uint32)  # of each binade the number of low bits not told apart
        self._good = _Pages(memory * 2 // 5 // 4, (np.uint32,))
        self._bad = _Pages(memory * 3 // 5 // 12, (np.uint32, np.float64))

    @property
    def bits(self) -> int:
        """Significant bits of a score that are told apart at least: 24 is exact."""
        return _SIGNIFICANT - int(self._shift.max())

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

    def shorten(self, keys: Keys) -> Keys:
        """Return the lowest of the keys that share a counter with each."""
        shift = self._shift[keys >> np.uint32(_FRACTION_BITS)]
        return np.asarray((keys >> shift) << shift, np.uint32)

    def blocks(self) -> Iterator[Block]:
        """Walk down the scores that occur, each in one block."""
        used = np.flatnonzero((self._good.page_of >= 0) | (self._bad.page_of >= 0))[::-1]
        for start in range(0, used.size, _BLOCK_PAGES):
            bases = used[start : start + _BLOCK_PAGES]
            good, bad, overlap = self._good.read(bases, 0), self._bad.read(bases, 0), self._bad.read(bases, 1)
            shift = self._shift[bases >> _BASE_BITS].astype(np.int64)[:, None]
            keys = (bases[:, None] << _PAGE_BITS) + (np.arange(_PAGE - 1, -1, -1) << shift)
            some = np.flatnonzero((good > 0) | (bad > 0))
            yield Block(keys.ravel()[some].astype(np.uint32), good[some], bad[some], overlap[some])

    def _add(self, pages: _Pages, keys: Keys, weights: NDArray[np.float64] | None) -> None:
        pages.pixels += np.bincount(keys >> np.uint32(_FRACTION_BITS), minlength=_BINADES)
        wanted = keys >> np.uint32(_PAGE_BITS)
        slots = keys
        if self._shift.any():
            wanted, slots = self._share(keys)
        new = _distinct(np.sort(wanted[pages.page_of[wanted] < 0]))
        if not pages.take(new):
            while not pages.take(new):
                self._coarsen(pages, new)
                shift = self._shift[new >> np.uint32(_BASE_BITS)]
                new = _distinct(new >> shift << shift)
                new = new[pages.page_of[new] < 0]
            wanted, slots = self._share(keys)
        at = (pages.page_of[wanted].astype(np.intp) << _PAGE_BITS) + (slots & np.uint32(_PAGE - 1))
        counter = pages.columns[0]
        np.add.at(counter, at, counter.dtype.type(1))  # of its own type: else it's 40 times slower
        if weights is not None:
            np.add.at(pages.columns[1], at, weights)

    def _share(self, keys: Keys) -> tuple[Keys, Keys]:
        """Return each key's page, as the first that it would be without sharing, and its counter."""
        shift = self._shift[keys >> np.uint32(_FRACTION_BITS)]
        return (keys >> np.uint32(_PAGE_BITS)) >> shift << shift, keys >> shift

    def _coarsen(self, pages: _Pages, new: Keys) -> None:
        """Let the counters of one binade be shared by twice as many, to make room among these pages."""
        used = (pages.page_of.reshape(_BINADES, -1) >= 0).sum(axis=1)
        used += np.bincount(new >> np.uint32(_BASE_BITS), minlength=_BINADES)
        share = self._good.pixels / max(1, self.good) + self._bad.pixels / max(1, self.bad)
        binade = int(np.argmin(np.where(used > 1, share / np.maximum(used, 1), np.inf)))
        for each in (self._good, self._bad):
            each.halve(binade, int(self._shift[binade]))
        self._shift[binade] += 1


def _distinct(ascending: Keys) -> Keys:
    first = np.append(True, ascending[1:] != ascending[:-1])[: ascending.size]
    return np.asarray(ascending[first], np.uint32)


class _Pages:
    """Columns of counters, a page at a time.

    Attributes:
        columns: the counters, page after page in the order in which they were taken.
        page_of: the place of a page by its first key without the low 12 bits; -1 where it isn't used.
        pixels: (binades,) how many pixels were counted.
    """

    def __init__(self, counters: int, types: tuple[type[np.generic], ...]) -> None:
        self._pages = max(_BINADES, counters >> _PAGE_BITS)  # a page for each binade always fits
        # The system hands out zeroed memory as it's first touched, so that what isn't used costs nothing.
        self.columns = [np.zeros(self._pages << _PAGE_BITS, t) for t in types]
        self.page_of = np.full(_BINADES << _BASE_BITS, -1, np.int32)
        self.pixels = np.zeros(_BINADES, np.int64)
        self._fresh = 0
        self._free: list[int] = []

    def take(self, new: Keys) -> bool:
        """Take these pages into use; False where there isn't room for all."""
        if new.size > self._pages - self._fresh + len(self._free):
            return False
        again, self._free = self._free[: new.size], self._free[new.size :]
        first, self._fresh = self._fresh, self._fresh + new.size - len(again)
        self.page_of[new] = np.append(np.array(again, np.int32), np.arange(first, self._fresh))
        return True

    def read(self, bases: NDArray[np.intp], column: int) -> NDArray[np.float64]:
        """Return a column's counters of these pages, each page from its end; zeros where it isn't used."""
        places = self.page_of[bases]
        found = np.zeros((bases.size, _PAGE))
        found[places >= 0] = self.columns[column].reshape(-1, _PAGE)[places[places >= 0], ::-1]
        return found.ravel()

    def halve(self, binade: int, shift: int) -> None:
        """Put each two neighbouring counters of a binade together, in place."""
        first, after, half = binade << _BASE_BITS, (binade + 1) << _BASE_BITS, _PAGE // 2
        for start in range(first, after, _BLOCK_PAGES << shift):
            pairs = np.arange(start, min(start + (_BLOCK_PAGES << shift), after), 1 << shift).reshape(-1, 2)
            pairs = pairs[self.page_of[pairs].max(axis=1) >= 0]
            places = self.page_of[pairs]
            kept, spare = places.max(axis=1), places.min(axis=1)
            spare = spare[spare >= 0]
            for column in self.columns:
                rows = column.reshape(-1, _PAGE)
                sums = np.zeros((len(pairs), _PAGE), column.dtype)
                for side, part in enumerate((slice(half), slice(half, None))):
                    some = places[:, side] >= 0
                    counters = rows[places[some, side]]
                    sums[some, part] = counters[:, ::2] + counters[:, 1::2]
                rows[kept], rows[spare] = sums, 0
            self.page_of[pairs[:, 0]], self.page_of[pairs[:, 1]] = kept, -1
            self._free += spare.tolist()

    def widen(self) -> None:
        """Give the whole-number column 64 bits, once it could overflow 32."""
        old = self.columns[0]
        if old.dtype == np.uint32:
            used = self._fresh << _PAGE_BITS
            self.columns[0] = np.zeros(old.size, np.uint64)
            self.columns[0][:used] = old[:used]


__all__ = ["Block", "Keys", "PixelCounts", "keys_of"]
