"""The image score: the one number by which a part is judged.

A method's paper has its own. Another is often better on real defects: the *maximum* of the finished map finds
defects of a few pixels, the *mean of the highest patch scores* those that are larger than a patch, since one
noisy place in a good image moves it less. It costs next to nothing: a thousand patches stand for 65,536
pixels.

Here is the arithmetic for whoever has the scores and no graph; ``edgead_plugins.postprocessors`` composes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgead.errors import OptionError

Rule = Literal["paper", "maximum", "top-share"]
DEFAULT_SHARE = 0.01


@dataclass(frozen=True)
class ImageScore:
    """Which number the image score is.

    Attributes:
        rule: ``paper``: the scorer's own, or the finished map's maximum where it has none; ``maximum``: the
            finished map's; ``top-share``: the mean of the highest patch scores.
        share: of all patches, over 0 to 1, that ``top-share`` takes the mean of; at least one is taken.
    """

    rule: Rule = "paper"
    share: float = DEFAULT_SHARE

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise OptionError(f"image score: share {self.share} must be over 0, and 1 at most; try 0.01")

    def __str__(self) -> str:
        return f"top {self.share:.3g}" if self.rule == "top-share" else self.rule


PAPER, MAXIMUM, TOP_SHARE = ImageScore(), ImageScore("maximum"), ImageScore("top-share")
CANDIDATES = (PAPER, MAXIMUM, TOP_SHARE)
"""What ``auto`` chooses among."""


def parse(text: str) -> ImageScore:
    """Read ``paper``, ``maximum``, ``top`` or a share such as ``0.03``.

    Raises:
        OptionError: it's none of these.
    """
    named = {"paper": PAPER, "maximum": MAXIMUM, "top": TOP_SHARE}
    if text in named:
        return named[text]
    try:
        return ImageScore("top-share", float(text))
    except ValueError:
        raise OptionError(
            f"image score '{text}' must be auto, paper, maximum, top, or a share of the patches such as 0.01"
        ) from None


def highest(n_patches: int, share: float) -> int:
    """How many patches ``top-share`` takes the mean of."""
    return max(1, round(n_patches * share))


def score_of(
    patch: NDArray[np.float32], anomaly_map: NDArray[np.float32], own: float, image_score: ImageScore = PAPER
) -> float:
    """The image score of one image.

    Args:
        patch: (h, w) float32, the patch scores.
        anomaly_map: (H, W) float32, the finished map.
        own: the paper's score.
        image_score: which.
    """
    if image_score.rule == "paper":
        return own
    if image_score.rule == "maximum":
        return float(anomaly_map.max())
    count = highest(patch.size, image_score.share)
    return float(np.partition(patch.ravel(), patch.size - count)[patch.size - count :].mean(dtype=np.float64))


__all__ = [
    "CANDIDATES",
    "DEFAULT_SHARE",
    "MAXIMUM",
    "PAPER",
    "TOP_SHARE",
    "ImageScore",
    "Rule",
    "highest",
    "parse",
    "score_of",
]
