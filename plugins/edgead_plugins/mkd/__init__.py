"""Multiresolution Knowledge Distillation (MKD): Salehi et al., CVPR 2021, arXiv 2011.11108.

A small *cloner* learns on good images to give what a frozen, pretrained *source* gives at a few critical
layers, in value and in direction. It has only ever seen good parts, and it's too small to learn more than
those: where the two disagree on an image, something is in it that good parts don't have.

The paper finds *where* by the gradient of that disagreement, which no inference graph has:
``edgead_plugins.mkd.localisation`` computes it at the workbench. The exported graph has ``mkd-forward``, the
disagreement at each position, which is not in the paper. docs/methods/mkd.md has both, measured.
"""

from __future__ import annotations

from edgead_plugins.mkd.options import MKDOptions
from edgead_plugins.mkd.scorer import MKD

__all__ = ["MKD", "MKDOptions"]
