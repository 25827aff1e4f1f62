"""Whether a training was worth it: the trunk as it was, and as it is, on synthetic defects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgead.errors import TrainingError
from edgead.types import Image, Size
from edgead_plugins.cutpaste.density import embedding_density
from edgead_plugins.cutpaste.network import Embeddings, Trunk
from edgead_plugins.cutpaste.options import EMBEDDING, PATCHES, CutPasteOptions
from edgead_plugins.separation import Trial
from edgead_plugins.training.pytorch import torch

Floats = NDArray[np.float32]


def trunk_separation(trunk: Trunk, whole: bool, size: Size, options: CutPasteOptions, trial: Trial) -> float:
    """AUROC of good images against synthetic defects, 0 to 1, by the density of a trunk's embeddings.

    Args:
        trunk: in inference mode, on the CPU.
        whole: whether it sees whole images; else patches, the most anomalous of which is an image's score.
        size: (H, W) of the images.
    """
    if whole:
        network, name = Embeddings(trunk, None, size, 1, 1), EMBEDDING
    else:  # half a patch apart at least: a finer map takes many times as long
        side = options.patch(size)
        network, name = Embeddings(None, trunk, size, max(options.patch_stride, side // 2), side), PATCHES
    good, bad = (_embedded(network.eval(), name, some, options.normalise) for some in (trial.good, trial.bad))

    def judge(
        learnt: NDArray[np.int64], mine: NDArray[np.int64], on_them: NDArray[np.int64]
    ) -> tuple[Floats, Floats]:
        density = embedding_density(good[learnt].reshape(-1, good.shape[2]))

        def scores(some: Floats) -> Floats:
            apart = np.linalg.norm((some - density.mean) @ density.factor.T, axis=2)
            return np.asarray(apart.max(1), np.float32)

        return scores(good[mine]), scores(bad[on_them])

    try:
        return trial.separation(judge)
    except TrainingError:  # the embeddings are all the same
        return 0.0


def _embedded(network: Embeddings, name: str, images: Sequence[Image], normalise: bool) -> Floats:
    """(n, places, d) float32."""
    rows = []
    with torch.no_grad():
        for image in images:
            found = network(torch.from_numpy(image[None]))[name][0].flatten(1).T.numpy()
            rows.append(found / np.linalg.norm(found, axis=1, keepdims=True) if normalise else found)
    return np.asarray(np.stack(rows), np.float32)


__all__ = ["trunk_separation"]
