"""DMAD: Hu et al., DMAD: Dual Memory Bank for Real-World Anomaly Detection, arXiv 2403.12362.

Two banks, of normal and of abnormal patches. What a patch's nearest entries in both have to say, beside the
patch itself, is scored by a small network. One model serves several products, and learns from a few
annotated defects where there are some. The description that this follows leaves widths, weights, noise and
sizes open; what was chosen is in docs/methods/dmad.md.
"""

from __future__ import annotations

from edgead_plugins.dmad.fitted import FittedDMAD
from edgead_plugins.dmad.options import DMADOptions
from edgead_plugins.dmad.scorer import DMAD

__all__ = ["DMAD", "DMADOptions", "FittedDMAD"]
