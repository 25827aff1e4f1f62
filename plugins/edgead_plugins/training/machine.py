"""What a network is trained on: a device, its arithmetic, its memory and the cores beside it."""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgead.errors import OptionError
from edgead.processor import cpu, usable_processors
from edgead.types import Compute
from edgead_plugins.training.pytorch import torch
from edgead_plugins.training.seeding import pick_device

log = logging.getLogger(__name__)

MOST_WORKERS = 8
"""Processes that make images ahead where nobody says how many."""
CORES_PER_WORKER = 4
"""Of a CPU that trains itself: with fewer, a worker would take more than it gives."""
GPU_SHARE, CPU_SHARE = 0.8, 0.5
"""Of a device's memory, what a step may take; the CPU's is everybody's."""
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much memory a container has."""


@dataclass(frozen=True)
class Machine:
    """A device, and how it is used.

    Attributes:
        device: torch's.
        arithmetic: of passes through networks: ``fp32``, ``bf16`` or ``fp16``.
        compute: what was asked for.
    """

    device: torch.device
    arithmetic: str
    compute: Compute

    @property
    def name(self) -> str:
        """``cpu``, or a GPU's model."""
        if self.device.type == "cuda":
            return f"{self.device.type} ({torch.cuda.get_device_name(self.device)})"
        return str(self.device.type)

    @property
    def identity(self) -> list[Any]:
        """What of it decides how a training ends, beside rounding on one machine; JSON, for fingerprints."""
        return [self.name, self.arithmetic, self.compute.micro_batch]

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest should know of it."""
        pieces = self.compute.micro_batch
        return {
            "trained_on": self.name,
            "arithmetic": self.arithmetic,
            **({} if pieces is None else {"micro_batch": pieces}),
        }

    def autocast(self) -> AbstractContextManager[Any]:
        """Within it, networks calculate in the arithmetic; losses are for outside, on ``.float()`` values."""
        if self.arithmetic == "fp32":
            return nullcontext()
        kind = torch.bfloat16 if self.arithmetic == "bf16" else torch.float16
        found: AbstractContextManager[Any] = torch.autocast(self.device.type, kind)
        return found

    def scaler(self) -> Any:
        """For FP16, whose small gradients would be 0: torch's ``GradScaler``; else None."""
        return torch.amp.GradScaler(self.device.type) if self.arithmetic == "fp16" else None

    def memory(self) -> int | None:
        """Bytes that a step may take at most, the same at any time; None where it isn't known."""
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[1] * GPU_SHARE)
        if self.device.type == "cpu":
            whole = _installed()
            return None if whole is None else int(whole * CPU_SHARE)
        return None

    def workers(self) -> int:
        """How many processes make synthetic images ahead, where there are any to make."""
        if self.compute.workers is not None:
            return self.compute.workers
        cores = usable_processors()
        left = cores // CORES_PER_WORKER if self.device.type == "cpu" else cores - 1
        return max(0, min(MOST_WORKERS, left))


def machine_of(compute: Compute) -> Machine:
    """The machine that a ``Compute`` asks for.

    Raises:
        OptionError: there is no such device here, or it hasn't that arithmetic.
    """
    device = pick_device(compute.device)
    return Machine(device, _arithmetic(compute, device), compute)


def check_machine(compute: Compute) -> None:
    """``machine_of``, and a warning where a device can do it, but badly; once, before work starts."""
    found = machine_of(compute)
    if found.device.type == "cpu" and found.arithmetic == "bf16" and cpu().lacks_bf16:
        log.warning("this CPU has no BF16 unit, so training in BF16 is slower than in FP32: leave --amp out")


def _arithmetic(compute: Compute, device: torch.device) -> str:
    kind = device.type
    has_bf16 = kind == "cuda" and bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if compute.amp == "auto":
        return ("bf16" if has_bf16 else "fp16") if kind == "cuda" else "fp32"
    if compute.amp == "off":
        return "fp32"
    if compute.amp == "fp16" and kind != "cuda":
        raise OptionError(f"--amp fp16 is for NVIDIA's GPUs, and this trains on {kind}: --amp bf16 or off")
    if compute.amp == "bf16" and kind == "cuda" and not has_bf16:
        raise OptionError(f"{torch.cuda.get_device_name(device)} has no BF16: --amp fp16, auto or off")
    return compute.amp


def _installed() -> int | None:
    """Bytes of memory of this machine, or of the container that it is."""
    try:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    for file in LIMITS:
        try:
            found.append(int(Path(file).read_text()))
        except (OSError, ValueError):  # not Linux, or "max"
            continue
    return min(found)


__all__ = ["Machine", "check_machine", "machine_of"]
