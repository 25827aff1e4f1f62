"""An evaluation as one HTML file: evidence to decide from, without a network or a server.

gallery = Gallery(detector)
found = evaluate(detector, samples, gallery.add)
write_report(Path("report.html"), "tiles", found, gallery, detector.bundle)

It's made of ``templates/``, with Jinja, of the extra ``edgead[report]``.
"""

from edgead.evaluation.report.gallery import Gallery
from edgead.evaluation.report.page import write_report
from edgead.evaluation.report.records import Timing
from edgead.evaluation.report.rendering import import_jinja2

__all__ = ["Gallery", "Timing", "import_jinja2", "write_report"]
