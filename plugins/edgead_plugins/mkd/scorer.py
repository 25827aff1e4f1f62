"""MKD's scorer: how far source and cloner are apart, as one number and at each position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import spox.opset.ai.onnx.v18 as op
from spox import Var

from edgead.errors import OptionError
from edgead.types import Backbone, BankPrecision, FittingData, Scores, TrainingData

SOURCE, CLONER = "source_", "cloner_"
"""The trained network's maps are named so, with the number of the critical layer, the finest 1."""
TINY = 1e-12
"""What a vector's squared length is at least when it's divided by."""


@dataclass(frozen=True)
class MKDOptions:
    """MKD's options; ``-o name=value``. The paper's source is VGG-16 at ``--size 128``."""

    layers: tuple[str, ...] = ()
    """Critical layers of the source; empty: its last four of stride 4 or more, pooling included."""
    pool: bool | None = None
    """Max-pool the source's maps 2 x 2 before they're compared; unset: only for a VGG, whose critical layers
    are its pools in the authors' code."""
    normalise: bool = False
    """Show the networks images with ImageNet's mean and deviation taken out; no, as in the authors' code for
    MVTec: plain 0 to 1, on which the source was not trained."""
    weighted: Literal["value", "direction"] = "value"
    """The term that weight multiplies. value: direction + weight * value, as in the authors' code;
    direction: value + weight * direction, as the paper writes it."""
    weight: float = 0.5
    """Of that term; 0.5 in the authors' code for MVTec, 0.01 for other data."""
    score_layers: int = 3
    """How many of the critical layers, from the deepest, count for scores; 3 in the authors' code."""
    image_score: Literal["whole", "map"] = "whole"
    """whole: the disagreement of whole maps, the paper's, in which a small defect is diluted; map: the
    maximum of the anomaly map, ours."""
    cloner_width: int = 16
    """Channels inside the cloner; 16 in the paper's smaller cloner."""
    epochs: int = 601
    """Passes over the good images; 601 in the authors' code for MVTec. 50 do for a first look."""
    steps: int | None = None
    """Updates, in place of epochs: as long for many images as for few; unset: the epochs."""
    batch_size: int = 64
    """Images a step; the paper's is 64."""
    learning_rate: float = 1e-3
    """Of Adam; the paper's is 0.001."""
    memory_mib: int = 1024
    """Memory for the source's maps of the good images; where they need more, they're computed every step."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1."""

    def __post_init__(self) -> None:
        checks = {
            "weight": self.weight >= 0,
            "score_layers": self.score_layers >= 1,
            "cloner_width": self.cloner_width >= 1,
            "epochs": self.epochs >= 1,
            "steps": self.steps is None or self.steps >= 1,
            "batch_size": self.batch_size >= 2,
            "learning_rate": self.learning_rate > 0,
            "memory_mib": self.memory_mib >= 0,
        }
        for name, good in checks.items():
            if not good:
                raise OptionError(
                    f"mkd: {name}={getattr(self, name)} is out of range; see `edgead methods mkd`"
                )

    @property
    def weights(self) -> tuple[float, float]:
        """Factors of the direction and of the value term."""
        return (1.0, self.weight) if self.weighted == "value" else (self.weight, 1.0)


class MKD:
    """The scorer. ``Options`` are stored; work begins in ``train``."""

    Options: ClassVar[type] = MKDOptions

    def __init__(self, options: MKDOptions | None = None) -> None:
        self.options = options or MKDOptions()

    def train(self, examples: TrainingData) -> Backbone:
        """Train the cloner; what comes back holds source and cloner.

        Raises:
            OptionError: the backbone can't be run in torch, or lacks critical layers that a cloner can copy.
            TrainingError: the loss isn't finite, or the cloner is dead.
            MissingDependencyError: torch isn't installed.
        """
        from edgead_plugins.mkd.fitting import train_mkd

        return train_mkd(examples, self.critical_layers(examples.backbone), self.options)

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
        if missing := [name for name in layers if name not in known]:
            raise OptionError(
                f"mkd: '{source.name}' has no map '{missing[0]}'; choose layers of {', '.join(known)}"
            )
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

    def fit(self, training: FittingData) -> FittedMKD:
        """Nothing is left to learn."""
        layers = {n: s for n, s in training.shapes.items() if n.startswith(SOURCE)}
        facts = {
            "map": "mkd-forward",
            "layers": {name.removeprefix(SOURCE): list(shape) for name, shape in layers.items()},
            **{k: training.backbone.provenance[k] for k in REPORTED if k in training.backbone.provenance},
        }
        return FittedMKD(self.options.weights, self.options.image_score, facts)


REPORTED = ("training", "loss", "source_layers", "cloner_parameters", "trained_on")
"""What the manifest's facts repeat of the trained network's provenance."""


@dataclass(frozen=True)
class FittedMKD:
    """The two terms' factors (direction, value), which image score, and facts."""

    weights: tuple[float, float]
    image_score: Literal["whole", "map"]
    facts: Mapping[str, Any]

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``.

        Of each layer, with a the source's and b the cloner's map: direction is 1 - cos(a, b), over the whole
        map for the image score and over the channels at each position for the map; value is the mean squared
        difference over the same. 1 - cos is written |a/|a| - b/|b||^2 / 2, which is the same and doesn't
        subtract a number near 1 from 1. The image score is their sum over the layers, and so is the map, at
        the finest layer's resolution.
        """
        numbers = sorted(int(name.removeprefix(SOURCE)) for name in maps if name.startswith(SOURCE))
        layers = [(maps[f"{SOURCE}{n}"], maps[f"{CLONER}{n}"]) for n in numbers]
        size = [int(n) for n in layers[0][0].unwrap_tensor().shape[2:]]  # type: ignore[index,arg-type]
        image, patch = None, None
        for source, cloner in layers:
            there = self._disagreement(source, cloner, [1])
            whole = self._disagreement(source, cloner, [1, 2, 3])
            target = op.const(np.array([1, 1, *size]))
            there = op.resize(there, None, None, target, mode="linear")
            patch = there if patch is None else op.add(patch, there)
            image = whole if image is None else op.add(image, whole)
        assert patch is not None and image is not None
        if self.image_score == "map":
            return Scores(patch=patch)
        return Scores(patch=patch, image=op.reshape(image, op.const([1])))

    def _disagreement(self, source: Var, cloner: Var, axes: list[int]) -> Var:
        direction, value = (op.const(np.float32(factor)) for factor in self.weights)
        over = op.const(axes)

        def unit(x: Var) -> Var:
            squared = op.max([op.reduce_sum_square(x, over, keepdims=1), op.const(np.float32(TINY))])
            return op.div(x, op.sqrt(squared))

        apart = op.reduce_sum_square(op.sub(unit(source), unit(cloner)), over, keepdims=1)
        difference = op.sub(source, cloner)
        squares = op.reduce_mean(op.mul(difference, difference), over, keepdims=1)
        return op.add(op.mul(op.mul(apart, op.const(np.float32(0.5))), direction), op.mul(squares, value))
