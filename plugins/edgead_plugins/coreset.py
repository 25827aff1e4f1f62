"""Which patch embeddings make the memory bank: PatchCore's coreset, exact, fast and in bounded memory.

The greedy k-centre algorithm (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985) as
used by PatchCore (Roth et al. 2022, arXiv 2106.08265, section 3.2): again and again take the point that is
farthest from all picks so far. Algorithm, proofs and measurements: docs/coreset.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray

from edgead.errors import InputError, OptionError
from edgead.types import Progress
from edgead_plugins.farthest_point import FarthestPointSearch, Points, search_bytes

_SURPLUS = 2  # where groups compete, each offers so many times its share


def greedy_coreset(
    points: Points, picks: int, *, start: int, progress: Progress | None = None
) -> NDArray[np.int64]:
    """Select points greedily, each the farthest from those before it: the naive loop's picks, in its order.

    Besides ``points``, which may be a memory map and isn't copied unless it's strided, it allocates at most
    64 N + 4 (D + 6) picks bytes, and working blocks of 64 MiB + 80 D KiB. An interrupt passes at once.

    Args:
        points: (N, D) float32, finite, magnitudes below 1e18.
        picks: how many to select, 1 to N.
        start: index of the first pick.
        progress: reports picks done.

    Returns:
        (picks,) int64 indices in the order of selection; fewer where all that's left are duplicates of picks.

    Raises:
        edgead.errors.OptionError: ``picks`` or ``start`` out of range.
        edgead.errors.InputError: ``points`` of a wrong type or shape, or not finite.
    """
    if not (
        isinstance(points, np.ndarray) and points.dtype == np.float32 and points.ndim == 2 and points.size
    ):
        raise InputError("points must be a filled float32 array (N, D): convert with astype(numpy.float32)")
    _check_range(len(points), picks, start)
    with _report(progress, picks) as advance:
        search = FarthestPointSearch(np.ascontiguousarray(points), picks, start)
        search.run(advance)
    return search.picks[: search.count]


def random_projection(dim_in: int, dim_out: int, seed: int) -> Points:
    """Return the (dim_in, dim_out) float32 matrix to multiply embeddings with before the selection.

    Entries are uniform in ±1/sqrt(dim_in), as in the official PatchCore, whose projection is a freshly made
    bias-free linear layer. It shrinks all distances alike, which no greedy selection notices.
    """
    bound = dim_in**-0.5
    return np.random.default_rng(seed).uniform(-bound, bound, (dim_in, dim_out)).astype(np.float32)


def streaming_coreset(
    chunks: Callable[[], Iterator[Points]],
    total_points: int,
    picks: int,
    memory_bytes: int,
    *,
    start: int,
    progress: Progress | None = None,
) -> NDArray[np.int64]:
    """Select like ``greedy_coreset``, in one pass over points that needn't fit into memory.

    Where all points fit, the selection is exact. Otherwise they are read in G equal groups, the fewest that
    fit (at most 1,000, and no more than ``picks``). Each is searched greedily for twice its share, and of all
    that the groups offer, the ``picks`` that were farthest when they were selected are kept: so all groups go
    on to one common radius. With optimum(k) the smallest radius within which k points can cover all, every
    point is within 2 * optimum(picks // G) of a pick; exact greedy has 2 * optimum(picks). Measured in
    docs/coreset.md.

    Args:
        chunks: starts a pass over the points, in order, as (n, D) float32 arrays; called once.
        total_points: number of points of the pass.
        picks: how many to select, 1 to ``total_points``.
        memory_bytes: bound on what this function allocates; the chunks themselves are the caller's.
        start: index of the first pick.
        progress: reports picks done, the surplus included.

    Returns:
        int64 indices into the whole pass, the farthest first; fewer where only duplicates are left.

    Raises:
        edgead.errors.OptionError: ``picks`` or ``start`` out of range, or too little memory.
        edgead.errors.InputError: chunks of wrong types or different widths, or not ``total_points`` in all.
    """
    _check_range(total_points, picks, start)
    iterator = chunks()
    first = _checked(next(iterator, None), None)
    groups, share = _groups_that_fit(total_points, first.shape[1], picks, memory_bytes)
    indices, radii = [], []
    with _report(progress, groups * share) as advance:
        for begin, group in _regroup(first, iterator, total_points, groups):
            inside = begin <= start < begin + len(group)
            search = FarthestPointSearch(group, min(share, len(group)), start - begin if inside else 0)
            search.run(advance)
            search.radii[0] = np.inf if inside else np.finfo(np.float64).max  # the start is the very first
            indices.append(search.picks[: search.count] + begin)
            radii.append(search.radii[: search.count].copy())
            del search, group  # before the next group is read
    farthest = np.argsort(-np.concatenate(radii), kind="stable")[:picks]
    return np.concatenate(indices)[farthest]


def _groups_that_fit(total: int, dim: int, picks: int, memory_bytes: int) -> tuple[int, int]:
    """Return the smallest number of groups that fits, one at a time, and the picks that each offers."""
    needs = []
    for groups in range(1, min(picks, 1000) + 1):
        size = -(-total // groups)
        share = picks if groups == 1 else min(size, -(-_SURPLUS * picks // groups))
        offered = 48 * groups * share  # indices and radii of all, and what sorting them takes
        needs.append(4 * dim * size + search_bytes(size, share, dim) + offered)
        if needs[-1] <= memory_bytes:
            return groups, share
    raise OptionError(
        f"{picks} picks of {total} points need {-(-min(needs) >> 20)} MiB, and {memory_bytes >> 20} MiB "
        "are allowed: allow more memory, select fewer or project to fewer dimensions"
    )


def _regroup(chunk: Points, rest: Iterator[Points], total: int, groups: int) -> Iterator[tuple[int, Points]]:
    """Yield (first index, points) of equal groups; the last ones may be smaller."""
    size = -(-total // groups)
    for begin in range(0, total, size):
        group = np.empty((min(size, total - begin), chunk.shape[1]), np.float32)
        filled = 0
        while filled < len(group):
            if not len(chunk):
                chunk = _checked(next(rest, None), group.shape[1])
            taken = min(len(group) - filled, len(chunk))
            group[filled : filled + taken], chunk = chunk[:taken], chunk[taken:]
            filled += taken
        if begin + size >= total and (len(chunk) or next(rest, None) is not None):
            raise InputError(f"the chunks hold more than the {total} points announced: count them again")
        yield begin, group
        del group


def _checked(chunk: Points | None, dim: int | None) -> Points:
    if chunk is None:
        raise InputError("the chunks end before all points announced have come: count them again")
    if chunk.dtype != np.float32 or chunk.ndim != 2 or dim not in (None, chunk.shape[1]):
        raise InputError(f"a chunk is {chunk.dtype} {chunk.shape}: all must be float32 (n, D), D the same")
    return chunk


def _report(progress: Progress | None, total: int) -> AbstractContextManager[Callable[[int], None]]:
    return progress("coreset", total) if progress else nullcontext(lambda done: None)


def _check_range(n: int, picks: int, start: int) -> None:
    if not 1 <= picks <= n:
        raise OptionError(f"picks is {picks}: choose 1 to {n}, the number of points")
    if not 0 <= start < n:
        raise OptionError(f"start is {start}: choose 0 to {n - 1}, the index of a point")
