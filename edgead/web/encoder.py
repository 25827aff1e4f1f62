"""The encoder: which count a line has, and whether lines are missing before it.

Between the pieces that come with a count, lines lie ``per_line`` counts apart. So a line's count is known
from the last piece before it that brought one, and a count that is over half a line from where it should be
says that lines are missing, or that the web was drawn back.
"""

from __future__ import annotations

import math
from bisect import bisect_right

from edgead.errors import OptionError
from edgead.runtime.engine_options import whole

MOST = 1 << 63


class Encoder:
    """Counts of lines, of as few of them as are still asked for.

    Args:
        per_line: counts from a line to the next, under 0 where it counts down.
        bits: after 2 ** bits counts it begins anew; None where it never does.

    Raises:
        OptionError: one is out of range.
    """

    def __init__(self, per_line: float, bits: int | None) -> None:
        if not math.isfinite(per_line) or not 1e-6 <= abs(per_line) <= 1e9:
            raise OptionError(f"counts_per_line {per_line} must be a number other than 0, at most a billion")
        self._per_line = int(per_line) if per_line == int(per_line) else per_line
        bits = whole("encoder_bits", bits)
        if bits is not None and not 8 <= bits <= 64:
            raise OptionError(f"encoder_bits {bits} must be from 8 to 64")
        self._period = None if bits is None else 1 << bits
        self._known: list[tuple[int, int]] = []

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
        if not self._known:
            return 0
        known, at = self._known[-1]
        off: float = count - (at + (line - known) * self._per_line)
        if self._period is not None:  # the short way round
            turns = math.floor(off)
            off += (turns + self._period // 2) % self._period - self._period // 2 - turns
        return round(off / self._per_line)

    def met(self, line: int, count: int) -> None:
        """A line came with its count."""
        if self.at(line) != count:
            self._known.append((line, count))

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
