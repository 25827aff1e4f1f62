"""Which extra brings which package, so that a missing one is answered with the command that installs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from edgead.errors import MissingDependencyError

TOML = () if sys.version_info >= (3, 11) else ("tomli",)
"""What reads grid files, where Python's own tomllib isn't there yet."""
EXTRAS: dict[str, tuple[str, ...]] = {
    "openvino": ("openvino",),
    "onnx": ("onnxruntime",),
    "fit": ("onnx", "spox", "nncf", "threadpoolctl", "onnxruntime", "rich", "safetensors", *TOML),
    "report": ("jinja2",),
    "sign": ("cryptography",),
    "log": ("pyarrow",),
    "camera": ("genicam",),
    "pylon": ("pypylon",),
    "web": ("starlette", "uvicorn", "jinja2", "prometheus_client"),
    "train": ("torch", "torchvision", "timm", "onnxscript"),
    "plc": ("gpiod",),
    "opcua": ("asyncua",),
    "mqtt": ("paho",),
}
"""The importable packages of each extra, as in pyproject.toml (a test compares the two)."""


def install(extra: str) -> str:
    """Say how to install an extra, in words that hold for an index and for a clone."""
    return f'pip install "edgead[{extra}]", or in a clone pip install ".[{extra}]"'


def missing(error: ModuleNotFoundError, for_what: str, whose: str = "") -> MissingDependencyError | None:
    """Return the error to raise when an import failed for want of an extra's package, else None.

    Args:
        error: what the import raised.
        for_what: what needs the package, the start of the message.
        whose: the extra that is meant where several bring the package.
    """
    package = (error.name or "").partition(".")[0]
    for extra, packages in sorted(EXTRAS.items(), key=lambda each: each[0] != whose):
        if package in packages:
            return MissingDependencyError(f"{for_what} needs the package '{package}': {install(extra)}")
    return None


@contextmanager
def explained(for_what: str, whose: str = "") -> Iterator[None]:
    """Raise what ``missing`` returns where the block, or the function so decorated, lacks a package."""
    try:
        yield
    except ModuleNotFoundError as error:
        if absent := missing(error, for_what, whose):
            raise absent from error
        raise


__all__ = ["EXTRAS", "explained", "install", "missing"]
