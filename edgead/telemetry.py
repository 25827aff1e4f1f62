"""The telemetry that engines bring is off before any of them is imported.

ONNX Runtime 1.32 on Linux writes a device's number and a queue of events below ``~/.cache/Microsoft`` and
asks for its server's address, at ``import onnxruntime`` alone; only ``ORT_DISABLE_TELEMETRY`` in the
environment before that import keeps it from doing so, here and in child processes. openvino's and nncf's
tools send through a package of its own, ``openvino_telemetry``, for which there is no such variable: it's
kept out of this process, and they use their empty stub.

``import edgead`` does both. What was imported before it can't be silenced any more; ``started`` names it.
"""

from __future__ import annotations

import os
import sys

VARIABLE = "ORT_DISABLE_TELEMETRY"
_STARTED: list[str] = []


def turn_off() -> None:
    """Turn it off for what this process and those that it starts import from now on; safe to repeat.

    A value that the user gave the variable is overruled: edgead promises that nothing is sent.
    """
    told = os.environ.get(VARIABLE, "").lower()
    if sys.modules.get("onnxruntime") is not None and told not in ("1", "true"):
        _note("onnxruntime")
    os.environ[VARIABLE] = "1"
    if sys.modules.setdefault("openvino_telemetry", None) is not None:  # type: ignore[arg-type]
        _note("openvino_telemetry")


def started() -> tuple[str, ...]:
    """Name the packages that were imported before edgead with their telemetry on."""
    return tuple(_STARTED)


def sentence() -> str:
    """Say in one line whether it's off."""
    if not _STARTED:
        return "off: edgead sends nothing and keeps its engines from sending"
    variable = f", or set {VARIABLE}=1 before" if "onnxruntime" in _STARTED else ""
    came = f"{' and '.join(_STARTED)} came before edgead in this process"
    return f"not surely off: {came}; import edgead first{variable}"


def _note(package: str) -> None:
    if package not in _STARTED:
        _STARTED.append(package)


__all__ = ["VARIABLE", "sentence", "started", "turn_off"]
