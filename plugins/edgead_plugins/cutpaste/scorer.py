"""CutPaste's scorer: how far an embedding is from good images' ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.notices import Notice
from edgead.types import Backbone, BankPrecision, FittingData, Scores, Size, TrainingData
from edgead_plugins.cosine import unit
from edgead_plugins.cutpaste.density import EmbeddingDensity, embedding_density
from edgead_plugins.cutpaste.options import EMBEDDING, PATCHES, CutPasteOptions, patch_grid
from edgead_plugins.cutpaste.weaknesses import SEPARATION, known_weaknesses
from edgead_plugins.layers import deepest_unless
from edgead_plugins.trains import TrainsNetwork

LARGEST_SAMPLE = 100_000
"""Embeddings of patches that the density is estimated from, at most; chosen by the seed."""


class CutPaste(TrainsNetwork):
    """The scorer. ``Options`` are stored; work begins in ``train``."""

    Options: ClassVar[type] = CutPasteOptions

    def __init__(self, options: CutPasteOptions | None = None) -> None:
        self.options = options or CutPasteOptions()

    def train(self, data: TrainingData) -> Backbone:
        """Train on the proxy task, once for each level, and keep the trunks.

        Raises:
            OptionError: the backbone can't be trained, lacks the layer, or images are smaller than a patch.
            TrainingError: a loss isn't finite.
            MissingDependencyError: torch isn't installed.
        """
        layer = deepest_unless(self.options.layer, data.backbone, "cutpaste")
        if self.options.level != "image":
            self.options.patch(data.size)
        from edgead_plugins.cutpaste.fitting import train_cutpaste

        return train_cutpaste(data, layer, self.options)

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """Everything that the trained network yields."""
        return list(backbone.feature_info)

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """The embeddings, of length 1 where that's asked for."""
        if not self.options.normalise:
            return dict(maps)
        return {name: unit(value, op.const([1])) for name, value in maps.items()}

    def fit(self, data: FittingData) -> FittedCutPaste:
        """Estimate the densities.

        Raises:
            TrainingError: the embeddings of all good images are the same.
        """
        found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in data.shapes}
        rng = np.random.default_rng(data.seed)
        few = max(1, LARGEST_SAMPLE // max(1, data.n_images))
        with data.progress("embedding good images", data.n_images) as advance:
            for maps in data.features():
                for name, value in maps.items():
                    rows = value.reshape(len(value), -1).T
                    chosen = rows if len(rows) <= few else rows[np.sort(rng.permutation(len(rows))[:few])]
                    found[name].append(chosen.copy())
                advance(1)
        densities = {name: embedding_density(np.concatenate(rows)) for name, rows in found.items()}
        provenance = data.backbone.provenance
        facts: dict[str, Any] = {
            "density": {
                name: {"dimensions": len(d.mean), "from": d.n, "shrinkage": round(d.shrinkage, 4)}
                for name, d in densities.items()
            },
            **{
                key: provenance[key]
                for key in ("training", "loss", "trained_on", SEPARATION)
                if key in provenance
            },
        }
        notices = known_weaknesses(provenance, self.options.level)
        side = self.options.patch(data.size) if PATCHES in densities else 0
        if side:
            facts["patch"] = {"side": side, "stride": self.options.patch_stride}
        return FittedCutPaste(densities, data.size, self.options.patch_stride, side, facts, notices)


@dataclass(frozen=True)
class FittedCutPaste:
    """The densities by map, what the patches' places and side are (0: none), facts and notices."""

    densities: Mapping[str, EmbeddingDensity]
    size: Size
    stride: int
    side: int
    facts: Mapping[str, Any]
    notices: Sequence[Notice] = ()

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``. Without patches the map is the image score everywhere."""
        image = None
        patch = None
        if EMBEDDING in self.densities:
            patch = self.densities[EMBEDDING].graph(maps[EMBEDDING], EMBEDDING)
            image = op.reshape(patch, op.const([1]))
        if PATCHES in self.densities:
            scores = self.densities[PATCHES].graph(maps[PATCHES], PATCHES)
            down, across = patch_grid(self.size, self.stride, self.side)
            vertical, horizontal = (
                receptive_matrix(n, self.stride, side, self.side)
                for n, side in zip((down, across), self.size, strict=True)
            )
            spread = op.matmul(op.const(vertical), op.reshape(scores, op.const([down, across])))
            spread = op.matmul(spread, op.const(np.ascontiguousarray(horizontal.T)))
            patch = op.reshape(spread, op.const([1, 1, len(vertical), len(horizontal)]))
        assert patch is not None
        return Scores(patch=patch, image=image)


def receptive_matrix(patches: int, stride: int, side: int, patch: int) -> NDArray[np.float32]:
    """(side // 4, patches): what each patch counts at each place along one side, a row's sum being 1.

    A patch speaks for its middle most: its weight falls as a Gaussian over its ``patch`` pixels, of the
    deviation that OpenCV gives a kernel of this length. Places are the middles of 4-pixel cells.
    """
    sigma = 0.3 * ((patch - 1) * 0.5 - 1) + 0.8
    cells = max(1, side // 4)
    places = (np.arange(cells) + 0.5) * side / cells
    middles = np.arange(patches) * stride + patch / 2
    exponent = -0.5 * ((places[:, None] - middles) / sigma) ** 2
    weight = np.exp(exponent - exponent.max(1, keepdims=True))
    return np.asarray(weight / weight.sum(1, keepdims=True), np.float32)


__all__ = ["CutPaste", "FittedCutPaste", "receptive_matrix"]
