"""DeSTSeg's losses, as the paper and its code have them."""

from __future__ import annotations

from collections.abc import Sequence

from edgead_plugins.training.pytorch import functional, torch


def student_loss(teacher: Sequence[torch.Tensor], student: Sequence[torch.Tensor]) -> torch.Tensor:
    """1 - cos over the channels of (N, C, h, w) maps: averaged over positions, summed over layers **and over
    the batch**. The paper's learning rate is for that sum."""
    each = [
        (1 - functional.cosine_similarity(a.float(), b.float(), dim=1)).mean((1, 2)).sum()
        for a, b in zip(teacher, student, strict=True)
    ]
    return torch.stack(each).sum()


def segmentation_loss(logits: torch.Tensor, mask: torch.Tensor, gamma: float) -> torch.Tensor:
    """Focal loss plus L1 of the probability, each averaged over everything.

    Args:
        logits: (N, 1, h, w), of a pixel being anomalous.
        mask: the same shape, 0 or 1.
        gamma: of the focal loss, which has no balancing factor.
    """
    towards = torch.where(mask > 0, logits, -logits.float())  # the logit of what is right
    focal = -((1 - torch.sigmoid(towards)) ** gamma) * functional.logsigmoid(towards)
    return focal.mean() + (torch.sigmoid(logits.float()) - mask).abs().mean()


def shrunk(mask: torch.Tensor, size: Sequence[int], touched: bool = False) -> torch.Tensor:
    """(N, H, W) masks of 0 and 1 -> (N, 1, h, w): bilinear interpolation, then 1 from one half on.

    Args:
        touched: 1 wherever the mask is anywhere in the position's pixels, so that thin lines aren't lost.
    """
    if touched:
        return functional.adaptive_max_pool2d(mask[:, None].float(), tuple(size))
    found = functional.interpolate(mask[:, None].float(), size=tuple(size), mode="bilinear")
    return (found >= 0.5).float()


__all__ = ["segmentation_loss", "shrunk", "student_loss"]
