"""The training loop: steps with progress, checkpoints to go on from after a kill, faults told early."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgead.errors import TrainingError
from edgead.types import Progress
from edgead_plugins.training import checkpoint
from edgead_plugins.training.batches import Batches
from edgead_plugins.training.plan import LONG, duration
from edgead_plugins.training.pytorch import nn, torch

log = logging.getLogger(__name__)

TIMED = 4
"""First steps that the whole training's time is estimated from."""

Step = Callable[[int], Any]
"""Step 0, 1, ... -> its loss, a scalar tensor; or several, whose sum it is, one after another: each is
differentiated before the next is asked for. What it draws may depend on the step's number and the seed.
``Batches`` is one that has a machine."""


@dataclass(frozen=True)
class Pace:
    """How fast a training went, without its first step.

    Attributes:
        name: the run's.
        steps: how many were measured.
        step: seconds that one took.
        waited: of these, what went until its images were there.
        size: images in a step, 0 where it isn't known.
        workers: processes that made synthetic images ahead; None where none are made.
    """

    name: str
    steps: int
    step: float
    waited: float
    size: int = 0
    workers: int | None = None

    @property
    def share(self) -> float:
        """Of a step, what it waits for its images, 0 to 1."""
        return self.waited / self.step if self.step else 0.0

    def __str__(self) -> str:
        told = f"{self.name}: {self.step:.3g} s a step"
        if self.size:
            told += f", {self.size / max(self.step, 1e-9):.3g} images/s"
        if self.workers is not None:
            told += f", synthesis {self.share:.0%} of a step with {self.workers} workers"
        return told


@dataclass(frozen=True)
class Run:
    """Where a training reports and keeps its checkpoint.

    Attributes:
        name: of the method or of one phase of it, for messages and the checkpoint's file.
        folder: for checkpoints; ``TrainingData.checkpoint``.
        fingerprint: what tells this training from others; see ``checkpoint.fingerprint``.
        progress: ``TrainingData.progress``.
        save_every: seconds between checkpoints; 0: one after every step.
        advice: what to do about a loss that isn't finite, the end of the message.
    """

    name: str
    folder: Path
    fingerprint: str
    progress: Progress
    save_every: float = 20.0
    advice: str = "lower the learning rate"

    @property
    def file(self) -> Path:
        """The checkpoint."""
        return self.folder / f"{self.name.replace(' ', '-')}.pt"


def train(
    run: Run,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: Step,
    steps: int,
    *,
    steps_per_epoch: int = 100,
    scheduler: Any = None,
    watch: Callable[[], bool | None] | None = None,
    announced: bool = False,
) -> list[float]:
    """Take ``steps`` optimiser steps, from the last checkpoint on where there is one.

    Args:
        module: everything that learns or keeps a state, buffers included: what a checkpoint holds.
        steps_per_epoch: steps that are reported together, with their mean loss and the time left.
        scheduler: torch's, or None; it takes a step with the optimiser's.
        watch: called after each epoch; raises ``TrainingError`` where the training has gone wrong, and
            returns True where it had better end here.
        announced: ``plan.announce`` has said how long all of it takes.

    Returns:
        The mean loss of each epoch.

    Raises:
        TrainingError: a loss isn't finite.
        OutputError: a checkpoint can't be written.
    """
    done, losses, here, ended = 0, list[float](), list[float](), False
    batches = step if isinstance(step, Batches) else None
    scaler = None if batches is None else batches.machine.scaler()
    if (state := checkpoint.load(run.file, run.fingerprint)) is not None:
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        if scheduler is not None:
            scheduler.load_state_dict(state["scheduler"])
        if scaler is not None:
            scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["rng"])
        done, losses, here = state["done"], state["losses"], state["here"]
        if state["ended"]:
            return list(losses)
        log.warning("%s: goes on after step %d of %d, from %s", run.name, done, steps, run.file)

    began, first, saved = time.monotonic(), done, time.monotonic()
    warm = [0.0, 0.0]  # when the first step had ended, and how long it had waited

    def save() -> None:
        state = {
            "module": module.state_dict(),
            "optimiser": optimiser.state_dict(),
            "scheduler": None if scheduler is None else scheduler.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "rng": torch.get_rng_state(),
            "done": done,
            "losses": losses,
            "here": here,
            "ended": ended,
        }
        checkpoint.save(run.file, run.fingerprint, state)

    def timed(stop: int) -> str:
        """Take the first steps and say how long the training will take, before it goes on."""
        few = min(TIMED, stop - done)
        with run.progress(f"{run.name}: timing the first steps", few) as advance:
            for number in range(few):
                one(stop)
                if number == 0:
                    start = time.monotonic()  # the first one allocates
                advance(1)
        if few < 2:
            return ""
        left = (time.monotonic() - start) / (few - 1) * (steps - done)
        if left > LONG and not announced:
            sentence = (
                f"{run.name}: {steps - done:,} steps take about {duration(left)} here: --preset quick takes "
                "minutes, an accelerator (--device) a fraction; a killed training goes on"
            )
            log.warning("%s", sentence)
            with run.progress(sentence, None):  # for who watches and has no log
                pass
        return f", about {duration(left)}"

    def one(stop: int) -> None:
        """Take a step, and save where it's time."""
        nonlocal done, saved
        here.append(_one(run, optimiser, step, done, scaler))
        if scheduler is not None:
            with warnings.catch_warnings():  # FP16's scaler may pass over a step, and torch then asks why
                warnings.filterwarnings("ignore", "Detected call of .lr_scheduler.step")
                scheduler.step()
        if done == first:
            warm[:] = time.monotonic(), batches.supply.waited if batches is not None else 0.0
        done += 1
        if done < stop and time.monotonic() - saved >= run.save_every:
            save()
            saved = time.monotonic()

    with _told_when_interrupted(run), nullcontext() if batches is None else batches.running(done, steps):
        for epoch in range(len(losses), -(-steps // steps_per_epoch)):
            stop = min((epoch + 1) * steps_per_epoch, steps)
            told = _description(run.name, epoch, -(-steps // steps_per_epoch), losses)
            if done == first:
                told += timed(stop)
            else:
                told += f", {duration((time.monotonic() - began) / (done - first) * (steps - done))} left"
            with run.progress(told, stop - epoch * steps_per_epoch) as advance:
                advance(done - epoch * steps_per_epoch)
                while done < stop:
                    one(stop)
                    advance(1)
            losses.append(sum(here) / len(here))
            here.clear()
            ended = watch is not None and watch() is True
            if ended or done == steps or time.monotonic() - saved >= run.save_every:
                save()
                saved = time.monotonic()
            if ended:
                break
        if done > first + 1:
            log.info("%s", _pace(run.name, batches, done - first - 1, warm))
    return losses


@contextmanager
def _told_when_interrupted(run: Run) -> Iterator[None]:
    """Say from where a training that is interrupted goes on."""
    try:
        yield
    except KeyboardInterrupt:
        if run.file.exists():
            log.warning("%s: the same command goes on from %s", run.name, run.file)
        else:
            log.warning("%s: nothing was kept yet, so the same command begins anew", run.name)
        raise


def _one(run: Run, optimiser: Any, step: Step, number: int, scaler: Any) -> float:
    optimiser.zero_grad(set_to_none=True)
    found, value = step(number), 0.0
    losses: Iterable[Any] = (found,) if isinstance(found, torch.Tensor) else found
    for loss in losses:
        value += float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"{run.name}: the loss is {value} at step {number + 1}: {run.advice}")
        (loss if scaler is None else scaler.scale(loss)).backward()
    if scaler is None:
        optimiser.step()
    else:
        scaler.step(optimiser)
        scaler.update()
    return value


def _pace(name: str, batches: Batches | None, steps: int, warm: list[float]) -> Pace:
    took = (time.monotonic() - warm[0]) / steps
    if batches is None:
        return Pace(name, steps, took, 0.0)
    waited = (batches.supply.waited - warm[1]) / steps
    workers = batches.supply.workers if batches.synthetic else None
    return Pace(name, steps, took, waited, batches.size, workers)


def _description(name: str, epoch: int, epochs: int, losses: list[float]) -> str:
    told = f"training {name}, {epoch + 1} of {epochs}"
    return told + (f", loss {losses[-1]:.4g}" if losses else "")


def first_and_last(losses: Sequence[float]) -> dict[str, float] | None:
    """The mean loss of the first and of the last epoch, for facts; None where there was none."""
    return {"first": losses[0], "last": losses[-1]} if losses else None


def batches(images: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """``images`` in pieces of at most ``size``, in order: for a pass without gradients."""
    for start in range(0, len(images), size):
        yield images[start : start + size]


__all__ = ["Pace", "Run", "Step", "batches", "first_and_last", "train"]
