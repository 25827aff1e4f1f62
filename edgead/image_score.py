"""The image score: one number of an anomaly map, by which a part is judged.

A method's paper has its own. Another is often better on real defects: the *maximum* of the finished map finds
defects of a few pixels, the *mean of its highest cells* those that are larger than a cell, since one noisy
place in a good image moves it less. Cells are the patch grid's: the finished map averaged over each. So a
score of 1,024 cells stands for one of 65,536 pixels, and costs next to nothing in the graph.

Here is the arithmetic for whoever has a map and no graph; ``edgead_plugins.postprocessors`` composes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgead.errors import OptionError

Size = tuple[int, int]
Rule = Literal["paper", "maximum", "top-share"]
DEFAULT_SHARE = 0.01


@dataclass(frozen=True)
class ImageScore:
    """Which number of a map the image score is.

    Attributes:
        rule: ``paper``: the scorer's own, or the finished map's maximum where it has none; ``maximum``: the
            finished map's; ``top-share``: the mean of its highest cells.
        share: of all cells, over 0 to 1, that ``top-share`` takes the mean of; at least one is taken.
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
            f"image score '{text}' must be auto, paper, maximum, top, or a share of the map such as 0.01"
        ) from None


def cell_matrix(n_pixels: int, n_cells: int) -> NDArray[np.float64]:
    """(n_cells, n_pixels): the mean over each of equal cells, pixels at a border in proportion."""
    edges = np.linspace(0, n_pixels, n_cells + 1)
    pixels = np.arange(n_pixels)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights: NDArray[np.float64] = np.clip(covered, 0, None) / (n_pixels / n_cells)
    return weights


def highest(n_cells: int, share: float) -> int:
    """How many cells ``top-share`` takes the mean of."""
    return max(1, round(n_cells * share))


def score_of(
    anomaly_map: NDArray[np.float32], own: float, grid: Size, image_score: ImageScore = PAPER
) -> float:
    """The image score of a finished map.

    Args:
        anomaly_map: (H, W) float32.
        own: the paper's score of this image.
        grid: (h, w), the patch scores' shape.
        image_score: which.
    """
    if image_score.rule == "paper":
        return own
    if image_score.rule == "maximum":
        return float(anomaly_map.max())
    height, width = anomaly_map.shape
    cells = cell_matrix(height, grid[0]) @ anomaly_map @ cell_matrix(width, grid[1]).T
    count = highest(cells.size, image_score.share)
    return float(np.partition(cells.ravel(), cells.size - count)[cells.size - count :].mean())


__all__ = [
    "CANDIDATES",
    "DEFAULT_SHARE",
    "MAXIMUM",
    "PAPER",
    "TOP_SHARE",
    "ImageScore",
    "Rule",
    "cell_matrix",
    "highest",
    "parse",
    "score_of",
]
