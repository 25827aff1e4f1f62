"""An evaluation as one HTML file: evidence to decide from, without a network or a server.

gallery = Gallery(detector)
found = evaluate(detector, samples, gallery.add)
write_report(Path("report.html"), "tiles", found, gallery, detector.bundle)
"""

from edgead.evaluation.report.gallery import Gallery
from edgead.evaluation.report.page import Timing, write_report

__all__ = ["Gallery", "Timing", "write_report"]
