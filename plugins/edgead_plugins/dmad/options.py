"""DMAD's vocabulary: its options, and what scorer, network and fitting must agree on."""

from __future__ import annotations

from dataclasses import dataclass

from edgead.options import check_options
from edgead_plugins.option_kinds import BatchSize, Count, Factor, Positive, Share, WholeNumber
from edgead_plugins.ranking import Wanted

PATCHES = "patches"
"""The map that ``embed`` yields."""
HIGHEST = 5
"""Patch scores whose mean is the image score; the paper's."""
SLOPE = 0.2
"""Slope of psi's LeakyReLU below 0."""


@dataclass(frozen=True)
class DMADOptions:
    """DMAD's options; ``-o name=value``."""

    layers: tuple[str, ...] = ()
    """Feature maps to use. Empty: those of stride 8 and 16, as in PatchCore."""
    patch_size: Count = 3
    """Side of the neighbourhood that is averaged around each position of a map, in positions."""
    width: WholeNumber | None = None
    """Values in an embedding: 0 concatenates the maps' channels, 1024 is the paper's pooling. none: 1024
    where the maps have more channels than that together, else concatenation."""
    coreset_ratio: Share = 0.02
    """Share of all normal patches that the normal bank keeps; 0.02 in the paper."""
    bank_rows: Count = 20000
    """Most rows of the normal bank. The abnormal bank has as many rows made of normal patches with noise."""
    noise: Positive = 0.5
    """Standard deviation of the Gaussian noise that makes normal patches abnormal, in standard deviations of
    the normal features, which it follows in all directions."""
    attention: bool | None = None
    """Read several neighbours by attention instead of the nearest alone. none: only without annotated
    defects, as in the paper."""
    neighbors: Count = 3
    """Rows of each bank that attention reads."""
    centre_samples: WholeNumber = 50
    """Abnormal features drawn around the mean feature of each annotated defect; 0: none."""
    centre_std: Factor = 0.1
    """Standard deviation of these draws, in the features' own units; 0.1 in the paper."""
    hidden: Count = 1024
    """Width of the scoring network's hidden layer."""
    pseudo_weight: Factor = 1.0
    """Weight of normal patches with noise in the loss; the paper's lambda_1."""
    observed_weight: Factor = 1.0
    """Weight of the annotated defects' patches in the loss; the paper's lambda_2."""
    steps: Count = 5000
    """Training steps."""
    batch_size: BatchSize = 4096
    """Normal patches in a training step; as many with noise come on top."""
    learning_rate: Positive = 2e-4
    """AdamW's learning rate for the scoring network; the projection before it has half of it."""
    weight_decay: Factor = 1e-5
    """AdamW's weight decay for the scoring network; the projection has none."""
    search: Wanted = "auto"
    """How the banks are searched: exact, ranked or auto; see PatchCore's option of that name."""
    search_bound: Share = 0.01
    """Share of patches whose distance may come out more than 1 % too large by the ranked search."""
    memory_mib: Count = 4096
    """MiB of memory for the normal patches that training draws from. Where not all fit, some of each
    image."""
    device: str = "auto"
    """Where to train: auto (a GPU where there is one), cpu, cuda, cuda:1."""

    def __post_init__(self) -> None:
        check_options(self)


__all__ = ["HIGHEST", "PATCHES", "SLOPE", "DMADOptions"]
