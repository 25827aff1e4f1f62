"""Folders to labelled images, by the layouts that plugins register.

``dataset`` opens a data set; ``recognition`` finds which layout a folder is in, and what it is a part of.
"""

from __future__ import annotations

from edgead.datasets.dataset import Dataset, find_categories, find_samples, layouts_of, open_dataset

__all__ = ["Dataset", "find_categories", "find_samples", "layouts_of", "open_dataset"]
