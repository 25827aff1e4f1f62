"""SPADE: Cohen and Hoshen, Sub-Image Anomaly Detection with Deep Pyramid Correspondences, arXiv 2005.02357.

Stage one finds the K good images most like this one, by their pooled features; the mean distance to them is
the image score. Stage two compares every position with all positions of these K images; the distance to the
nearest is its anomaly. Both stages are in the graph: TopK over the images, a Gather of their rows, products.

Where paper and popular code differ: distances are squared and the maps concatenated before the search, as
in the paper; the code's Euclidean distances are ``squared=false``, and its search in each map for itself,
averaged at image size, is ``correspondence=layers``. K is the paper's 50 (the code's default is 5). Coarser
vectors aren't interpolated: a position has its cell's. What is pooled is the last map that the backbone
yields; the paper pools the network's last layer, which these backbones, cut after stride 16, don't have.
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
from edgead.types import Backbone, BankPrecision, FittingData, Scores
from edgead_plugins.coreset import greedy_coreset
from edgead_plugins.nearest import Bank
from edgead_plugins.pyramid import Pyramid, pyramid
from edgead_plugins.spade_gallery import Gallery, gallery_bytes, read_gallery

POOLED = "pooled"
LARGEST_GRAPH = 1_900_000_000
"""Bytes that fit into one ONNX file beside a backbone; its format ends at 2 GiB."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SpadeOptions:
    """SPADE's options; ``-o name=value``."""

    layers: tuple[str, ...] = ()
    """Feature maps to compare; empty: those of stride 4, 8 and 16, the paper's layer1 to layer3."""
    neighbors: int = 50
    """K: good images that score and gallery come from, at most as many as there are; the paper's is 50."""
    gallery: Literal["coreset", "exact", "position"] = "coreset"
    """What is kept of each good image: coreset, the positions that cover it best; exact, all, as in the
    paper; position, all, but a position is compared with the same position only."""
    rows: int = 64
    """Positions that the coreset keeps of each image."""
    gallery_mib: float | None = None
    """Upper bound in MiB of all that is stored, in INT8; the FP32 form takes up to four times as much. The
    coreset keeps fewer rows of each image where it binds, the others fewer images."""
    correspondence: Literal["pyramid", "layers"] = "pyramid"
    """pyramid, the paper's: one search in the concatenated maps; layers, the popular code's: a search in
    each map, and the distances averaged."""
    squared: bool = True
    """Squared distances, as in the paper; false: Euclidean ones, as in the popular code."""

    def __post_init__(self) -> None:
        checks = {
            "neighbors": self.neighbors >= 1,
            "rows": self.rows >= 1,
            "gallery_mib": self.gallery_mib is None or self.gallery_mib > 0,
        }
        for name, good in checks.items():
            if not good:
                raise OptionError(
                    f"spade: {name}={getattr(self, name)} is out of range; see `edgead methods spade`"
                )


class Spade:
    """The scorer. ``Options`` are stored; work begins in ``fit``."""

    Options: ClassVar[type] = SpadeOptions

    def __init__(self, options: SpadeOptions | None = None) -> None:
        self.options = options or SpadeOptions()

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """The chosen layers, or the maps of stride 4, 8 and 16."""
        if self.options.layers:
            return self.options.layers
        fine = [name for name, info in backbone.feature_info.items() if info.stride in (4, 8, 16)]
        return fine or list(backbone.feature_info)[-3:]

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """The maps as they are, and ``pooled`` (1, C, 1, 1), the mean over the last of them."""
        chosen = {name: maps[name] for name in (self.options.layers or maps)}
        return {**chosen, POOLED: op.global_average_pool(list(chosen.values())[-1])}

    def fit(self, training: FittingData) -> FittedSpade:
        """Read the gallery, in one pass, or in two where ``gallery_mib`` leaves images out.

        Raises:
            OptionError: the budget is too small for any gallery, or the gallery too large for an ONNX file;
                before any image is read.
            DatasetError: there is no image to learn from.
        """
        n = training.n_images
        if n == 0:
            raise DatasetError("spade needs at least one good image to fit on")
        maps = {name: shape for name, shape in training.shapes.items() if name != POOLED}
        shape = pyramid(maps, "spade")
        dim = training.shapes[POOLED][0]
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
            chosen = np.sort(_spread_out(_pooled(training), images, training.seed))
        pooled, gallery = read_gallery(training, shape, self.options.gallery, chosen, rows, POOLED, said)
        return FittedSpade(pooled, gallery, shape, self.options, training.size)

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

    def refit(self, training: FittingData) -> FittedSpade:
        """The same images and positions, as another precision of the backbone sees them."""
        pooled, gallery = read_gallery(
            training,
            self.shape,
            self.options.gallery,
            self.gallery.images,
            {name: rows.shape[1] for name, rows in self.gallery.rows.items()},
            POOLED,
            "reading the gallery again",
            self.gallery.positions,
        )
        return FittedSpade(pooled, gallery, self.shape, self.options, training.size)

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
        warnings = []
        if self.options.gallery != "coreset":
            large, small = self.bytes("fp32") / 2**20, self.bytes("int8") / 2**20
            warnings.append(
                f"the {self.options.gallery} gallery takes {large:.0f} MiB in FP32 and {small:.0f} in INT8, "
                "and it grows with every good image; gallery=coreset is smaller and faster"
            )
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
            "warnings": warnings,
        }

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


def _pooled(training: FittingData) -> Floats:
    with training.progress("reading good images, to choose the gallery's", training.n_images) as advance:
        vectors = []
        for maps in training.features():
            vectors.append(maps[POOLED].ravel().copy())
            advance(1)
    return np.stack(vectors)


def _spread_out(pooled: Floats, images: int, seed: int) -> NDArray[np.int64]:
    """The images that cover all others best."""
    start = int(np.random.default_rng(seed).integers(len(pooled)))
    return greedy_coreset(pooled, images, start=start)


__all__ = ["FittedSpade", "Spade", "SpadeOptions"]
