"""edgead: visual anomaly detection from a folder of good images to a verdict on an edge camera.

    import edgead
    fitted = edgead.fit("patchcore", "photos/good")
    made = edgead.export(fitted, "openvino")
    detector = edgead.load(made)
    prediction = detector(frame)          # HxWx3 uint8 BGR

Everything is loaded when first touched, so that ``import edgead`` costs next to nothing. It turns off the
telemetry that engines bring; see ``edgead.telemetry``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgead import telemetry as _telemetry
from edgead.version import __version__

if TYPE_CHECKING:
    from edgead import errors
    from edgead.api.calibrate import calibrate
    from edgead.api.compare import compare
    from edgead.api.evaluate import evaluate
    from edgead.api.export import export
    from edgead.api.fit import fit
    from edgead.api.records import Calibrated, Compared, Export, Fit, Taught, Verified
    from edgead.api.sign import sign
    from edgead.api.teach import teach
    from edgead.api.verify import verify
    from edgead.bundle import Bundle, Lesson, read_bundle
    from edgead.device.drift import Drift
    from edgead.evaluation.evaluate import Evaluation
    from edgead.hookspecs import hookimpl
    from edgead.runtime.detector import Detector, load
    from edgead.runtime.engine_options import EngineOptions
    from edgead.slots import Slots
    from edgead.trust import Trust
    from edgead.types import Prediction, Region
    from edgead.web import NotInspected, Web, WebDefect

_telemetry.turn_off()

_HOME = {
    "Bundle": "edgead.bundle",
    "Calibrated": "edgead.api.records",
    "Compared": "edgead.api.records",
    "Detector": "edgead.runtime.detector",
    "Drift": "edgead.device.drift",
    "EngineOptions": "edgead.runtime.engine_options",
    "Evaluation": "edgead.evaluation.evaluate",
    "Export": "edgead.api.records",
    "Fit": "edgead.api.records",
    "Lesson": "edgead.bundle",
    "NotInspected": "edgead.web",
    "Prediction": "edgead.types",
    "Region": "edgead.types",
    "Slots": "edgead.slots",
    "Taught": "edgead.api.records",
    "Trust": "edgead.trust",
    "Verified": "edgead.api.records",
    "Web": "edgead.web",
    "WebDefect": "edgead.web",
    "calibrate": "edgead.api.calibrate",
    "compare": "edgead.api.compare",
    "evaluate": "edgead.api.evaluate",
    "export": "edgead.api.export",
    "fit": "edgead.api.fit",
    "hookimpl": "edgead.hookspecs",
    "load": "edgead.runtime.detector",
    "read_bundle": "edgead.bundle",
    "sign": "edgead.api.sign",
    "teach": "edgead.api.teach",
    "verify": "edgead.api.verify",
}

__all__ = [
    "Bundle",
    "Calibrated",
    "Compared",
    "Detector",
    "Drift",
    "EngineOptions",
    "Evaluation",
    "Export",
    "Fit",
    "Lesson",
    "NotInspected",
    "Prediction",
    "Region",
    "Slots",
    "Taught",
    "Trust",
    "Verified",
    "Web",
    "WebDefect",
    "__version__",
    "calibrate",
    "compare",
    "errors",
    "evaluate",
    "export",
    "fit",
    "hookimpl",
    "load",
    "read_bundle",
    "sign",
    "teach",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("edgead.errors")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'edgead' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
