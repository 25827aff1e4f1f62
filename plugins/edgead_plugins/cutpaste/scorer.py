"""CutPaste's scorer: how far an embedding is from good images' ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.errors import OptionError
from edgead.types import Backbone, BankPrecision, FittingData, Scores, Size, TrainingData
from edgead_plugins.cutpaste.density import EmbeddingDensity, embedding_density
from edgead_plugins.cutpaste.weaknesses import known_weaknesses
from edgead_plugins.layers import deepest_unless

EMBEDDING, PATCHES = "embedding", "patches"
"""The trained network's maps: (1, d, 1, 1) of the whole image, (1, d, rows, columns) of its patches."""
PATCH = 64
"""Side of a patch in pixels; the paper's."""
LARGEST_SAMPLE = 100_000
"""Embeddings of patches that the density is estimated from, at most; chosen by the seed."""


@dataclass(frozen=True)
class CutPasteOptions:
    """CutPaste's options; ``-o name=value``. The paper's image is ``--size 256``, its network a ResNet-18."""

    level: Literal["both", "image", "patch"] = "both"
    """image: the network for whole images, which gives the image score; patch: that for patches, which gives
    the map, and its maximum as score; both: each for its own, as in the paper, at twice the training."""
    task: Literal["3-way", "cutpaste", "scar", "union"] = "3-way"
    """What is told apart: good, patch and scar (the paper's best); good and patch; good and scar; good and
    either of them."""
    layer: str = ""
    """Feature map that is averaged to the embedding; empty: the backbone's deepest, the paper's."""
    steps: int = 65536
    """Updates of each network; the paper's 256 epochs of 256. A few hundred do for a first look."""
    batch_size: int = 32
    """Good images a step, each with its pasted copies: 32 make a batch of 96 in the 3-way task."""
    learning_rate: float = 0.03
    """Of SGD at the start, along a cosine to 0; the paper's is 0.03."""
    momentum: float = 0.9
    """Of SGD; the paper's is 0.9."""
    weight_decay: float = 3e-5
    """Of SGD; the paper's is 0.00003."""
    frozen_steps: int = 20
    """First steps in which only the head learns; 20 in public code for a pretrained network."""
    head_layers: int = 2
    """Hidden layers of 512 in the proxy task's head, before one of 128; the paper's head isn't described, 2
    is the public code's recommendation."""
    jitter: float = 0.1
    """Colour jitter of the whole image, and of a patch; the paper's is 0.1."""
    patch_stride: int = 4
    """Pixels between patches; the paper's 4 makes 2,401 of a 256 x 256 image, each of which goes through the
    network. 16 makes 169."""
    normalise: bool = True
    """Bring embeddings to length 1 before the density, as public code does."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1."""

    def __post_init__(self) -> None:
        checks = {
            "steps": self.steps >= 1,
            "batch_size": self.batch_size >= 2,
            "learning_rate": self.learning_rate > 0,
            "momentum": 0 <= self.momentum < 1,
            "weight_decay": self.weight_decay >= 0,
            "frozen_steps": self.frozen_steps >= 0,
            "head_layers": self.head_layers >= 0,
            "jitter": 0 <= self.jitter <= 0.5,
            "patch_stride": 1 <= self.patch_stride <= PATCH,
        }
        for name, good in checks.items():
            if not good:
                raise OptionError(
                    f"cutpaste: {name}={getattr(self, name)} is out of range; see `edgead methods cutpaste`"
                )


class CutPaste:
    """The scorer. ``Options`` are stored; work begins in ``train``."""

    Options: ClassVar[type] = CutPasteOptions

    def __init__(self, options: CutPasteOptions | None = None) -> None:
        self.options = options or CutPasteOptions()

    def train(self, examples: TrainingData) -> Backbone:
        """Train on the proxy task, once for each level, and keep the trunks.

        Raises:
            OptionError: the backbone can't be trained, lacks the layer, or images are smaller than a patch.
            TrainingError: a loss isn't finite.
            MissingDependencyError: torch isn't installed.
        """
        layer = deepest_unless(self.options.layer, examples.backbone, "cutpaste")
        if self.options.level != "image" and min(examples.size) < PATCH:
            raise OptionError(
                f"cutpaste: patches of {PATCH} pixels don't fit into {examples.size[0]} x "
                f"{examples.size[1]}: choose a larger --size or -o level=image"
            )
        from edgead_plugins.cutpaste.fitting import train_cutpaste

        return train_cutpaste(examples, layer, self.options)

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """Everything that the trained network yields."""
        return list(backbone.feature_info)

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """The embeddings, of length 1 where that's asked for."""
        if not self.options.normalise:
            return dict(maps)
        return {name: _unit(value) for name, value in maps.items()}

    def fit(self, training: FittingData) -> FittedCutPaste:
        """Estimate the densities.

        Raises:
            TrainingError: the embeddings of all good images are the same.
        """
        found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in training.shapes}
        rng = np.random.default_rng(training.seed)
        few = max(1, LARGEST_SAMPLE // max(1, training.n_images))
        with training.progress("embedding good images", training.n_images) as advance:
            for maps in training.features():
                for name, value in maps.items():
                    rows = value.reshape(len(value), -1).T
                    chosen = rows if len(rows) <= few else rows[np.sort(rng.permutation(len(rows))[:few])]
                    found[name].append(chosen.copy())
                advance(1)
        densities = {name: embedding_density(np.concatenate(rows)) for name, rows in found.items()}
        provenance = training.backbone.provenance
        facts: dict[str, Any] = {
            "density": {
                name: {"dimensions": len(d.mean), "from": d.n, "shrinkage": round(d.shrinkage, 4)}
                for name, d in densities.items()
            },
            **{key: provenance[key] for key in ("training", "loss", "trained_on") if key in provenance},
            "warnings": known_weaknesses(provenance, self.options.level),
        }
        return FittedCutPaste(densities, training.size, self.options.patch_stride, facts)


def _unit(x: Var) -> Var:
    squared = op.max([op.reduce_sum_square(x, op.const([1]), keepdims=1), op.const(np.float32(1e-12))])
    return op.div(x, op.sqrt(squared))


@dataclass(frozen=True)
class FittedCutPaste:
    """The densities by map, and what the patches' places are."""

    densities: Mapping[str, EmbeddingDensity]
    size: Size
    stride: int
    facts: Mapping[str, Any]

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``. Without patches the map is the image score everywhere."""
        image = None
        patch = None
        if EMBEDDING in self.densities:
            patch = self.densities[EMBEDDING].graph(maps[EMBEDDING], EMBEDDING)
            image = op.reshape(patch, op.const([1]))
        if PATCHES in self.densities:
            scores = self.densities[PATCHES].graph(maps[PATCHES], PATCHES)
            down, across = patch_grid(self.size, self.stride)
            vertical, horizontal = (
                receptive_matrix(n, self.stride, side)
                for n, side in zip((down, across), self.size, strict=True)
            )
            spread = op.matmul(op.const(vertical), op.reshape(scores, op.const([down, across])))
            spread = op.matmul(spread, op.const(np.ascontiguousarray(horizontal.T)))
            patch = op.reshape(spread, op.const([1, 1, len(vertical), len(horizontal)]))
        assert patch is not None
        return Scores(patch=patch, image=image)


def patch_grid(size: Size, stride: int) -> Size:
    """How many patches there are, down and across."""
    return (size[0] - PATCH) // stride + 1, (size[1] - PATCH) // stride + 1


def receptive_matrix(patches: int, stride: int, side: int) -> NDArray[np.float32]:
    """(side // 4, patches): what each patch counts at each place along one side, a row's sum being 1.

    A patch speaks for its middle most: its weight falls as a Gaussian over its 64 pixels, of the deviation
    that OpenCV gives a kernel of this length. Places are the middles of 4-pixel cells.
    """
    sigma = 0.3 * ((PATCH - 1) * 0.5 - 1) + 0.8
    cells = max(1, side // 4)
    places = (np.arange(cells) + 0.5) * side / cells
    middles = np.arange(patches) * stride + PATCH / 2
    exponent = -0.5 * ((places[:, None] - middles) / sigma) ** 2
    weight = np.exp(exponent - exponent.max(1, keepdims=True))
    return np.asarray(weight / weight.sum(1, keepdims=True), np.float32)


def chance_loss(task: str) -> float:
    """The cross-entropy of a network that tells nothing apart."""
    return math.log(3 if task == "3-way" else 2)
