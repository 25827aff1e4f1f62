"""Collapse: a loss that compares features with features is lowest when all features are the same."""

from __future__ import annotations

from edgead.errors import TrainingError
from edgead_plugins.training.pytorch import functional, nn, torch


def spread(features: torch.Tensor) -> torch.Tensor:
    """How far apart the directions of (N, C, h, w) features are: 0 where all are one, at most 1.

    The root of the summed variance of the unit vectors over images and positions (Chen and He, arXiv
    2011.10566, watch the same number).
    """
    unit = functional.normalize(features.detach(), dim=1).transpose(0, 1).flatten(1)
    return unit.var(1, unbiased=False).sum().sqrt()


class SpreadGuard(nn.Module):  # type: ignore[misc]
    """Remembers the spread of some features at the start, and raises when too little of it is left.

    Put it among the module that is trained, so that what it remembers is in the checkpoint.

    Args:
        names: what is watched, for the message.
        least: the share of the first spread that must be left.
        worn: the share from which on ``worn_out`` says so: features that go slowly lose what tells defects
            long before they're all the same.
    """

    def __init__(self, names: tuple[str, ...], least: float = 0.1, worn: float = 0.0) -> None:
        super().__init__()
        self.names, self.least, self.worn = names, least, worn
        self.register_buffer("first", torch.full((len(names),), float("nan")))
        self.register_buffer("last", torch.full((len(names),), float("nan")))

    def look(self, features: dict[str, torch.Tensor]) -> None:
        """Measure; the first look is what later ones are compared with.

        Raises:
            TrainingError: the features collapsed.
        """
        self.last.copy_(torch.stack([spread(features[name]) for name in self.names]))
        if self.first.isnan().all():
            self.first.copy_(self.last)
        for name, share in self.shares().items():
            if not share >= self.least:
                raise TrainingError(
                    f"the features of '{name}' collapsed: {share:.1%} of their spread is left; lower the "
                    "learning rate or train for fewer epochs"
                )

    def worn_out(self) -> bool:
        """Whether the last look found less than ``worn`` left of any spread."""
        return min(self.shares().values()) < self.worn

    def shares(self) -> dict[str, float]:
        """What is left of each first spread, as a share."""
        return dict(zip(self.names, (self.last / self.first.clamp_min(1e-12)).tolist(), strict=True))


__all__ = ["SpreadGuard", "spread"]
