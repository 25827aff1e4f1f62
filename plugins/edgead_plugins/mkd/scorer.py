"""MKD's scorer: how far source and cloner are apart, as one number and at each position."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import spox.opset.ai.onnx.v18 as op
from spox import Var

from edgead.errors import OptionError
from edgead.image_score import highest
from edgead.types import Backbone, BankPrecision, FittingData, Scores, TrainingData
from edgead.workbench.graph import static_shape
from edgead_plugins.cosine import cosine_distance
from edgead_plugins.layers import check_known
from edgead_plugins.mkd.options import CLONER, SOURCE, MKDOptions
from edgead_plugins.postprocessors import mean_of_highest
from edgead_plugins.trains import TrainsNetwork

DEEP_STRIDE, DEEP_SHARE = 16, 0.05
"""For ``image_score=deep``: its layer's largest stride, and the share of the map's positions that count."""


class MKD(TrainsNetwork):
    """The scorer. ``Options`` are stored; work begins in ``train``."""

    Options: ClassVar[type] = MKDOptions

    def __init__(self, options: MKDOptions | None = None) -> None:
        self.options = options or MKDOptions()

    def train(self, data: TrainingData) -> Backbone:
        """Train the cloner; what comes back holds source and cloner.

        Raises:
            OptionError: the backbone can't be run in torch, or lacks critical layers that a cloner can copy.
            TrainingError: the loss isn't finite, or the cloner is dead.
            MissingDependencyError: torch isn't installed.
        """
        from edgead_plugins.mkd.fitting import train_mkd

        return train_mkd(data, self.critical_layers(data.backbone), self.options)

    def critical_layers(self, source: Backbone) -> dict[str, bool]:
        """The source's maps to copy, the finest first, and whether each is pooled.

        Raises:
            OptionError: there are none, or one that the source hasn't.
        """
        known = source.feature_info
        pool = "vgg" in source.name.lower() if self.options.pool is None else self.options.pool
        factor = 2 if pool else 1
        layers = list(self.options.layers)
        if not layers:
            layers = [name for name, info in known.items() if 4 <= info.stride * factor <= 32][-4:]
        check_known(layers, source, "mkd")
        strides = [known[name].stride * factor for name in layers]
        if not layers or len(set(strides)) < len(strides) or any(s & (s - 1) or s < 2 for s in strides):
            raise OptionError(
                f"mkd: a cloner halves the image again and again, so critical layers need strides of 2, 4, 8 "
                f"..., each once; '{source.name}' has "
                f"{', '.join(f'{n} ({i.stride * factor})' for n, i in known.items())}: choose with -o layers="
            )
        return {name: pool for name in sorted(layers, key=lambda name: known[name].stride)}

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """Source and cloner at the layers that count for scores."""
        count = sum(name.startswith(SOURCE) for name in backbone.feature_info)
        used = range(max(1, count - self.options.score_layers + 1), count + 1)
        return [f"{part}{number}" for number in used for part in (SOURCE, CLONER)]

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """The maps as they are."""
        return dict(maps)

    def fit(self, data: FittingData) -> FittedMKD:
        """Nothing is left to learn."""
        layers = {n: s for n, s in data.shapes.items() if n.startswith(SOURCE)}
        facts = {
            "map": "mkd-forward",
            "layers": {name.removeprefix(SOURCE): list(shape) for name, shape in layers.items()},
            **{k: data.backbone.provenance[k] for k in REPORTED if k in data.backbone.provenance},
        }
        return FittedMKD(self.options.weights, self.options.image_score, facts, _deep(data))


def _deep(data: FittingData) -> int:
    """The number of the deepest layer of stride ``DEEP_STRIDE`` or less, of those that count for scores."""
    strides = {
        int(name.removeprefix(SOURCE)): data.backbone.feature_info[name].stride
        for name in data.shapes
        if name.startswith(SOURCE)
    }
    return max((n for n in strides if strides[n] <= DEEP_STRIDE), default=min(strides))


REPORTED = ("training", "loss", "source_layers", "pooled_layers", "cloner_parameters", "trained_on")
"""What the manifest's facts repeat of the trained network's provenance."""


@dataclass(frozen=True)
class FittedMKD:
    """The two terms' factors (direction, value), which image score, facts, and the layer of ``deep``."""

    weights: tuple[float, float]
    image_score: Literal["whole", "map", "deep"]
    facts: Mapping[str, Any]
    deep: int

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``.

        Of each layer, with a the source's and b the cloner's map: direction is 1 - cos(a, b), over the whole
        map for the image score and over the channels at each position for the map; value is the mean squared
        difference over the same. The image score is their sum over the layers, and so is the map, at the
        finest layer's resolution. ``deep`` takes one layer's part of the map in place of whole maps.
        """
        numbers = sorted(int(name.removeprefix(SOURCE)) for name in maps if name.startswith(SOURCE))
        layers = {n: (maps[f"{SOURCE}{n}"], maps[f"{CLONER}{n}"]) for n in numbers}
        size = static_shape(layers[numbers[0]][0])[2:]
        image, patch, deep = None, None, None
        for number, (source, cloner) in layers.items():
            there = self._disagreement(source, cloner, [1])
            whole = self._disagreement(source, cloner, [1, 2, 3])
            target = op.const(np.array([1, 1, *size]))
            there = op.resize(there, None, None, target, mode="linear")
            if number == self.deep:
                deep = there
            patch = there if patch is None else op.add(patch, there)
            image = whole if image is None else op.add(image, whole)
        assert patch is not None and image is not None and deep is not None
        if self.image_score == "map":
            return Scores(patch=patch)
        if self.image_score == "deep":
            return Scores(
                patch=patch, image=mean_of_highest(deep, highest(math.prod(static_shape(deep)), DEEP_SHARE))
            )
        return Scores(patch=patch, image=op.reshape(image, op.const([1])))

    def _disagreement(self, source: Var, cloner: Var, axes: list[int]) -> Var:
        direction, value = (op.const(np.float32(factor)) for factor in self.weights)
        over = op.const(axes)
        apart = cosine_distance(source, cloner, over)
        difference = op.sub(source, cloner)
        squares = op.reduce_mean(op.mul(difference, difference), over, keepdims=1)
        return op.add(op.mul(apart, direction), op.mul(squares, value))


__all__ = ["MKD", "FittedMKD"]
