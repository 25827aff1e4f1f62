"""DMAD's scorer: two banks, what they say about each patch, and a small network that scores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from spox import Var

from edgead.types import Backbone, FittingData
from edgead_plugins.dmad.fitted import FittedDMAD
from edgead_plugins.dmad.options import PATCHES, DMADOptions
from edgead_plugins.patchcore import PatchCore, PatchCoreOptions
from edgead_plugins.trains import TrainsNetwork


class DMAD(TrainsNetwork):
    """The scorer. ``Options`` are stored; work begins in ``fit``."""

    whole_batches: ClassVar[str] = "dmad's network is small, and its BatchNorm is over a step's patches"
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

    def fit(self, data: FittingData) -> FittedDMAD:
        """Build both banks and train P and psi.

        Raises:
            DatasetError: there is no image to learn from.
            TrainingError: the loss isn't finite.
            MissingDependencyError: torch isn't installed.
        """
        from edgead_plugins.dmad.fitting import fit_dmad

        _, h, w = data.shapes[PATCHES]
        share = min(self.options.coreset_ratio, self.options.bank_rows / max(1, data.n_images * h * w))
        return fit_dmad(data, self._encoder(share).fit(data), self.options)

    def _encoder(self, coreset_ratio: float = 1.0) -> PatchCore:
        chosen = self.options
        return PatchCore(
            PatchCoreOptions(
                layers=chosen.layers,
                patch_size=chosen.patch_size,
                width=chosen.width,
                coreset_ratio=coreset_ratio,
                memory_mib=chosen.memory_mib,
                search="exact",  # each bank's is chosen with the network
            )
        )


__all__ = ["DMAD"]
