"""A few of many, evenly spread: neighbours in a folder are often alike, so the first few tell little."""

from __future__ import annotations


def spread(count: int, limit: int) -> list[int]:
    """Return indices of at most ``limit`` of ``count`` things, evenly spread and ascending, from 0 on.

    Args:
        count: how many there are, 0 or more.
        limit: the most to take, 1 or more; all are taken where there are no more.

    Example:
        >>> spread(10, 4)
        [0, 2, 5, 7]
    """
    taken = min(count, limit)
    return [i * count // taken for i in range(taken)]


__all__ = ["spread"]
