"""A region of interest: what lies outside of it is neither learned nor judged.

Frames are painted there in one colour before anything sees them, in fitting and in judging alike, so that no
pixel outside can have any influence, whatever the method. ``file`` and ``polygons`` read what a user gives,
``roi`` paints, ``rule`` is the resize rule with it, ``carried`` is the region in a bundle.
"""

from edgead.roi.carried import roi_of, write_roi
from edgead.roi.file import Drawn, read_roi
from edgead.roi.roi import Roi
from edgead.roi.rule import RoiRule

__all__ = ["Drawn", "Roi", "RoiRule", "read_roi", "roi_of", "write_roi"]
