"""The teacher's three losses and the students' one."""

from __future__ import annotations

from edgead_plugins.training.pytorch import torch

MARGIN = 1.0
"""Of the triplet loss; the paper's."""


def distillation(decoded: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of the squared distance between (N, D) decoded descriptors and features."""
    return (decoded - features).square().sum(1).mean()


def triplet(anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of max(0, margin + d(a, p) - min(d(a, n), d(p, n))), d the squared distance.

    The nearer of the two distances to the negative counts: Balntas et al., BMVC 2016.
    """

    def apart(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).square().sum(1)

    far = torch.minimum(apart(anchor, negative), apart(positive, negative))
    return (MARGIN + apart(anchor, positive) - far).clamp_min(0).mean()


def compactness(descriptors: torch.Tensor) -> torch.Tensor:
    """The sum of squared correlations between different dimensions of (N, D) descriptors, over the batch.

    0 where no dimension tells anything of another. Public code correlates the batch's samples instead.
    """
    centred = descriptors - descriptors.mean(0)
    unit = centred / (centred.square().sum(0) + 1e-12).sqrt()
    correlations = unit.T @ unit
    return correlations.square().sum() - correlations.diagonal().square().sum()


def regression(targets: torch.Tensor, students: torch.Tensor) -> torch.Tensor:
    """Squared distance between (N, D, h, w) targets and students (N, M * D, h, w): mean over positions and
    images, summed over the M students, so that each learns as if it were alone."""
    n, d, h, w = targets.shape
    apart = (students.reshape(n, -1, d, h, w) - targets[:, None]).square()
    return apart.sum((1, 2)).mean()


__all__ = ["MARGIN", "compactness", "distillation", "regression", "triplet"]
