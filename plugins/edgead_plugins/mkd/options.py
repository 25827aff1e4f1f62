"""MKD's vocabulary: its options, and what the trained network's maps are named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgead.options import check_options
from edgead_plugins.option_kinds import BatchSize, Count, Factor, Positive, WholeNumber

SOURCE, CLONER = "source_", "cloner_"
"""The trained network's maps are named so, with the number of the critical layer, the finest 1."""


@dataclass(frozen=True)
class MKDOptions:
    """MKD's options; ``-o name=value``. The paper's source is VGG-16 at ``--size 128``."""

    layers: tuple[str, ...] = ()
    """Critical layers: the source's feature maps that the cloner copies. Empty: its last four of stride 4 to
    32, pooling included."""
    pool: bool | None = None
    """Max-pool the source's maps 2 x 2 before they are compared. none: only for a VGG. The authors' code
    compares VGG-16's pools 2 to 5; timm's vgg16 yields what comes before them."""
    normalise: bool = False
    """Normalise images with ImageNet's mean and standard deviation. The authors' code for MVTec AD doesn't:
    both networks see pixels from 0 to 1, on which the source was not trained."""
    weighted: Literal["value", "direction"] = "value"
    """Which term of the loss has the weight below. value: direction + weight * value, as in the authors'
    code; direction: value + weight * direction, as the paper writes it."""
    weight: Factor = 0.5
    """Weight of that term; 0.5 for MVTec AD in the authors' code, 0.01 for other data."""
    score_layers: Count = 3
    """Critical layers that count for scores, from the deepest; 3 in the authors' code. All are trained on."""
    image_score: Literal["whole", "map", "deep"] = "whole"
    """Image score. whole: source and cloner compared over whole maps, as in the paper, where a small defect
    is diluted; map: the maximum of the anomaly map; deep: the mean of the highest twentieth of one layer's
    part of the map, the deepest of stride 16 or less. The latter two are not in the paper."""
    cloner_width: Count = 16
    """Channels inside the cloner; 16 in the paper's smaller cloner."""
    epochs: Count = 601
    """Passes over the good images; 601 for MVTec AD in the authors' code. 50 are enough for a first look."""
    steps: Count | None = None
    """Training steps, instead of epochs: training then takes as long for 300 images as for 30. none:
    epochs."""
    batch_size: BatchSize = 64
    """Images in a training step; 64 in the paper."""
    learning_rate: Positive = 1e-3
    """Adam's learning rate, constant; 0.001 in the paper."""
    memory_mib: WholeNumber = 1024
    """MiB of memory for the source's maps of all good images. Where they need more, they are computed in
    every step."""

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def weights(self) -> tuple[float, float]:
        """Factors of the direction and of the value term."""
        return (1.0, self.weight) if self.weighted == "value" else (self.weight, 1.0)


__all__ = ["CLONER", "SOURCE", "MKDOptions"]
