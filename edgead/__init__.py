"""edgead: visual anomaly detection from a folder of good images to a verdict on an edge camera.

    import edgead
    detector = edgead.load("patchcore.edgead")
    prediction = detector(frame)          # HxWx3 uint8 BGR

Everything is loaded when first touched, so that ``import edgead`` costs next to nothing. It turns off the
telemetry that engines bring; see ``edgead.telemetry``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgead import telemetry as _telemetry

if TYPE_CHECKING:
    from edgead import errors
    from edgead.hookspecs import hookimpl
    from edgead.runtime.detector import Detector, load
    from edgead.runtime.engine_options import EngineOptions
    from edgead.types import Prediction, Region

__version__ = "0.1.0"

_telemetry.turn_off()

_HOME = {
    "Detector": "edgead.runtime.detector",
    "EngineOptions": "edgead.runtime.engine_options",
    "Prediction": "edgead.types",
    "Region": "edgead.types",
    "hookimpl": "edgead.hookspecs",
    "load": "edgead.runtime.detector",
}

__all__ = ["Detector", "EngineOptions", "Prediction", "Region", "__version__", "errors", "hookimpl", "load"]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("edgead.errors")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'edgead' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
