"""PatchCore: Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022, arXiv 2106.08265.

Patch embeddings of good images, thinned to a coreset, are the memory bank. A patch's score is its Euclidean
distance to the nearest bank rows; the image score is the highest patch score, re-weighted by equation 7.

Where paper and popular code differ: distances are Euclidean as in the paper (its code returns squares);
equation 7 is applied with the neighbours of m*, the bank row nearest to the highest patch (the paper's
code leaves the equation out); the coreset is the exact greedy one on randomly projected embeddings, from
one seeded start that belongs to the bank (the paper's code starts from the mean distance to ten points).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.errors import DatasetError
from edgead.notices import Notice
from edgead.options import check_options
from edgead.types import Backbone, BankPrecision, Features, FittingData, Scores
from edgead.workbench.features import all_but
from edgead.workbench.graph import parameter, static_shape
from edgead_plugins.bulk_search import bank_neighbours
from edgead_plugins.coreset import greedy_coreset, random_projection, streaming_coreset
from edgead_plugins.embedding import concatenated, pooled
from edgead_plugins.farthest_point import search_bytes
from edgead_plugins.layers import named_or_at
from edgead_plugins.nearest import Bank, LoweredBank
from edgead_plugins.option_kinds import Count, Positive, Share, WholeNumber
from edgead_plugins.ranking import EXACT, Search, Wanted, choose_search

PAPER_WIDTH = 1024
_SURPLUS = 2  # times its share of rows that a fold offers
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PatchCoreOptions:
    """PatchCore's options; ``-o name=value``."""

    layers: tuple[str, ...] = ()
    """Feature maps to use. Empty: those of stride 8 and 16, the paper's layer2 and layer3."""
    patch_size: Count = 3
    """Side of the neighbourhood that is averaged around each position of a map, in positions; 3 in the
    paper."""
    width: WholeNumber | None = None
    """Values in an embedding: 0 concatenates the maps' channels, 1024 is the paper's pooling. none: 1024
    where the maps have more channels than that together (a Wide-ResNet-50 has), else concatenation."""
    coreset_ratio: Share = 0.01
    """Share of all patches that the bank keeps; the paper reports 0.01, 0.1 and 0.25."""
    bank_mib: Positive | None = None
    """Upper bound of the bank in MiB of INT8 (one byte a value); it keeps fewer rows where that binds."""
    projection: WholeNumber = 128
    """Dimensions of the random projection that the coreset is selected in, 0 for none; 128 in the paper."""
    neighbors: Count = 1
    """Bank rows whose mean distance is a patch's score; 1 in the paper (3 for its segmentation setting)."""
    reweighting: WholeNumber = 9
    """Bank rows around the nearest one that re-weight the image score (the paper's equation 7). 0: the plain
    maximum."""
    search: Wanted = "auto"
    """How the bank is searched. exact: all rows in all dimensions; ranked: rows are ranked in fewer, for four
    neighbouring patches at once where they look alike, and only distances to the best are computed; auto:
    ranked where that's faster by a third and keeps ``search_bound``."""
    search_bound: Share = 0.01
    """Share of patches whose distance may come out more than 1 % too large by the ranked search."""
    memory_mib: Count = 4096
    """MiB of memory for embeddings while fitting. Beyond it they are read twice, and beyond what one pass
    needs (about 4 bytes a patch and dimension) the coreset is merged from groups; see docs/coreset.md."""

    def __post_init__(self) -> None:
        check_options(self)


class PatchCore:
    """The scorer. ``Options`` are stored; work begins in ``fit``."""

    Options: ClassVar[type] = PatchCoreOptions

    def __init__(self, options: PatchCoreOptions | None = None) -> None:
        self.options = options or PatchCoreOptions()

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """The chosen layers, or the maps of stride 8 and 16."""
        return named_or_at(self.options.layers, (8, 16), backbone)

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """Patch embeddings, one map ``patches`` (1, dim, h, w)."""
        chosen = [maps[name] for name in (self.options.layers or list(maps))]
        width = self.options.width
        if width is None:
            channels = sum(static_shape(m)[1] for m in chosen)
            width = PAPER_WIDTH if channels > PAPER_WIDTH else 0
        size = self.options.patch_size
        return {"patches": pooled(chosen, size, width) if width else concatenated(chosen, size)}

    def fit(self, data: FittingData) -> FittedPatchCore:
        """Select the memory bank. Two passes over the images where their embeddings don't fit in memory.

        Raises:
            DatasetError: there is no image to learn from.
        """
        total = _patches_of(data)
        picks = self._bank_rows(total, data.shapes["patches"][0])
        bank, index = self._select(data, picks)
        count = min(self.options.neighbors, len(bank))
        search = choose_search(bank, data, "patches", self.options.search, self.options.search_bound, count)
        return FittedPatchCore(bank, data.shapes["patches"][1:], self.options, total, index, search)

    def fit_folds(self, folds: Sequence[FittingData]) -> Iterator[FittedPatchCore]:
        """See ``edgead.types.FitsFolds``.

        Each fold offers a coreset of its own patches, with ``_SURPLUS`` times its share of the rows; a bank
        is the coreset of what all the others offer (Indyk et al., "Composable core-sets for diversity and
        coverage maximization", PODS 2014). So each patch is searched in two folds' worth of work instead of
        ten, and no bank knows its own fold. Banks are searched exactly. Measured in docs/coreset.md.

        Where what they offer doesn't fit ``memory_mib``, each bank is selected from scratch.
        """
        totals = [_patches_of(data) for data in folds]
        dim, h, w = folds[0].shapes["patches"]
        most = self._bank_rows(sum(totals), dim)
        counts = [min(total, math.ceil(_SURPLUS * most / sum(totals) * total)) for total in totals]
        if self._merging_bytes(sum(counts), most, dim) > self.options.memory_mib * 2**20:
            for own in range(len(folds)):
                yield self.fit(all_but(folds, own))
            return
        offers = [self._select(data, count)[0] for data, count in zip(folds, counts, strict=True)]
        for fold, (data, own) in enumerate(zip(folds, totals, strict=True)):
            rows = np.concatenate([offer for other, offer in enumerate(offers) if other != fold])
            total = sum(totals) - own
            picks = min(len(rows), self._bank_rows(total, dim))
            index = greedy_coreset(self._shortened(rows, data.seed), picks, start=_start(data, len(rows)))
            yield FittedPatchCore(rows[index], (h, w), self.options, total, index)

    def _select(self, data: FittingData, picks: int) -> tuple[Floats, NDArray[np.int64]]:
        """The coreset's rows (picks, dim), and which of all patches they are."""
        total, dim = _patches_of(data), data.shapes["patches"][0]
        start = _start(data, total)
        budget = self.options.memory_mib * 2**20
        projects = self._projects(dim)
        narrow = self.options.projection if projects else dim
        held = 4 * total * (dim + narrow * projects)
        if held + search_bytes(total, picks, narrow) <= budget:
            rows = _all_patches(data, total, dim)
            points = self._shortened(rows, data.seed)
            index = greedy_coreset(points, picks, start=start, progress=data.progress)
            return rows[index], index
        chunks = _patches(data, "reading good images")
        index = streaming_coreset(
            lambda: (self._shortened(patches, data.seed) for patches in chunks),
            total,
            picks,
            budget,
            start=start,
            progress=data.progress,
        )
        return _gather(data, index, dim), index

    def _merging_bytes(self, offered: int, picks: int, dim: int) -> int:
        """What a coreset of offered rows takes at most, with all that the folds offer and the bank."""
        narrow = self.options.projection if self._projects(dim) else dim
        held = 4 * offered * (2 * dim + narrow * self._projects(dim)) + 4 * picks * dim
        return held + search_bytes(offered, picks, narrow)

    def _shortened(self, rows: Floats, seed: int) -> Floats:
        """(n, narrow) of rows (n, dim): what the coreset is selected in."""
        dim = rows.shape[1]
        return rows @ random_projection(dim, self.options.projection, seed) if self._projects(dim) else rows

    def _projects(self, dim: int) -> bool:
        return 0 < self.options.projection < dim

    def _bank_rows(self, total: int, dim: int) -> int:
        rows = max(1, int(total * self.options.coreset_ratio))
        if self.options.bank_mib is not None:
            rows = min(rows, max(1, int(self.options.bank_mib * 2**20 / dim)))
        return min(rows, total)


@dataclass(frozen=True)
class FittedPatchCore:
    """A memory bank (rows, dim) float32 for embeddings on an (h, w) grid.

    ``index`` says which of the ``n_patches`` training patches the rows are, ``search`` how they're searched,
    ``first`` which form selected them, if not this one.
    """

    bank: Floats
    grid: tuple[int, int]
    options: PatchCoreOptions
    n_patches: int
    index: NDArray[np.int64]
    search: Search = EXACT
    first: FittedPatchCore | None = None

    def refit(self, data: FittingData) -> FittedPatchCore:
        """The same patches, as another precision of the backbone embeds them; see ``Refittable``."""
        return replace(self, bank=_gather(data, self.index, self.bank.shape[1]), first=self)

    @cached_property
    def neighbours(self) -> NDArray[np.int32]:
        """(rows, b): which bank rows lie around each, for equation 7; the same rows in all forms."""
        if self.first is not None:
            return self.first.neighbours
        return bank_neighbours(self.bank, min(self.options.reweighting, len(self.bank)))

    @property
    def facts(self) -> Mapping[str, Any]:
        """The bank's shape and bytes, how many patches it was selected from, and how it's searched."""
        rows, dim = self.bank.shape
        bank = {"rows": rows, "dim": dim, "int8_bytes": rows * dim, "patches": self.n_patches}
        return {"bank": bank, "search": self.search.facts}

    @property
    def notices(self) -> Sequence[Notice]:
        """Where ``search`` isn't what was asked for."""
        return self.search.notices

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``."""
        rows, dim = self.bank.shape
        h, w = self.grid
        # Channels last at once: engines hold maps that way already, and then this costs nothing.
        query = op.reshape(op.transpose(maps["patches"], perm=[0, 2, 3, 1]), op.const([h * w, dim]))
        count = min(self.options.neighbors, rows)
        lowered, found = self.search.find(Bank(self.bank), query, (h, w), count, bank)
        patch = op.reduce_mean(found.distance, op.const([1]), keepdims=0)
        image = op.reduce_max(patch, op.const([0]), keepdims=1)
        if self.options.reweighting and rows > 1:
            image = op.mul(image, self._weight(lowered, patch, found.query, found.index))
        # The mean of several neighbours is no distance to the nearest, so taught rows can't join it.
        embedding = query if count == 1 else None
        return Scores(op.reshape(patch, op.const([1, 1, h, w])), image, embedding)

    def in_bulk(self, images: Sequence[Features]) -> tuple[Floats, Floats]:
        """See ``edgead.types.InBulk``."""
        h, w = self.grid
        rows = len(self.bank)
        queries = np.stack([_rows_of(maps) for maps in images])
        distance, index = self.search.in_bulk(self.bank, queries, (h, w), min(self.options.neighbors, rows))
        patch = distance.mean(2)
        image = patch.max(1)
        if self.options.reweighting and rows > 1:
            highest = np.arange(len(images)), patch.argmax(1)
            nearest = index[highest][:, 0]
            count = min(self.options.reweighting, rows)
            around = bank_neighbours(self.bank, count, nearest)
            off = queries[highest][:, None] - self.bank[around]
            apart = np.sqrt((off * off).sum(2))
            risen = np.exp(apart - apart.max(1, keepdims=True))
            image = image * (1 - risen[:, 0] / risen.sum(1))
        return patch.reshape(-1, h, w), image

    def _weight(self, bank: LoweredBank, patch: Var, query: Var, index: Var) -> Var:
        """Equation 7: 1 - softmax, at m*, of the highest patch's distances to m* and m*'s neighbours."""
        highest = op.arg_max(patch, axis=0, keepdims=1)  # (1,)
        nearest = op.gather(op.gather(index, highest, axis=0), op.const([0]), axis=1)  # (1, 1), m*
        around = op.gather(
            parameter(f"{bank.name}_neighbours", self.neighbours), op.reshape(nearest, op.const([1]))
        )
        distances = bank.distances(op.gather(query, highest, axis=0), op.cast(around, to=np.int64))  # (1, b)
        first = op.gather(op.softmax(distances, axis=1), op.const([0]), axis=1)
        return op.reshape(op.sub(op.const(np.float32(1)), first), op.const([1]))


def _patches_of(data: FittingData) -> int:
    """How many patches the images have together."""
    _, h, w = data.shapes["patches"]
    if data.n_images == 0:
        raise DatasetError("patchcore needs at least one good image to fit on")
    return data.n_images * h * w


def _start(data: FittingData, total: int) -> int:
    """The coreset's first pick, by the seed."""
    return int(np.random.default_rng(data.seed).integers(total))


def _patches(data: FittingData, description: str) -> Iterator[Floats]:
    """(h * w, dim) embeddings, image by image."""
    with data.progress(description, data.n_images) as advance:
        for maps in data.features():
            yield _rows_of(maps)
            advance(1)


def _rows_of(maps: Features) -> Floats:
    """(h * w, dim), not copied."""
    patches = maps["patches"]
    return patches.reshape(len(patches), -1).T


def _all_patches(data: FittingData, total: int, dim: int) -> Floats:
    """(total, dim), read into place so that they are in memory once."""
    rows = np.empty((total, dim), np.float32)
    start = 0
    for patches in _patches(data, "reading good images"):
        rows[start : start + len(patches)] = patches
        start += len(patches)
    return rows


def _gather(data: FittingData, index: NDArray[np.int64], dim: int) -> Floats:
    """The bank's rows by global patch index, in a second pass."""
    bank = np.empty((len(index), dim), np.float32)
    start = 0
    for patches in _patches(data, "gathering the bank"):
        here = np.flatnonzero((index >= start) & (index < start + len(patches)))
        bank[here] = patches[index[here] - start]
        start += len(patches)
    return bank
