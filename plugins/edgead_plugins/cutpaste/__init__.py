"""CutPaste: Li et al., CutPaste: Self-Supervised Learning for Anomaly Detection and Localization, CVPR 2021,
arXiv 2104.04015.

A network learns to tell good images from the same with a piece pasted into a wrong place. That task is only
a pretext: what it learns to see is kept, and a Gaussian of good images' embeddings judges new ones. One
network sees whole images and gives the image score; another sees patches of 64 x 64 and gives the map.
docs/methods/cutpaste.md says what was chosen and what was measured.
"""

from __future__ import annotations

from edgead_plugins.cutpaste.options import CutPasteOptions
from edgead_plugins.cutpaste.scorer import CutPaste

__all__ = ["CutPaste", "CutPasteOptions"]
