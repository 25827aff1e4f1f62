"""DMAD's scorer: two banks, what they say about each patch, and a small network that scores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.errors import OptionError
from edgead.types import Backbone, BankPrecision, FittingData, Scores
from edgead.workbench.graph import parameter
from edgead_plugins.dmad.knowledge import knowledge
from edgead_plugins.dmad.memory import Memory, Patches, build_memory, observed_patches
from edgead_plugins.nearest import Bank
from edgead_plugins.patchcore import FittedPatchCore, PatchCore, PatchCoreOptions

Floats = NDArray[np.float32]
HIGHEST = 5
"""Patch scores whose mean is the image score; the paper's."""
SLOPE = 0.2
"""Of psi's LeakyReLU below 0."""


@dataclass(frozen=True)
class DMADOptions:
    """DMAD's options; ``-o name=value``."""

    layers: tuple[str, ...] = ()
    """Feature maps to use; empty: those of stride 8 and 16, as PatchCore's."""
    patch_size: int = 3
    """Side of the neighbourhood that is aggregated around each position."""
    width: int | None = None
    """Length of an embedding, as PatchCore's: 0 concatenates the channels, 1024 is the paper's pooling."""
    coreset_ratio: float = 0.02
    """Share of all normal patches kept in the normal bank, 0 to 1; 0.02 is told of the paper."""
    bank_rows: int = 20000
    """Most rows of the normal bank; the abnormal one has as many pseudo-anomalous features."""
    noise: float = 0.5
    """Size of the pseudo-anomalous features' Gaussian noise, which varies as the normal features do: 1 is as
    much."""
    attention: bool | None = None
    """Whether the knowledge is read from several neighbours by attention; unset: only without annotated
    defects, as in the paper."""
    neighbors: int = 3
    """Rows of each bank that are attended to."""
    centre_samples: int = 50
    """Features drawn around the mean feature of each annotated defect."""
    centre_std: float = 0.1
    """Deviation of their noise; the paper's N(0, 0.01)."""
    hidden: int = 1024
    """Width of psi's hidden layer."""
    pseudo_weight: float = 1.0
    """lambda_1, of the pseudo-anomalous features' hinge."""
    observed_weight: float = 1.0
    """lambda_2, of the observed anomalous features' hinge."""
    steps: int = 5000
    """Updates of P and psi."""
    batch_size: int = 4096
    """Normal patches of a step, and as many pseudo-anomalous ones."""
    learning_rate: float = 2e-4
    """Of psi, with AdamW; P's is half of it."""
    weight_decay: float = 1e-5
    """Of psi; P has none."""
    memory_mib: int = 4096
    """Memory for the normal patches that training draws from; where all don't fit, a part of each image's."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1."""

    def __post_init__(self) -> None:
        checks = {
            "patch_size": self.patch_size >= 1,
            "width": self.width is None or self.width >= 0,
            "coreset_ratio": 0 < self.coreset_ratio <= 1,
            "bank_rows": self.bank_rows >= 1,
            "noise": self.noise > 0,
            "neighbors": self.neighbors >= 1,
            "centre_samples": self.centre_samples >= 0,
            "centre_std": self.centre_std >= 0,
            "hidden": self.hidden >= 1,
            "pseudo_weight": self.pseudo_weight >= 0,
            "observed_weight": self.observed_weight >= 0,
            "steps": self.steps >= 1,
            "batch_size": self.batch_size >= 2,
            "learning_rate": self.learning_rate > 0,
            "weight_decay": self.weight_decay >= 0,
            "memory_mib": self.memory_mib >= 1,
        }
        for name, good in checks.items():
            if not good:
                raise OptionError(
                    f"dmad: {name}={getattr(self, name)} is out of range; see `edgead methods dmad`"
                )


class DMAD:
    """The scorer. ``Options`` are stored; work begins in ``fit``."""

    Options: ClassVar[type] = DMADOptions
    learns_defects: ClassVar[bool] = True

    def __init__(self, options: DMADOptions | None = None) -> None:
        self.options = options or DMADOptions()

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """The chosen layers, or the maps of stride 8 and 16."""
        return self._encoder().feature_maps(backbone)

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """Patch embeddings, one map ``patches`` (1, dim, h, w): PatchCore's."""
        return self._encoder().embed(maps)

    def fit(self, training: FittingData) -> FittedDMAD:
        """Build both banks and train P and psi.

        Raises:
            DatasetError: there is no image to learn from.
            TrainingError: the loss isn't finite.
            MissingDependencyError: torch isn't installed.
        """
        from edgead_plugins.dmad.fitting import fit_dmad

        _, h, w = training.shapes["patches"]
        share = min(self.options.coreset_ratio, self.options.bank_rows / max(1, training.n_images * h * w))
        return fit_dmad(training, self._encoder(share).fit(training), self.options)

    def _encoder(self, coreset_ratio: float = 1.0) -> PatchCore:
        chosen = self.options
        return PatchCore(
            PatchCoreOptions(
                layers=chosen.layers,
                patch_size=chosen.patch_size,
                width=chosen.width,
                coreset_ratio=coreset_ratio,
                memory_mib=chosen.memory_mib,
            )
        )


@dataclass(frozen=True)
class Head:
    """P, psi and BatchNorm in one hidden layer, all being linear up to the LeakyReLU.

    psi = last . leaky(q A_q + k_n A_n + k_a A_a + bias), and a patch's score is max(0, top - psi).

    Attributes:
        weights: A_q, A_n, A_a on top of each other, (3 dim, hidden) float32.
        bias, last: (hidden,) float32.
        top: the highest psi of a normal patch in training: what makes a score of -psi that isn't negative.
    """

    weights: Floats
    bias: Floats
    last: Floats
    top: float

    def graph(self, query: Var, normal: Var, abnormal: Var) -> Var:
        """Scores (patches,) of patches and both knowledges, (patches, dim) each."""
        dim = len(self.weights) // 3
        total = op.const(self.bias[None])
        for number, x in enumerate((query, normal, abnormal)):
            part = parameter(f"mapper_{number}", self.weights[number * dim : (number + 1) * dim])
            total = op.add(total, op.matmul(x, part))
        shown = op.leaky_relu(total, alpha=SLOPE)
        psi = op.matmul(shown, parameter("mapper_last", self.last[:, None]))
        return op.squeeze(op.relu(op.sub(op.const(np.float32(self.top)), psi)), op.const([1]))


@dataclass(frozen=True)
class FittedDMAD:
    """Two banks and a head for embeddings on an (h, w) grid.

    Attributes:
        memory: the banks.
        coreset: PatchCore's record of the normal bank, which knows the rows' patches.
        factor: of the pseudo-anomalous features' noise; see ``noise_factor``.
        head: the trained network.
        attention: whether the knowledge holds attention.
        grid: (h, w).
    """

    memory: Memory
    coreset: FittedPatchCore
    factor: Floats
    head: Head
    attention: bool
    grid: tuple[int, int]
    options: DMADOptions
    seed: int
    told: Mapping[str, Any] = field(default_factory=dict)

    def refit(self, training: FittingData) -> FittedDMAD:
        """The same network, and both banks' patches as another precision of the backbone embeds them."""
        coreset = self.coreset.refit(training)
        normal = Patches(coreset.bank, self.memory.normal.image)
        memory = build_memory(
            normal,
            observed_patches(training),
            self.factor,
            noise=self.options.noise,
            centre_count=self.options.centre_samples,
            centre_std=self.options.centre_std,
            seed=self.seed,
        )
        return replace(self, memory=memory, coreset=coreset)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Both banks, and how the network was trained, for the manifest."""
        observed, centres, pseudo = self.memory.parts
        return {
            "normal_bank": {"rows": len(self.memory.normal), "dim": self.memory.normal.rows.shape[1]},
            "abnormal_bank": {"observed": observed, "centre_samples": centres, "pseudo": pseudo},
            "knowledge": "distance and attention" if self.attention else "distance",
            "patches": self.coreset.n_patches,
            "grid": list(self.grid),
            **self.told,
        }

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``."""
        h, w = self.grid
        dim = self.memory.normal.rows.shape[1]
        query = op.reshape(op.transpose(maps["patches"], perm=[0, 2, 3, 1]), op.const([h * w, dim]))
        said = []
        for name, patches in (("normal_bank", self.memory.normal), ("abnormal_bank", self.memory.abnormal)):
            lowered = Bank(patches.rows, name).lower(bank)
            said.append(knowledge(lowered, query, min(self.options.neighbors, len(patches)), self.attention))
        patch = self.head.graph(query, *said)
        highest, _ = op.top_k(patch, op.const([min(HIGHEST, h * w)]), axis=0)
        image = op.reduce_mean(highest, op.const([0]), keepdims=1)
        return Scores(patch=op.reshape(patch, op.const([1, 1, h, w])), image=image)


__all__ = ["DMAD", "DMADOptions", "FittedDMAD", "Head"]
