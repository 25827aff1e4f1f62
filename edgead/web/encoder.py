"""The encoder: which count a line has, and whether lines are missing before it.

Between the pieces that come with a count, lines lie ``per_line`` counts apart. So a line's count is known
from the last piece before it that brought one.

Where a count should be is known from all of them: an eighth of what each is off by is taken over, so that
jitter of one piece doesn't move where the next is expected, and a ``per_line`` that's a little off does no
harm. A count that is over half a line from there, and over one count, which is all that a whole number can
tell, says that lines are missing, or that the web was drawn back.
"""

from __future__ import annotations

import math
from bisect import bisect_right

from edgead.errors import OptionError
from edgead.runtime.engine_options import whole
from edgead.web.numbers import plain_number

MOST = 1 << 63
FOLLOWED = 1 / 8
"""Share of a count's deviation that's taken over."""


class Encoder:
    """Counts of lines, of as few of them as are still asked for.

    Args:
        per_line: counts from a line to the next, under 0 where it counts down.
        bits: after 2 ** bits counts it begins anew; None where it never does.

    Raises:
        OptionError: one is out of range.
    """

    def __init__(self, per_line: float, bits: int | None) -> None:
        number = plain_number("counts_per_line", per_line)
        if not math.isfinite(number) or not 1e-6 <= abs(number) <= 1e9:
            raise OptionError(f"counts_per_line {number} must be a number other than 0, at most a billion")
        self._per_line = int(number) if number == int(number) else number
        bits = whole("encoder_bits", bits)
        if bits is not None and not 8 <= bits <= 64:
            raise OptionError(f"encoder_bits {bits} must be from 8 to 64")
        self._period = None if bits is None else 1 << bits
        self._known: list[tuple[int, int]] = []
        self._expected: tuple[int, float] | None = None  # a line, and where its count should be

    def read(self, count: int) -> int:
        """A count as it was given, as a plain number.

        Raises:
            OptionError: it's no whole number, or not one that the encoder can have.
        """
        number = whole("encoder", count)
        if number is None or not -MOST <= number < 2 * MOST:
            raise OptionError(f"encoder {number} must be a whole number of at most 64 bits")
        if self._period is not None and not 0 <= number < self._period:
            raise OptionError(f"encoder {number} isn't a count of {self._period.bit_length() - 1} bits")
        return number

    def missing(self, line: int, count: int) -> int:
        """How many lines are missing before this one, by its count; under 0 where the web was drawn back."""
        if self._expected is None:
            return 0
        off = self._off(line, count)
        return 0 if self._is_jitter(off) else round(off / self._per_line)

    def met(self, line: int, count: int) -> None:
        """A line came with its count."""
        off = None if self._expected is None else self._off(line, count)
        if off is not None and self._is_jitter(off):
            self._expected = line, count - (1 - FOLLOWED) * off
        else:
            self._expected = line, count
        if self.at(line) != count:
            self._known.append((line, count))

    def _off(self, line: int, count: int) -> float:
        """How far a line's count is from where it should be; the short way round."""
        assert self._expected is not None
        known, at = self._expected
        off: float = count - (at + (line - known) * self._per_line)
        if self._period is not None:
            turns = math.floor(off)
            off += (turns + self._period // 2) % self._period - self._period // 2 - turns
        return off

    def _is_jitter(self, off: float) -> bool:
        return abs(off) <= max(abs(self._per_line) / 2, 1 + 1e-6)

    def at(self, line: int, after: int = 0) -> int | None:
        """The count of a line, and of so many lines after it; None before the first that is known."""
        place = bisect_right(self._known, line, key=lambda each: each[0]) - 1
        if place < 0:
            return None
        known, count = self._known[place]
        exact = round(count + (line + after - known) * self._per_line)
        return exact if self._period is None else exact % self._period

    def forget(self, line: int) -> None:
        """Nothing before this line is asked for any more."""
        del self._known[: max(0, bisect_right(self._known, line, key=lambda each: each[0]) - 1)]

    def __len__(self) -> int:
        return len(self._known)


__all__ = ["Encoder"]
