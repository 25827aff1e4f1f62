"""PaDiM: Defard et al., PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
Localization, ICPR 2020 workshops, arXiv 2011.08785.

Each position of the concatenated feature maps has its own Gaussian, from good images; the anomaly of a
position is its Mahalanobis distance, the image score the maximum of the finished map.

Where paper and popular code leave a choice: the distance has its square root, as in both; coarser maps are
enlarged by nearest neighbour, which is what the code's unfold and fold come to; the covariance is unbiased
plus 0.01 I; channels are drawn by the fit's seed (the code has a seed of its own), and the list is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import numpy as np
from spox import Var

from edgead.errors import OptionError
from edgead.notices import Notice
from edgead.options import check_options
from edgead.types import Backbone, BankPrecision, Features, FittingData, Scores
from edgead.workbench.features import all_but
from edgead_plugins.backbones.graphs import LARGEST_GRAPH
from edgead_plugins.channel_draws import draw_channels
from edgead_plugins.channel_selection import ChannelSelection, select_channels
from edgead_plugins.gaussian_density import (
    Estimation,
    Floats,
    GaussianDensity,
    densities_without_each,
    density_bytes,
    estimate_density,
    explained_by_position,
)
from edgead_plugins.layers import named_or_at
from edgead_plugins.option_kinds import Count, Positive

PAPER_DIMENSIONS = ((448, 100), (1792, 550))
"""Channels of ResNet-18's and Wide-ResNet-50-2's three maps, and the dimensions that the paper keeps."""
SURFACE, ALIGNED = 0.12, 0.6
"""Shares of variance explained by position: below, a surface; above, aligned parts. See docs/methods."""
UNALIGNED = (
    "the parts don't lie the same in all images: position explains {explained:.0%} of what the network sees "
    "(under {surface:.0%} for a plain surface, over {aligned:.0%} for fixtured parts); density is compared "
    "position by position, so fix the part in place or compare with patchcore"
)


@dataclass(frozen=True)
class PaDiMOptions:
    """PaDiM's options; ``-o name=value``."""

    layers: tuple[str, ...] = ()
    """Feature maps to use. Empty: those of stride 4, 8 and 16, the paper's layer1 to layer3."""
    dimensions: Count | None = None
    """Channels kept, chosen at random by the seed. none: on the line through the paper's two, 100 of 448
    (ResNet-18) and 550 of 1,792 (Wide-ResNet-50-2), and never fewer than 100 where there are so many."""
    draws: Count = 1
    """Random choices of channels that are tried on synthetic defects; the best is taken. 1: none is tried, as
    in the paper."""
    form: Literal["full", "low-rank", "diagonal"] = "full"
    """Covariance at each position. full: the paper's; low-rank: the directions in which good images vary
    least; diagonal: without correlations."""
    rank: Count | None = None
    """Directions that form=low-rank keeps. none: half of the dimensions."""
    upsampling: Literal["nearest", "bilinear"] = "nearest"
    """How coarser maps reach the finest map's grid; nearest in the paper's code."""
    ridge: Positive = 0.01
    """Added to the covariance's diagonal; 0.01 in the paper."""
    memory_mib: Count = 512
    """MiB of memory for covariances while fitting. Where they need more, the images are read several
    times."""

    def __post_init__(self) -> None:
        check_options(self)
        if self.rank is not None and self.form != "low-rank":
            raise OptionError(f"padim: rank={self.rank} goes with form=low-rank; add -o form=low-rank")


class PaDiM:
    """The scorer. ``Options`` are stored; work begins in ``fit``."""

    Options: ClassVar[type] = PaDiMOptions
    learns_positions = True

    def __init__(self, options: PaDiMOptions | None = None) -> None:
        self.options = options or PaDiMOptions()

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """The chosen layers, or the maps of stride 4, 8 and 16."""
        return named_or_at(self.options.layers, (4, 8, 16), backbone)

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """The maps as they are: which channels count depends on the seed, which is fit's."""
        return {name: maps[name] for name in (self.options.layers or maps)}

    def fit(self, data: FittingData) -> FittedPaDiM:
        """Choose channels and estimate the density, in one pass where ``memory_mib`` allows.

        Raises:
            OptionError: more dimensions or a higher rank than there are, or a graph too large for its format;
                before any image is read.
            DatasetError: there is no image to learn from.
        """
        options = self.options
        d, rank = self._sizes(sum(channels for channels, _, _ in data.shapes.values()))
        h, w = max((h, w) for _, h, w in data.shapes.values())
        size = density_bytes(h * w, d, rank, "fp32")
        if size > LARGEST_GRAPH:
            fits = max(1, LARGEST_GRAPH // (4 * h * w * d) - 1)
            raise OptionError(
                f"padim: {h} x {w} positions of {d} dimensions take {size / 2**30:.1f} GiB, an ONNX file "
                f"holds 2: choose -o form=low-rank -o rank={min(fits, d)} or less, fewer -o dimensions or "
                "a smaller --size"
            )
        selection, tried = draw_channels(data, d, options.draws, options.upsampling, options.ridge)
        small = density_bytes(h * w, d, rank, "int8")
        density = estimate_density(
            partial(_embedded, selection, data),
            h * w,
            d,
            self._estimation(rank),
            progress=data.progress,
            description=f"density of {size / 2**20:.0f} MiB (INT8: {small / 2**20:.0f}): reading good images",
            total=data.n_images,
        )
        return FittedPaDiM(density, selection, options.form, tuple(tried))

    def fit_folds(self, folds: Sequence[FittingData]) -> Iterator[FittedPaDiM]:
        """See ``edgead.types.FitsFolds``: of the sums of all images, a fold's own are taken away.

        Where channels are chosen by trial, each fold is fitted from scratch.
        """
        data, options = folds[0], self.options
        if options.draws > 1:
            for own in range(len(folds)):
                yield self.fit(all_but(folds, own))
            return
        d, rank = self._sizes(sum(channels for channels, _, _ in data.shapes.values()))
        h, w = max((h, w) for _, h, w in data.shapes.values())
        selection = self._selection(data)
        densities = densities_without_each(
            [partial(_embedded, selection, fold) for fold in folds],
            h * w,
            d,
            self._estimation(rank),
        )
        # No loop's variable: it would hold one density while the next is made.
        yield from map(lambda density: FittedPaDiM(density, selection, options.form), densities)

    def part(self, maps: Features, data: FittingData) -> Features:
        """See ``edgead.types.KeepsPart``: the chosen channels; all of them where each fit chooses anew."""
        if self.options.draws > 1:
            return {name: array.copy() for name, array in maps.items()}
        return {name: array.copy() for name, array in self._selection(data).chosen(maps).items()}

    def _selection(self, data: FittingData) -> ChannelSelection:
        d, _ = self._sizes(sum(channels for channels, _, _ in data.shapes.values()))
        return select_channels(data.shapes, d, data.seed, self.options.upsampling)

    def _estimation(self, rank: int) -> Estimation:
        options = self.options
        return Estimation(options.form, rank, options.ridge, options.memory_mib << 20)

    def _sizes(self, channels: int) -> tuple[int, int]:
        """Dimensions, and rows of a factor: 0 for the diagonal form."""
        d = self.options.dimensions or default_dimensions(channels)
        if d > channels:
            raise OptionError(
                f"padim: dimensions={d}, but the backbone's maps have {channels} channels; choose up to that"
            )
        rank = self.options.rank or max(1, d // 2)
        if rank > d:
            raise OptionError(f"padim: rank={rank} of {d} dimensions; choose up to {d}")
        return d, {"full": d, "low-rank": rank, "diagonal": 0}[self.options.form]


def _embedded(selection: ChannelSelection, data: FittingData) -> Iterator[Floats]:
    return (selection.embed(maps) for maps in data.features())


def default_dimensions(channels: int) -> int:
    """Dimensions to keep of so many channels; see ``PaDiMOptions.dimensions``."""
    (few, d_few), (many, d_many) = PAPER_DIMENSIONS
    line = d_few + (channels - few) * (d_many - d_few) // (many - few)
    return min(channels, max(d_few, line))


@dataclass(frozen=True)
class FittedPaDiM:
    """A density on the grid of the channels chosen, and what each draw of them separated."""

    density: GaussianDensity
    selection: ChannelSelection
    form: str
    tried: tuple[float, ...] = ()

    @property
    def facts(self) -> Mapping[str, Any]:
        """Form, bytes, the chosen channels, and how far the images are aligned."""
        positions, d = self.density.mean.shape
        factor = self.density.factor
        return {
            "density": {
                "form": self.form,
                "positions": positions,
                "dimensions": d,
                "rank": 0 if factor is None else factor.shape[1],
                "fp32_bytes": self.density.bytes("fp32"),
                "int8_bytes": self.density.bytes("int8"),
                "images": self.density.n_images,
            },
            "channels": {name: index.tolist() for name, index in self.selection.indices.items()},
            **({"draws": [round(share, 4) for share in self.tried]} if self.tried else {}),
            "explained_by_position": round(self.explained, 3),
        }

    @cached_property
    def explained(self) -> float:
        """See ``explained_by_position``."""
        return explained_by_position(self.density, self.selection.grid)

    @property
    def notices(self) -> Sequence[Notice]:
        """See ``alignment_notices``."""
        return alignment_notices(self.explained)

    def in_bulk(self, images: Sequence[Features]) -> tuple[Floats, None]:
        """See ``edgead.types.InBulk``."""
        found = self.density.distances(np.stack([self.selection.embed(maps) for maps in images]))
        return found.reshape(len(images), *self.selection.grid), None

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``; the image score is left to the finished map's maximum."""
        return Scores(patch=self.density.graph(self.selection.graph(maps, "channels"), bank))


def alignment_notices(explained: float) -> list[Notice]:
    """Say it where the parts are visibly not aligned; see ``gaussian_density.explained_by_position``."""
    if not SURFACE <= explained < ALIGNED:
        return []
    values = {"explained": explained, "surface": SURFACE, "aligned": ALIGNED}
    return [Notice("padim-unaligned", values, UNALIGNED)]
