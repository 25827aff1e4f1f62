"""How a memory bank is searched: the cheapest ``Ranking`` that keeps distances, measured on good patches.

A distance counts as *off* where it's more than 1 % larger than the exact search's, and as *far* over 5 %.
Rankings are tried on mirrored good images, whose patches are like good ones and not in the bank; of those
that keep the share of patches that are off within the bound, and of those that are far within a tenth of
it, the cheapest is taken, and none where the exact search costs about as much. Costs are estimated from
measurements (docs/speed.md): a wrong estimate takes time, never a distance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Literal

import numpy as np
from spox import Var

from edgead.notices import Notice
from edgead.types import BankPrecision, FittingData, Image, Size
from edgead_plugins.bulk_search import nearest_rows
from edgead_plugins.nearest import Bank, LoweredBank, Neighbours
from edgead_plugins.principal import Floats, principal_axes, turned
from edgead_plugins.ranked import Index, Ranking, lower_ranked, squares_of
from edgead_plugins.ranked_bulk import RankedRows, ranked_rows

Wanted = Literal["auto", "exact", "ranked"]
Why = Literal["asked", "few-rows", "no-gain", "bound"]
NOT_RANKED = (
    "search=ranked was asked for, but the bank has too few rows to rank, or too few values in a row, so it's "
    "searched exactly; leave the option out, or keep more rows of over {dimensions} values"
)
BEYOND = (
    "search=ranked was asked for, but no ranking keeps the bound: {off:.1%} of patches come out over 1 % too "
    "far ({bound:.1%} allowed), {far:.1%} over 5 %; leave the option out for the exact search, or raise "
    "search_bound"
)
OFF = 1.01
"""A distance over so many times the exact one is off."""
FAR, FAR_SHARE = 1.05, 1 / 10
"""Over so many times it's far; and the share of the bound that may be, for two engines may disagree there."""
FLOOR = 0.01
"""And by more than so many median distances: what's next to a row of the bank is good either way."""
IMAGES, AMONG = 8, 64
"""Good images that rankings are tried on, and among how many of the first."""
PATCHES = 2048
"""Patches of theirs."""
WORTH = 2 / 3
"""Of the exact search's cost, what a ranking may cost at most."""
DIMENSIONS = (64, 96, 128, 192, 256)
CANDIDATES: Mapping[int, tuple[int, ...]] = {2: (16, 32, 64, 128), 1: (4, 8, 16, 32, 64)}
"""How many candidates the patches of a square of each side share."""
VALUE, GATHERED, QUERY = 100, 200, 700
"""Multiplications of an INT8 product that a rank, a candidate's value and a query's cost besides."""


@dataclass(frozen=True)
class Search:
    """How a bank is searched, and how well.

    Attributes:
        ranking: None for the exact search.
        off: share of patches whose distance was off, 0 to 1; ``far`` likewise.
        bound: the largest share that was allowed to be off.
        patches: how many were tried.
        why: why it's the exact one: ``asked`` for, ``few-rows`` to make groups of, ``no-gain`` in time by any
            ranking, or ``bound``, which none kept.
        wanted: whether a ranking was asked for.
    """

    ranking: Ranking | None = None
    off: float = 0.0
    far: float = 0.0
    bound: float = 0.0
    patches: int = 0
    why: Why = "asked"
    wanted: bool = False

    @property
    def kept(self) -> bool:
        """Whether the bound was."""
        return self.off <= self.bound and self.far <= FAR_SHARE * self.bound

    @property
    def facts(self) -> Mapping[str, Any]:
        """For the manifest."""
        if self.ranking is None:
            return {"kind": "exact", "why": self.why}
        found = {"off": self.off, "far": self.far, "bound": self.bound, "patches": self.patches}
        return {"kind": "ranked", **asdict(self.ranking), **found}

    @property
    def notices(self) -> list[Notice]:
        """That what was asked for can't be had, or not as well as asked."""
        if not self.wanted:
            return []
        if self.ranking is None:
            return [Notice("search-not-ranked", {"dimensions": DIMENSIONS[0]}, NOT_RANKED)]
        if not self.kept:
            values = {"off": self.off, "far": self.far, "bound": self.bound}
            return [Notice("search-beyond-bound", values, BEYOND)]
        return []

    def find(
        self, bank: Bank, query: Var, grid: Size, k: int, precision: BankPrecision
    ) -> tuple[LoweredBank, Neighbours]:
        """Place the bank in the graph being composed, and search it.

        Args:
            query: (h * w, dim) float32, the patches of ``grid`` row by row.
            k: neighbours.
        """
        if self.ranking is None:
            lowered = bank.lower(precision)
            return lowered, lowered.search(query, k)
        ranked = lower_ranked(bank, self.ranking, precision)
        return ranked.bank, ranked.search(query, grid, k)

    def in_bulk(self, bank: Floats, images: Floats, grid: Size, k: int) -> tuple[Floats, Index]:
        """The same without a graph, for images' patches (n, h * w, dim) float32.

        Returns:
            Distances (n, h * w, k) float32, ascending, and bank rows of that shape.
        """
        if self.ranking is not None:
            return ranked_rows(images, bank, grid, self.ranking, k)
        distance, index = nearest_rows(images.reshape(-1, bank.shape[1]), bank, k)
        return distance.reshape(*images.shape[:2], k), index.reshape(*images.shape[:2], k)


EXACT = Search()


def choose_search(
    bank: Floats, data: FittingData, name: str, wanted: Wanted, bound: float, k: int = 1
) -> Search:
    """Try rankings on mirrored good images.

    Args:
        bank: (rows, dim) float32, patches of the map ``name`` that ``embed`` yields.
        wanted: exact tries none; ranked takes one even where the exact search is as fast, and of those that
            don't keep the bound the nearest.
        bound: largest share of patches that may be off, 0 to 1.
        k: neighbours whose mean distance counts.
    """
    dim, h, w = data.shapes[name]
    ranked = wanted == "ranked"
    if wanted == "exact":
        return EXACT
    if not affordable(len(bank), dim, (h, w), k, ranked):
        any_at_all = affordable(len(bank), dim, (h, w), k, True)
        return Search(why="no-gain" if any_at_all else "few-rows", wanted=ranked)
    step = max(1, min(data.n_images, AMONG) // IMAGES)
    few = islice(data.images(), 0, step * IMAGES, step)
    maps = [found[name].reshape(dim, -1).T for found in data.embed(map(_mirrored, few))]
    if not maps:  # nothing shows that a bound would be kept
        return Search(why="bound", wanted=ranked)
    return best_search(bank, np.stack(maps), (h, w), bound, k, ranked)


def best_search(
    bank: Floats, images: Floats, grid: Size, bound: float, k: int = 1, ranked: bool = False
) -> Search:
    """The cheapest search of those that keep the bound.

    Args:
        bank: (rows, dim) float32.
        images: (n, h * w, dim) float32, patches that aren't in the bank.
        grid: (h, w).
        bound, k: see ``choose_search``.
        ranked: not the exact search, if there's any other.
    """
    mean = bank.mean(0, dtype=np.float64).astype(np.float32)
    centred, axes = bank - mean, principal_axes(bank)
    samples: dict[int, _Sample] = {}
    tried: dict[Ranking, Search] = {}

    def kept(ranking: Ranking) -> bool:
        if ranking not in tried:
            if ranking.side not in samples:
                samples[ranking.side] = _Sample(images - mean, centred, squares_of(grid, ranking.side), k)
            sample = samples[ranking.side]
            off, far = sample.off(turned(axes[:, : ranking.dimensions]), ranking)
            tried[ranking] = Search(ranking, off, far, bound, sample.size)
        return tried[ranking].kept

    possible = affordable(len(bank), bank.shape[1], grid, k, ranked)
    most = max((ranking.dimensions for ranking in possible), default=0)
    for ranking in possible:
        # Where many dimensions don't do, few won't.
        if kept(replace(ranking, dimensions=most)) and kept(ranking):
            return replace(tried[ranking], wanted=ranked)
    if ranked and tried:
        return replace(min(tried.values(), key=lambda search: search.off), wanted=True)
    return Search(why="bound" if tried else "no-gain", wanted=ranked)


def affordable(rows: int, dim: int, grid: Size, k: int, ranked: bool = False) -> list[Ranking]:
    """Rankings that cost a third less than the exact search, or all where one must be; the cheapest first."""
    possible = [
        Ranking(side, dimensions, candidates, group)
        for side, counts in CANDIDATES.items()
        for candidates in counts
        for dimensions in DIMENSIONS
        if dimensions < dim and k <= candidates and (group := _group(rows, candidates))
    ]
    most = np.inf if ranked else WORTH * cost(rows, dim, grid, None)
    costs = {ranking: cost(rows, dim, grid, ranking) for ranking in possible}
    return sorted((ranking for ranking in possible if costs[ranking] <= most), key=costs.__getitem__)


def cost(rows: int, dim: int, grid: Size, ranking: Ranking | None) -> float:
    """What a search of an image's patches costs, in multiplications of an INT8 product."""
    queries = grid[0] * grid[1]
    if ranking is None:
        return queries * rows * (dim + VALUE)
    squares = len(squares_of(grid, ranking.side))
    ranks = squares * rows * (ranking.dimensions + VALUE)
    return ranks + GATHERED * squares * ranking.candidates * dim + QUERY * queries * dim


def _group(rows: int, candidates: int) -> int:
    """Rows of a group: three groups at least for each candidate; 0 where there aren't enough rows."""
    fits = [size for size in (256, 128, 64, 32, 16, 8) if rows >= 3 * candidates * size]
    return fits[0] if fits else 0


class _Sample:
    """Squares of patches to try rankings on, and their patches' exact distances.

    Args:
        images: (n, h * w, dim), mean removed.
        bank: (rows, dim), mean removed.
        squares: what patches belong together.
        k: neighbours whose mean distance counts.
    """

    def __init__(self, images: Floats, bank: Floats, squares: Index, k: int) -> None:
        count, each = squares.shape
        few = min(len(images) * count, max(1, PATCHES // each))
        drawn = np.random.default_rng(0).choice(len(images) * count, few, replace=False)
        self._patches = images[drawn[:, None] // count, squares[drawn % count]]  # (few, each, dim)
        self._bank, self._k = bank, k
        exact, _ = nearest_rows(self._patches.reshape(-1, bank.shape[1]), bank, k)
        self._exact = exact.mean(1).reshape(few, each)

    @property
    def size(self) -> int:
        """Patches."""
        return int(self._exact.size)

    def off(self, projection: Floats, ranking: Ranking) -> tuple[float, float]:
        """The share of patches that are off, and of those that are far."""
        found, _ = RankedRows(self._bank, projection, ranking).nearest(self._patches, self._k)
        beyond = found.mean(2) - FLOOR * float(np.median(self._exact))
        off, far = (float((beyond > times * self._exact).mean()) for times in (OFF, FAR))
        return off, far


def _mirrored(image: Image) -> Image:
    return np.ascontiguousarray(image[:, ::-1])


__all__ = ["EXACT", "Search", "Wanted", "affordable", "best_search", "choose_search", "cost"]
