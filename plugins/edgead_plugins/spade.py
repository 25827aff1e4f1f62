"""SPADE: Cohen and Hoshen, Sub-Image Anomaly Detection with Deep Pyramid Correspondences, arXiv 2005.02357.

Stage one finds the K good images most like this one, by their pooled features; the mean distance to them is
the image score. Stage two compares every position with all positions of these K images; the distance to the
nearest is its anomaly. Both stages are in the graph: TopK over the images, a Gather of their rows, products.

Where paper and popular code differ: distances are squared and the maps concatenated before the search, as
in the paper; the code's Euclidean distances are ``squared=false``, and its search in each map for itself,
averaged at image size, is ``correspondence=layers``. K is the code's 5 (the paper's is 50). Coarser
vectors aren't interpolated: a position has its cell's. What is pooled is the network's last layer, as in the
paper, where the backbone has it, or else the last that it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.errors import DatasetError, OptionError
from edgead.notices import Notice
from edgead.options import check_options
from edgead.types import Backbone, BankPrecision, FittingData, Scores
from edgead.workbench.graph import static_shape
from edgead_plugins.backbones.graphs import LARGEST_GRAPH
from edgead_plugins.coreset import greedy_coreset
from edgead_plugins.layers import named_or_at
from edgead_plugins.nearest import Bank
from edgead_plugins.option_kinds import Count, Positive
from edgead_plugins.pyramid import Pyramid, pyramid
from edgead_plugins.spade_gallery import Gallery, gallery_bytes, read_gallery

POOLED = "pooled"
LARGE = (
    "the {gallery} gallery takes {fp32_mib:.0f} MiB in FP32 and {int8_mib:.0f} in INT8, and it grows with "
    "every good image; gallery=coreset is smaller and faster"
)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SpadeOptions:
    """SPADE's options; ``-o name=value``."""

    layers: tuple[str, ...] = ()
    """Feature maps to compare. Empty: those of stride 4, 8 and 16, the paper's layer1 to layer3."""
    pooled: Literal["last", "compared"] = "last"
    """Map whose mean finds the nearest images. last: the backbone's deepest, the paper's layer4 where the
    weights hold it; compared: the last of those compared, which saves what lies behind it."""
    neighbors: Count = 5
    """Good images that score and gallery come from (K), at most as many as there are; 50 in the paper, 5 in
    the popular code, and better here."""
    gallery: Literal["coreset", "exact", "position"] = "coreset"
    """Positions kept of each good image. coreset: those that cover it best; exact: all, as in the paper;
    position: all, but a position is compared with the same position only."""
    rows: Count = 64
    """Positions that gallery=coreset keeps of each image."""
    gallery_mib: Positive | None = None
    """Upper bound in MiB of all that is stored, in INT8; the FP32 form takes up to four times as much. Where
    it binds, the coreset keeps fewer rows of each image, the others fewer images."""
    correspondence: Literal["pyramid", "layers"] = "pyramid"
    """How positions are searched. pyramid: once, in the concatenated maps, as in the paper; layers: in each
    map, with the distances averaged, as in the popular code."""
    squared: bool = True
    """Squared distances, as in the paper. no: Euclidean ones, as in the popular code."""

    def __post_init__(self) -> None:
        check_options(self)


class Spade:
    """The scorer. ``Options`` are stored; work begins in ``fit``."""

    Options: ClassVar[type] = SpadeOptions

    def __init__(self, options: SpadeOptions | None = None) -> None:
        self.options = options or SpadeOptions()
        self.learns_positions = self.options.gallery == "position"

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """The chosen layers, or the maps of stride 4, 8 and 16, finest first; before them what's only pooled.

        Before them, so that ``embed``, which doesn't know the strides, tells it from those.
        """
        known = backbone.feature_info
        compared = named_or_at(self.options.layers, (4, 8, 16), backbone)
        if not self.options.layers:
            compared = sorted(compared, key=lambda name: known[name].stride)
        deepest = max(known, key=lambda name: known[name].stride)
        coarsest = max((known[name].stride for name in compared if name in known), default=0)
        alone = self.options.pooled == "last" and known[deepest].stride > coarsest
        return [deepest, *compared] if alone else compared

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """The compared maps as they are, and ``pooled`` (1, C, 1, 1), the mean over one of the maps."""
        names = list(maps)
        compared = list(self.options.layers)
        if not compared:
            is_apart = len(names) > 1 and _area(maps[names[0]]) < _area(maps[names[1]])
            compared = names[1:] if is_apart else names
        last = min(reversed(names), key=lambda name: _area(maps[name]))
        pooled = last if self.options.pooled == "last" else compared[-1]
        return {**{name: maps[name] for name in compared}, POOLED: op.global_average_pool(maps[pooled])}

    def fit(self, data: FittingData) -> FittedSpade:
        """Read the gallery, in one pass, or in two where ``gallery_mib`` leaves images out.

        Raises:
            OptionError: the budget is too small for any gallery, or the gallery too large for an ONNX file;
                before any image is read.
            DatasetError: there is no image to learn from.
        """
        n = data.n_images
        if n == 0:
            raise DatasetError("spade needs at least one good image to fit on")
        maps = {name: shape for name, shape in data.shapes.items() if name != POOLED}
        shape = pyramid(maps, "spade")
        dim = data.shapes[POOLED][0]
        images, rows = self._sizes(n, dim, shape)
        small, large = (_bytes(n, dim, images, rows, shape, p) for p in ("int8", "fp32"))
        if large > LARGEST_GRAPH:
            raise OptionError(
                f"spade: the gallery of {images} images takes {large / 2**30:.1f} GiB in FP32, an ONNX file "
                f"holds 2: add -o gallery_mib={LARGEST_GRAPH / 4.2 / 2**20:.0f}, or use -o gallery=coreset"
            )
        said = f"gallery of {large / 2**20:.1f} MiB (INT8: {small / 2**20:.1f}): reading good images"
        chosen = np.arange(n)
        if images < n:
            chosen = np.sort(_spread_out(_pooled(data), images, data.seed))
        pooled, gallery = read_gallery(data, shape, self.options.gallery, chosen, rows, POOLED, said)
        return FittedSpade(pooled, gallery, shape, self.options, data.size)

    def _sizes(self, n: int, dim: int, shape: Pyramid) -> tuple[int, Mapping[str, int]]:
        """Gallery images, and rows of one in each map: as many as options and budget allow."""
        options = self.options
        coreset = options.gallery == "coreset"
        rows = {name: h * w for name, (_, h, w) in shape.shapes.items()}
        if coreset:
            rows = dict.fromkeys(rows, min(options.rows, shape.positions))
        if options.gallery_mib is None:
            return n, rows
        budget = int(options.gallery_mib * 2**20)
        most = next(iter(rows.values())) if coreset else n
        for count in range(most, 0, -1):
            images, kept = (n, dict.fromkeys(rows, count)) if coreset else (count, rows)
            if _bytes(n, dim, images, kept, shape, "int8") <= budget:
                return images, kept
        least = _bytes(n, dim, n, dict.fromkeys(rows, 1), shape, "int8")
        least = least if coreset else _bytes(n, dim, 1, rows, shape, "int8")
        raise OptionError(
            f"spade: gallery_mib={options.gallery_mib:g} is less than the smallest gallery: "
            f"at least {least / 2**20:.3f}"
        )


@dataclass(frozen=True)
class FittedSpade:
    """Pooled features (images, C) of all good images, and the gallery of some or all of them."""

    pooled: Floats
    gallery: Gallery
    shape: Pyramid
    options: SpadeOptions
    size: tuple[int, int]

    def refit(self, data: FittingData) -> FittedSpade:
        """The same images and positions, as another precision of the backbone sees them."""
        pooled, gallery = read_gallery(
            data,
            self.shape,
            self.options.gallery,
            self.gallery.images,
            {name: rows.shape[1] for name, rows in self.gallery.rows.items()},
            POOLED,
            "reading the gallery again",
            self.gallery.positions,
        )
        return FittedSpade(pooled, gallery, self.shape, self.options, data.size)

    def bytes(self, precision: BankPrecision) -> int:
        """What the graph holds: features, their means and their norms."""
        rows = {name: rows.shape[1] for name, rows in self.gallery.rows.items()}
        n, dim = self.pooled.shape
        return _bytes(n, dim, len(self.gallery.images), rows, self.shape, precision)

    @property
    def facts(self) -> Mapping[str, Any]:
        """The gallery's shape and bytes."""
        n, k = len(self.pooled), min(self.options.neighbors, len(self.pooled))
        rows = next(iter(self.gallery.rows.values())).shape[1]
        return {
            "bank": {"rows": rows * len(self.gallery.images), "dim": self.shape.channels},
            "gallery": {
                "kind": self.options.gallery,
                "images": len(self.gallery.images),
                "of": n,
                "rows_per_image": rows,
                "neighbors": k,
                "fp32_bytes": self.bytes("fp32"),
                "int8_bytes": self.bytes("int8"),
            },
        }

    @property
    def notices(self) -> Sequence[Notice]:
        """Whether the gallery grows with every image."""
        if self.options.gallery == "coreset":
            return []
        sizes = {f"{precision}_mib": self.bytes(precision) / 2**20 for precision in ("fp32", "int8")}
        return [Notice("spade-large-gallery", {"gallery": self.options.gallery, **sizes}, LARGE)]

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``."""
        n, dim = self.pooled.shape
        k, kept = min(self.options.neighbors, n), len(self.gallery.images)
        query = op.reshape(maps[POOLED], op.const([1, dim]))
        found = Bank(self.pooled, "gallery_pooled").lower(bank).search(query, k)
        distance = op.mul(found.distance, found.distance) if self.options.squared else found.distance
        image = op.reduce_mean(distance, op.const([1]), keepdims=0)
        if kept < n:  # the gallery has its own K nearest
            k = min(k, kept)
            some = Bank(self.pooled[self.gallery.images], "gallery_pooled_kept").lower(bank)
            found = some.search(query, k)
        nearest = op.reshape(found.index, op.const([k]))
        features = {name: maps[name] for name in self.shape.names}
        patch = self.gallery.graph(
            features, nearest, k, bank, self.options.correspondence, self.options.squared, self.size
        )
        return Scores(patch=patch, image=image)


def _bytes(
    n: int, dim: int, images: int, rows: Mapping[str, int], shape: Pyramid, precision: BankPrecision
) -> int:
    """Pooled features of all images, once more of the gallery's where they are fewer, and the gallery."""
    vectors = n if images == n else n + images
    banks = 1 if images == n else 2
    pooled = vectors * (dim * (1 if precision == "int8" else 4) + 4) + banks * 4 * dim
    return pooled + gallery_bytes(images, rows, shape, precision)


def _area(one: Var) -> int:
    """Positions of a map (1, C, h, w)."""
    _, _, h, w = static_shape(one)
    return h * w


def _pooled(data: FittingData) -> Floats:
    with data.progress("reading good images, to choose the gallery's", data.n_images) as advance:
        vectors = []
        for maps in data.features():
            vectors.append(maps[POOLED].ravel().copy())
            advance(1)
    return np.stack(vectors)


def _spread_out(pooled: Floats, images: int, seed: int) -> NDArray[np.int64]:
    """The images that cover all others best."""
    start = int(np.random.default_rng(seed).integers(len(pooled)))
    return greedy_coreset(pooled, images, start=start)


__all__ = ["FittedSpade", "Spade", "SpadeOptions"]
