"""What DMAD's fitting yields: two banks, and the trained network as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.notices import Notice
from edgead.types import BankPrecision, FittingData, Scores
from edgead.workbench.graph import parameter
from edgead_plugins.dmad.foreign import foreign_patches
from edgead_plugins.dmad.knowledge import knowledge
from edgead_plugins.dmad.memory import Making, Memory, Patches, build_memory, observed_patches
from edgead_plugins.dmad.options import HIGHEST, PATCHES, SLOPE, DMADOptions, Reading
from edgead_plugins.nearest import Bank
from edgead_plugins.patchcore import FittedPatchCore
from edgead_plugins.ranking import EXACT, Search

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


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
        making: how the abnormal bank is made of patches.
        head: the trained network.
        reading: how the banks are read.
        grid: (h, w).
        searches: how the normal and the abnormal bank are searched.
        foreign: which of other pictures' patches the abnormal bank keeps; None: it's made of all of them.
    """

    memory: Memory
    coreset: FittedPatchCore
    making: Making
    head: Head
    reading: Reading
    grid: tuple[int, int]
    options: DMADOptions
    told: Mapping[str, Any] = field(default_factory=dict)
    searches: tuple[Search, Search] = (EXACT, EXACT)
    foreign: Integers | None = None

    def refit(self, data: FittingData) -> FittedDMAD:
        """The same network, and both banks' patches as another precision of the backbone embeds them."""
        coreset = self.coreset.refit(data)
        normal = Patches(coreset.bank, self.memory.normal.image)
        observed = observed_patches(data, self.options.covered == "any")
        foreign = foreign_patches(data, self.options, len(observed) > 0)
        foreign = foreign if self.foreign is None else foreign[self.foreign]
        memory = build_memory(normal, observed, foreign, self.making)
        return replace(self, memory=memory, coreset=coreset)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Both banks, and how the network was trained, for the manifest."""
        observed, centres, made = self.memory.parts
        fused = not observed and self.options.pseudo == "fused" and self.options.texture_images > 0
        kind = "foreign" if self.foreign is not None else "fused" if fused else "noise"
        return {
            "normal_bank": {"rows": len(self.memory.normal), "dim": self.memory.normal.rows.shape[1]},
            "abnormal_bank": {"observed": observed, "centre_samples": centres, kind: made},
            "knowledge": self.reading,
            "patches": self.coreset.n_patches,
            "grid": list(self.grid),
            "search": {"normal": self.searches[0].facts, "abnormal": self.searches[1].facts},
            **self.told,
        }

    @property
    def notices(self) -> Sequence[Notice]:
        """Where a bank's ``search`` isn't what was asked for; once, if it's so of both."""
        return list({notice.code: notice for search in self.searches for notice in search.notices}.values())

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``."""
        h, w = self.grid
        dim = self.memory.normal.rows.shape[1]
        query = op.reshape(op.transpose(maps[PATCHES], perm=[0, 2, 3, 1]), op.const([h * w, dim]))
        said = []
        banks = (("normal_bank", self.memory.normal), ("abnormal_bank", self.memory.abnormal))
        for (name, patches), search in zip(banks, self.searches, strict=True):
            count = attended(self.options, self.reading, len(patches))
            lowered, found = search.find(Bank(patches.rows, name), query, (h, w), count, bank)
            said.append(knowledge(lowered, query, found.index, self.reading, self.options.signed))
        patch = self.head.graph(query, *said)
        highest, _ = op.top_k(patch, op.const([min(HIGHEST, h * w)]), axis=0)
        image = op.reduce_mean(highest, op.const([0]), keepdims=1)
        return Scores(patch=op.reshape(patch, op.const([1, 1, h, w])), image=image)


def attended(options: DMADOptions, reading: Reading, rows: int) -> int:
    """How many rows of a bank a patch's knowledge is of."""
    return 1 if reading == "nearest" else min(options.neighbors, rows)


__all__ = ["FittedDMAD", "Head", "attended"]
