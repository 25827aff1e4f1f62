"""DMAD's vocabulary: its options, and what scorer, network and fitting must agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgead.options import check_options
from edgead_plugins.option_kinds import BatchSize, Count, Factor, Positive, Share, WholeNumber
from edgead_plugins.ranking import Wanted

PATCHES = "patches"
"""The map that ``embed`` yields."""
HIGHEST = 5
"""Patch scores whose mean is the image score; the paper's."""
SLOPE = 0.2
"""Slope of psi's LeakyReLU below 0."""
EVEN = 1e-4
"""Of the last row's distance, what every row's weight has on top, so that equally distant rows have any."""
Reading = Literal["taper", "attention", "nearest"]


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
    """Most rows of the normal bank. Without annotated defects the abnormal bank has as many."""
    noise: Positive = 0.5
    """Standard deviation of the Gaussian noise that makes normal patches abnormal, in standard deviations of
    the normal features, which it follows in all directions."""
    negatives: Literal["patch", "projected"] = "patch"
    """What training calls abnormal without a defect. patch: normal patches with the noise above, and what the
    banks say of those; projected: normal patches with noise on the three projected parts, as in the paper."""
    projected_noise: Positive = 0.015
    """Standard deviation of that noise, in the projections' own units; 0.015 in the paper's code."""
    reading: Literal["taper", "paper", "attention", "nearest"] = "taper"
    """How a patch reads its nearest rows of a bank. taper: each counts as much as it's nearer than the last,
    so that knowledge doesn't jump where another row becomes the nearest; attention: by how much it's like
    the patch; nearest: the nearest alone; paper: attention, and with annotated defects nearest."""
    neighbors: Count = 9
    """Rows of each bank that are read, but for reading=nearest."""
    signed: bool = False
    """Knowledge is q - m, as in the paper's code, instead of |q - m|."""
    pseudo: Literal["noise", "fused"] = "fused"
    """What the abnormal bank is without annotated defects. noise: the normal bank's rows with the noise
    above; fused: each of them mixed with a patch of another picture, as in the paper."""
    textures: str = ""
    """Folder of images of any kind, patches of which are what is abnormal in any product. Empty: pictures
    that edgead generates."""
    texture_images: WholeNumber = 32
    """Pictures that these patches are from. 0: none, but the normal bank's rows with noise in their place."""
    texture_ratio: Share = 0.1
    """Share of their patches that the abnormal bank keeps with annotated defects; 0.1 in the paper's code."""
    centre_samples: WholeNumber | None = None
    """Abnormal features drawn around the mean of all annotated defects' patches. none: as many as those
    patches, as in the paper's code; 0: none."""
    centre_std: Factor = 0.015
    """Standard deviation of these draws, in the features' own units; 0.015 in the paper's code."""
    covered: Literal["half", "any"] = "half"
    """Which patches a mask selects. half: those that it covers by half or more, of a defect too fine for that
    the most covered ones; any: all that it touches, as in the paper's code."""
    hidden: Count = 1024
    """Width of the scoring network's hidden layer."""
    pseudo_weight: Factor = 1.0
    """Weight of normal patches with noise in the loss; the paper's lambda_1."""
    observed_weight: Factor = 10.0
    """Weight of the annotated defects' patches in the loss, the paper's lambda_2; 10 in its code."""
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

    def __post_init__(self) -> None:
        check_options(self)

    def read_as(self, defects: bool) -> Reading:
        """How banks are read, with annotated defects or without."""
        if self.reading != "paper":
            return self.reading
        return "nearest" if defects else "attention"


__all__ = ["EVEN", "HIGHEST", "PATCHES", "SLOPE", "DMADOptions", "Reading"]
