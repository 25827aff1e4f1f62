"""DeSTSeg: Zhang, Li, Li, Huang, Shan, Chen: DeSTSeg: Segmentation Guided Denoising Student-Teacher for
Anomaly Detection, CVPR 2023, arXiv 2211.11317.

Synthetic defects are put onto good images. A *student* that sees them learns to give what a frozen,
pretrained *teacher* gives of the image without: it learns to take defects away. A *segmentation network* then
learns, from synthetic defects again, where the two disagree because of a defect. What ships is the
three networks in one graph, without a memory bank. docs/methods/destseg.md has what was chosen and measured.
"""

from __future__ import annotations

from edgead_plugins.destseg.options import DeSTSegOptions
from edgead_plugins.destseg.scorer import DeSTSeg

__all__ = ["DeSTSeg", "DeSTSegOptions"]
