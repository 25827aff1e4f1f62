"""Focus Your Distribution: coarse-to-fine alignment of good images before PaDiM's density; arXiv 2110.04538.

PaDiM compares a position with the same position of good images, which asks for parts that lie alike. FYD
fine-tunes the backbone so that they do. *Coarse*: spatial transformers turn, enlarge and shift the image
(ICA, pulled by the squared distance between images) and the map after each stage (FCA, pulled by the fine
alignment alone). *Fine*: dense SimSiam (Chen and He, arXiv 2011.10566), which pulls the vectors at one
position of two random good images together. Density and score are PaDiM's.

No official code is public, so this is a reconstruction from a description of the paper: docs/methods/fyd.md
says what was known, what was chosen and what was measured.
"""

from __future__ import annotations

from edgead_plugins.fyd.options import FYDOptions
from edgead_plugins.fyd.scorer import FYD

__all__ = ["FYD", "FYDOptions"]
