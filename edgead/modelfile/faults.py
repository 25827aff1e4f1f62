"""What is wrong with a model's file."""

from __future__ import annotations

from collections.abc import Iterable

MOST_IN_A_SIDE = 1 << 31
MOST_VALUES = 1 << 32
"""Of one tensor."""


class UnsafeModel(Exception):
    """No engine should see it."""


class MalformedModel(Exception):
    """It isn't of the kind that its name says."""


def check_shape(sides: Iterable[int]) -> None:
    """Raise UnsafeModel for a negative or huge side, or too many values in all."""
    values = 1
    for side in sides:
        if not 0 <= side <= MOST_IN_A_SIDE:
            raise UnsafeModel(f"it has a tensor with a side of {side}")
        values *= max(side, 1)
        if values > MOST_VALUES:
            raise UnsafeModel(f"it has a tensor of more than {MOST_VALUES} values")


__all__ = ["MOST_IN_A_SIDE", "MOST_VALUES", "MalformedModel", "UnsafeModel", "check_shape"]
