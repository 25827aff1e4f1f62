"""Masks that say where an image is defective: found by name, read as they are, brought to the model's size.

The one rule, for measuring and for learning from annotated defects alike. A pixel is defective where its
value isn't 0, at the file's own depth and type; what a lossy file or an alpha channel needs is in ``file``,
how a mask gets to the model's size in ``scale``, how it's found in ``matching``, and what is doubtful about
the masks of a data set becomes notices in ``doubts``.
"""

from edgead.masks.doubts import Doubts
from edgead.masks.file import MaskFile, read_mask_file
from edgead.masks.marks import Marks, read_marks, read_mask, to_input
from edgead.masks.matching import MaskNames
from edgead.masks.scale import Scaled, scale

__all__ = [
    "Doubts",
    "Marks",
    "MaskFile",
    "MaskNames",
    "Scaled",
    "read_marks",
    "read_mask",
    "read_mask_file",
    "scale",
    "to_input",
]
