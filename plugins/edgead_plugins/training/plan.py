"""What a training will take, measured on a few images of each of its phases before the first one begins."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgead.types import Progress
from edgead_plugins.training.batches import Batches
from edgead_plugins.training.machine import Machine
from edgead_plugins.training.pytorch import nn, torch
from edgead_plugins.training.supply import bounded

log = logging.getLogger(__name__)

LONG = 1800.0
"""Seconds over which the time is a warning."""
FEW, FEW_ON_GPU = 2, 16
"""Images that are measured: an accelerator isn't busy with two."""
COLD = 1.0
"""Seconds from which on a first pass isn't measured again, warm."""
WORTH = 20.0
"""Seconds of making synthetic images under which no process is begun for it."""
LATE = 1 << 40
"""A step's number after all that is different about the first ones."""
GIB = 1 << 30


@dataclass(frozen=True)
class Phase:
    """A training that is to come.

    Attributes:
        batches: its steps.
        steps: how many.
        module: what learns and keeps a state; it's afterwards as before.
        few: images to measure with, where the usual few tell nothing of the many.
    """

    batches: Batches
    steps: int
    module: nn.Module
    few: int = 0


@dataclass(frozen=True)
class Cost:
    """What a phase takes.

    Attributes:
        passes: seconds that a step's passes take.
        making: seconds that a step's tensors take to make, in this process.
        image: bytes of intermediate results that an image keeps for the backward pass.
        step: bytes of a step's tensors.
    """

    passes: float
    making: float
    image: int
    step: int

    def seconds(self, phase: Phase) -> float:
        """How long all its steps take."""
        workers = phase.batches.workers
        one = max(self.passes, self.making / workers) if workers else self.passes + self.making
        return one * phase.steps


def announce(
    name: str, machine: Machine, progress: Progress, phases: Sequence[Phase], fixed: int = 0
) -> float:
    """Measure phases, say how long they take here, and choose pieces and workers where nobody did.

    Pieces are chosen by the device's whole memory, not by what's free, and only where they change no more
    than rounding: the same machine makes the same weights. Workers change nothing.

    Args:
        name: the method's, for messages.
        fixed: bytes that ``make`` carries to each worker: the images.

    Returns:
        The estimate in seconds.
    """
    costs = []
    with progress(f"{name}: timing a few images", len(phases)) as advance:
        for phase in phases:
            costs.append(_cost(machine, phase))
            advance(1)
    for phase, cost in zip(phases, costs, strict=True):
        _fit_memory(machine, phase.batches, cost)
        _fit_workers(machine, phase, cost, fixed)
    total = sum(cost.seconds(phase) for cost, phase in zip(costs, phases, strict=True))
    told = f"{name}: training takes about {duration(total)} on {_where(machine)}"
    if total > LONG:
        ways = ["--preset quick takes minutes"]
        ways += ["--device another" if machine.device.type == "cpu" else ""]
        log.warning("%s: %s; a killed training goes on", told, ", ".join(way for way in ways if way))
    else:
        log.info("%s", told)
    with progress(told, None):  # for who watches and has no log
        pass
    return total


def _cost(machine: Machine, phase: Phase) -> Cost:
    batches = phase.batches
    began = time.monotonic()
    parts = [torch.as_tensor(part) for part in batches.make(0)]
    making = time.monotonic() - began
    count = min(len(parts[0]), max(phase.few, FEW if machine.device.type == "cpu" else FEW_ON_GPU))
    if batches.pieces is not None:
        count = min(count, max(FEW, batches.pieces))
    few = [part[:count] for part in parts]
    before = {name: value.clone() for name, value in phase.module.state_dict().items()}
    devices = [machine.device] if machine.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        seconds, kept = _pass(machine, phase, few)
        if seconds < COLD:
            seconds, _ = _pass(machine, phase, few)
    phase.module.load_state_dict(before)
    for value in phase.module.parameters():
        value.grad = None
    return Cost(
        seconds / count * len(parts[0]),
        making if batches.synthetic else 0.0,
        kept // count,
        sum(part.numel() * part.element_size() for part in parts),
    )


def _pass(machine: Machine, phase: Phase, parts: list[Any]) -> tuple[float, int]:
    """Seconds of a forward and a backward pass, and the bytes that are kept between the two."""
    weights = {value.untyped_storage().data_ptr() for value in phase.module.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    began = _now(machine)
    moved = [part.to(machine.device) for part in parts]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = phase.batches.loss(LATE, *moved)
    if loss.requires_grad:
        loss.backward()
    return _now(machine) - began, sum(kept.values())


def _now(machine: Machine) -> float:
    if machine.device.type == "cuda":
        torch.cuda.synchronize(machine.device)
    return time.monotonic()


def _fit_memory(machine: Machine, batches: Batches, cost: Cost) -> None:
    """Take fewer images at a time where a step's don't fit; or say how they'd fit."""
    room, asked, size = machine.memory(), batches.pieces, batches.size
    keeps = f"{batches.name}: a step of {size} keeps about {_gib(cost.image * size)} for its backward pass"
    log.info("%s", keeps)
    if asked is not None and asked < size and batches.in_pieces == "inexact":
        log.warning(
            "%s: %d images at a time instead of %d: BatchNorm's statistics are of those, so this ends "
            "otherwise than with the whole batch",
            batches.name, asked, size,
        )  # fmt: skip
    if asked is not None or room is None or cost.image * size <= room:
        return
    fit = max(1, room // max(1, cost.image))
    if batches.in_pieces == "exact":
        batches.pieces = fit
        log.info("%s: %d images at a time, for the memory here", batches.name, fit)
        return
    way = f"--micro-batch {fit} fits, with BatchNorm's statistics of so many images"
    if batches.in_pieces == "never":
        way = f"lower the batch size to {fit}"
    log.warning("%s, more than the %s that it may take of this machine's: %s", keeps, _gib(room), way)


def _fit_workers(machine: Machine, phase: Phase, cost: Cost, fixed: int) -> None:
    batches = phase.batches
    if machine.compute.workers is None and cost.making * phase.steps > WORTH:
        batches.workers = machine.workers()
    room = bounded(batches.workers, fixed, cost.step)
    if room < batches.workers:
        log.warning(
            "%s: shared memory has room for %d processes that make synthetic images, not %d: give the "
            "container more of it (--shm-size)",
            batches.name, room, batches.workers,
        )  # fmt: skip
        batches.workers = room


def _gib(count: float) -> str:
    return f"{count / GIB:.2g} GiB"


def _where(machine: Machine) -> str:
    return "this CPU" if machine.device.type == "cpu" else machine.name


def duration(seconds: float) -> str:
    """In the unit that one would say it in."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"


__all__ = ["LONG", "Cost", "Phase", "announce", "duration"]
