"""What this machine and this environment have: the CPU's units, engines' devices, extras' packages."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from edgead.errors import EdgeadError, one_line
from edgead.extras import EXTRAS
from edgead.processor import Cpu, cpu
from edgead.runtime.signal_stack import keeps_signal_stack

CORE = ("numpy", "opencv-python-headless", "pluggy", "click")


def installed(distribution: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def absent_packages() -> dict[str, list[str]]:
    """Return what each extra still lacks; an empty list where it's complete."""
    return {extra: [name for name in names if installed(name) is None] for extra, names in EXTRAS.items()}


@keeps_signal_stack
def engine_devices() -> dict[str, dict[str, str] | str]:
    """Return each engine's devices with what they are, or one line on why the engine can't be used."""
    return {"openvino": _ask(_openvino_devices), "onnxruntime": _ask(_onnxruntime_devices)}


def _ask(devices: Callable[[], dict[str, str]]) -> dict[str, str] | str:
    try:
        return devices()
    except EdgeadError as error:
        return str(error)
    except Exception as error:  # a driver that fails to start must not hide the rest of the report
        return f"it fails: {one_line(error)}"


def _openvino_devices() -> dict[str, str]:
    from edgead.runtime.openvino_session import import_openvino

    core = import_openvino().Core()
    devices = {}
    for name in core.available_devices:
        forms = ", ".join(sorted(core.get_property(name, "OPTIMIZATION_CAPABILITIES")))
        devices[name] = f"{core.get_property(name, 'FULL_DEVICE_NAME').strip()} ({forms})"
    return devices


def _onnxruntime_devices() -> dict[str, str]:
    from edgead.runtime.onnxruntime_session import import_onnxruntime

    providers = import_onnxruntime().get_available_providers()
    names = {name.removesuffix("ExecutionProvider").upper(): name for name in providers}
    names.pop("AZURE", None)  # it sends images to a server: no device of this machine
    return names


def jetson_line() -> str:
    """Return what a bundle for a Jetson would be tried on here, in one line."""
    from edgead.runtime.onnxruntime_session import import_onnxruntime
    from edgead.runtime.providers import available_line

    try:
        return available_line(import_onnxruntime())
    except EdgeadError as error:
        return f"can't run here: {error}"


__all__ = [
    "CORE",
    "Cpu",
    "absent_packages",
    "cpu",
    "engine_devices",
    "installed",
    "jetson_line",
]
