"""FYD's vocabulary: its options, and the map that the trained network yields beside its stages."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

from edgead.options import Range
from edgead_plugins.option_kinds import BatchSize, Factor, Momentum, WholeNumber
from edgead_plugins.padim import PaDiMOptions

MOVING_RATE, STILL_RATE = 1e-4, 1e-5
"""Learning rates where parts move, and where they don't."""
MOVING_WORN, STILL_WORN = 0.8, 0.95
"""Shares of the features' spread at which the training ends, likewise."""
ALIGNMENT = "alignment"
"""The trained network's map (1, 6, 1, 1): the 2 x 3 transform that takes an aligned map back to the image."""

TRAINED = "trained"
"""How it was trained, in the provenance: the learning rate and why, the epochs, whether features wore."""


@dataclass(frozen=True)
class FYDOptions(PaDiMOptions):
    """FYD's options, those of PaDiM's density among them; ``-o name=value``."""

    align_image: bool | None = None
    """Align the image itself, by the distance between the images of a batch (ICA). none: where the images
    show parts that move, as in the paper, and not where they don't, for there it did harm
    (docs/methods/fyd.md)."""
    align_features: bool = True
    """Align the feature map of each stage as well (FCA)."""
    max_rotation: Annotated[float, Range(0, 45)] = 10.0
    """Degrees that one alignment may turn by; the paper's value is not known."""
    max_scale: Annotated[float, Range(0, 0.5)] = 0.1
    """Share of its size that one alignment may enlarge or shrink by; the paper's value is not known."""
    max_shift: Annotated[float, Range(0, 0.3)] = 0.1
    """Share of the side that one alignment may shift by; the paper's value is not known."""
    restore: bool = True
    """Take the anomaly map back from the aligned frame to the image's own; whether the paper does is not
    known."""
    epochs: WholeNumber = 50
    """Passes over the good images; 50 in a derivative of the paper."""
    batch_size: BatchSize = 32
    """Images in a training step, each of which is compared with another; 32 in a derivative of the paper."""
    learning_rate: Factor | None = None
    """SGD's learning rate for the backbone, the stages' alignments and the predictors. none: 0.0001, as in a
    derivative of the paper, where the images show parts that move, else 0.00001, since there the larger one
    did harm (docs/methods/fyd.md); 0 trains the image's alignment alone."""
    stop_worn: Annotated[float, Range(0, 1)] | None = None
    """End the training after the epoch in which less than this share of the features' spread over images and
    positions is left: it makes them alike slowly, before they collapse. none: 0.8 where the images show parts
    that move, and 0.95 where they don't, for there is little to gain; 0: go on."""
    image_learning_rate: Factor = 0.01
    """SGD's learning rate for the image's alignment; 0.01 in a derivative of the paper."""
    momentum: Momentum = 0.9
    """SGD's momentum; 0.9 in a derivative of the paper."""

    def aligns_image(self, moving: bool) -> bool:
        """Whether the image is aligned where parts move, or don't; it is where nothing else would be."""
        if self.align_image is not None:
            return self.align_image
        return moving or not self.align_features

    def density(self) -> PaDiMOptions:
        """PaDiM's part of the options."""
        names = [field.name for field in dataclasses.fields(PaDiMOptions)]
        return PaDiMOptions(**{name: getattr(self, name) for name in names})


__all__ = [
    "ALIGNMENT",
    "MOVING_RATE",
    "MOVING_WORN",
    "STILL_RATE",
    "STILL_WORN",
    "TRAINED",
    "FYDOptions",
]
