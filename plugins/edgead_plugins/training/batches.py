"""A training step on a machine: its tensors are taken, moved, and learnt from at once or in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from edgead_plugins.training.machine import Machine
from edgead_plugins.training.pytorch import torch
from edgead_plugins.training.supply import Make, Supply

InPieces = Literal["exact", "inexact", "never"]
Loss = Callable[..., torch.Tensor]
"""A step's number and its tensors on the device -> the loss, a scalar."""


class Batches:
    """Step 0, 1, ... -> its losses, one after another; ``loop.train`` takes it as ``step``.

    A loss that is a mean, or a sum, over a batch's images is that of its pieces, weighted: each piece's
    gradients are added up before the optimiser's step, and only a piece's intermediate results are in memory.
    That's exact, but for rounding, where no image's loss depends on the others of its batch; with
    BatchNorm it isn't, since its statistics are of a piece then.

    Args:
        name: of the training.
        machine: where it learns.
        make: a step's tensors.
        loss: the loss of these, or of a part of each; under ``machine.autocast()`` what is a network's.
        size: images in a step.
        sums: whether the loss is summed over the batch, rather than averaged.
        in_pieces: whether pieces learn the same as the whole batch (``exact``), nearly so, or mustn't be.
        synthetic: whether ``make`` makes images, so that workers are of use.

    Attributes:
        pieces: images at a time; None: the whole batch.
        workers: processes that make tensors ahead: those asked for, or what ``plan.announce`` chooses.
    """

    def __init__(
        self,
        name: str,
        machine: Machine,
        make: Make,
        loss: Loss,
        size: int,
        *,
        sums: bool = False,
        in_pieces: InPieces = "inexact",
        synthetic: bool = False,
    ) -> None:
        self.name, self.machine, self.make, self.loss, self.size = name, machine, make, loss, size
        self.sums, self.in_pieces, self.synthetic = sums, in_pieces, synthetic
        self.pieces = None if in_pieces == "never" else machine.compute.micro_batch
        self.workers = (machine.compute.workers or 0) if synthetic else 0
        self.supply = Supply(name, make)

    @contextmanager
    def running(self, first: int, stop: int) -> Iterator[None]:
        """Within it, steps may be taken; see ``Supply.running``."""
        pinned = self.workers > 0 and self.machine.device.type == "cuda"
        self.supply = Supply(self.name, self.make, self.workers, pinned)
        with self.supply.running(first, stop):
            yield

    def __call__(self, number: int) -> Iterator[torch.Tensor]:
        """The losses of a step's pieces, whose sum is the step's."""
        return self.losses(number, self.supply.take(number))

    def losses(self, number: int, parts: list[Any]) -> Iterator[torch.Tensor]:
        """The losses of these tensors' pieces, on the CPU as they are."""
        count = len(parts[0])
        size = self.pieces or count
        for start in range(0, count, size):
            some = [part[start : start + size].to(self.machine.device, non_blocking=True) for part in parts]
            found = self.loss(number, *some)
            whole = self.sums or size >= count
            yield found if whole else found * (len(some[0]) / count)


__all__ = ["Batches", "InPieces", "Loss"]
