"""Which NVIDIA device this is: what a TensorRT engine is bound to."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path


def device(root: Path = Path("/")) -> tuple[str, Sequence[str]]:
    """Return the device's name, and everything else that an engine built on it depends on.

    Args:
        root: where the system's files are.

    Returns:
        The name, ``no NVIDIA device`` where there's none; then versions of the board's software and driver.
    """
    board = _text(root / "proc/device-tree/model")  # a Jetson's, for instance "NVIDIA Jetson Orin Nano"
    cards = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    models = [line.partition(":")[2].strip() for file in cards for line in _text(file).splitlines()
              if line.startswith("Model:")]  # fmt: skip
    if "nvidia" not in board.lower():
        board = ""
    versions = [_text(root / name) for name in ("etc/nv_tegra_release", "proc/driver/nvidia/version")]
    return board or ", ".join(models) or "no NVIDIA device", (*versions, platform.machine())


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode(errors="replace").strip("\0\n ")
    except OSError:
        return ""
