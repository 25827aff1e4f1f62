"""One seed, and the same weights from it on one machine.

What is drawn for a step depends on the seed and the step's number alone, never on what was drawn before:
so a training that goes on after a kill draws what it would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from edgead.errors import OptionError, cut, one_line
from edgead.names import shown
from edgead_plugins.training.pytorch import torch


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seed torch and have it use deterministic algorithms; afterwards everything is as it was before.

    The number of threads changes the order of sums and so the last bits; it is left as it is. On a GPU an
    operator without a deterministic form (sampling at a grid has none) still runs, and torch warns.
    """
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark = torch.backends.cudnn.benchmark
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            torch.backends.cudnn.benchmark = benchmark


def generator(seed: int, *numbers: int) -> np.random.Generator:
    """A generator of its own for each seed and each purpose or step that ``numbers`` tell apart."""
    return np.random.default_rng([seed, *numbers])


def batch_of(step: int, n_images: int, batch_size: int, seed: int, rest: bool = False) -> NDArray[np.int64]:
    """The indices of a step's batch: each epoch is a new permutation, and its incomplete end is left out.

    Args:
        step: 0, 1, ... through all epochs.
        batch_size: where it's over ``n_images``, a batch is a permutation of all.
        rest: the incomplete end is a batch of its own, a smaller one.
    """
    size = min(batch_size, n_images)
    epoch, place = divmod(step, -(-n_images // size) if rest else n_images // size)
    return generator(seed, epoch).permutation(n_images)[place * size : (place + 1) * size]


def pick_device(name: str) -> torch.device:
    """``auto`` is the first GPU of NVIDIA's or AMD's where there is one, else the CPU; any other name is
    torch's own.

    Raises:
        OptionError: torch has no such device here; the message names those that it has.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "meta":  # torch's own for shapes without values
            raise RuntimeError("it holds no values")
        torch.zeros(1, device=device).add_(1).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # Assertion: built without CUDA
        raise OptionError(
            f"torch can't train on device {shown(cut(name))} ({one_line(error, 'first')}): use auto, or one "
            f"of those here: {', '.join(devices_here())}"
        ) from error
    return device


def devices_here() -> list[str]:
    """torch's devices on this machine, by the names that ``pick_device`` takes; the CPU is the first."""
    kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if kind is None:
        return ["cpu"]
    count = torch.accelerator.device_count()
    return ["cpu", *([kind.type] if count == 1 else (f"{kind.type}:{i}" for i in range(count)))]


__all__ = ["batch_of", "deterministic", "devices_here", "generator", "pick_device"]
