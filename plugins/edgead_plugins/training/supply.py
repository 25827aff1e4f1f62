"""What training steps learn from, made ahead by processes of its own where that takes long.

An accelerator waits for synthetic images as soon as they take longer than its step. Each step's are drawn
from its number and the seed alone, so it's all one who makes them: the bytes are the same. The processes are
those of torch's ``DataLoader``: begun anew ("spawn", which threads and CUDA ask for), with a queue that holds
a few steps for each, and tensors in shared memory.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import re
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from edgead.errors import EdgeadError, TrainingError, one_line
from edgead_plugins.training.pytorch import torch

AHEAD = 2
"""Steps that each process makes ahead."""
SHARED = "/dev/shm"
"""Where Linux keeps shared memory, of which a container often has 64 MiB only."""

Parts = Sequence[Any]
"""A step's tensors; the first axis of each counts its images."""
Make = Callable[[int], Parts]
"""Step 0, 1, ... -> what it learns from, on the CPU; drawn from that number and the seed. It goes to other
processes, so it's an object of a module's class or a module's function, not a closure."""


class Supply:
    """Each step's tensors, in order.

    Args:
        name: of the training, for messages.
        make: makes them.
        workers: processes that do so ahead; 0: it's done when they are asked for.
        pinned: put them where a GPU's copies are quick.

    Attributes:
        waited: seconds that were spent until they were there, since ``running`` began.
    """

    def __init__(self, name: str, make: Make, workers: int = 0, pinned: bool = False) -> None:
        self.name, self.make, self.workers, self.pinned = name, make, workers, pinned
        self.waited = 0.0
        self._ahead: Iterator[Any] | None = None

    @contextmanager
    def running(self, first: int, stop: int) -> Iterator[None]:
        """Within it, ``take`` may be asked for the steps from ``first`` to before ``stop``, in that order.

        Raises:
            TrainingError: a process that makes them ended by itself.
        """
        self.waited = 0.0
        if not self.workers or first >= stop:
            yield
            return
        workers = None
        try:
            workers = _started(_Made(self.make, stop), first, stop, self.workers, self.pinned)
            self._ahead = workers
            yield
        except RuntimeError as error:  # torch raises it wherever it learns that a process has ended
            if not re.search(r"DataLoader worker \(pid|shared memory", str(error)):
                raise
            raise TrainingError(
                f"{self.name}: a process that makes synthetic images ahead ended ({_why(error)}): try again, "
                "or with --workers 0, without any"
            ) from None
        finally:
            self._ahead = None
            if workers is not None:
                # What torch does when nothing refers to it, and a traceback may. One that crashes as it ends
                # would raise in here, in place of what ended the training; nothing of it is needed any more.
                with suppress(RuntimeError):
                    workers._shutdown_workers()

    def take(self, number: int) -> list[Any]:
        """The tensors of a step.

        Raises:
            EdgeadError: whatever ``make`` raises of these.
        """
        began = time.monotonic()
        if self._ahead is None:
            found = [torch.as_tensor(part) for part in self.make(number)]
        else:
            given, found = next(self._ahead)
            if isinstance(found, EdgeadError):
                raise found
            assert given == number, "steps are taken in their order"
        self.waited += time.monotonic() - began
        return found


def bounded(workers: int, fixed: int, step: int) -> int:
    """As many of so many processes as shared memory has room for.

    Args:
        fixed: bytes that all of them share.
        step: bytes of a step's tensors.
    """
    try:
        room = os.statvfs(SHARED)
    except (AttributeError, OSError):  # not Linux
        return workers
    free = room.f_bavail * room.f_frsize // 2 - fixed
    return max(0, min(workers, free // max(1, (AHEAD + 1) * step)))


class _Made(torch.utils.data.Dataset):  # type: ignore[misc]
    """A step's number -> itself and its tensors; or the error, whose message would come back as pages."""

    def __init__(self, make: Make, stop: int) -> None:
        self.make, self.stop = make, stop

    def __len__(self) -> int:
        return self.stop

    def __getitem__(self, number: int) -> tuple[int, Any]:
        try:
            return number, [torch.as_tensor(part) for part in self.make(number)]
        except EdgeadError as error:
            return number, error


def _started(made: _Made, first: int, stop: int, workers: int, pinned: bool) -> Any:
    loader = torch.utils.data.DataLoader(
        made,
        batch_size=None,
        sampler=range(first, stop),
        num_workers=workers,
        prefetch_factor=AHEAD,
        collate_fn=_as_it_is,
        worker_init_fn=_alone,
        multiprocessing_context=multiprocessing.get_context("spawn"),
        pin_memory=pinned,
    )
    with torch.random.fork_rng([]), _without_script(), _deaf():  # a loader draws a seed, which nobody uses
        return iter(loader)


def _as_it_is(made: Any) -> Any:
    return made


def _alone(number: int) -> None:
    """In a process that makes images: one thread, since there's such a process for each core.

    It ends without taking libraries' threads down, in which it now and then crashed, with noise on stderr.
    """
    import cv2

    cv2.setNumThreads(1)
    atexit.register(os._exit, 0)


@contextmanager
def _without_script() -> Iterator[None]:
    """Python would run the user's script again in each new process, which needs nothing of it."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal; those begun in here leave it to this one."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # whose beginning would let SIGINT through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _why(error: RuntimeError) -> str:
    """Why a process ended, of torch's sentence."""
    found = re.search(r"is killed by signal: ([A-Za-z ]+)|(exited unexpectedly)", str(error))
    if found is None:
        return one_line(error, "first")
    hint = ", often for want of shared memory" if "Bus error" in found[0] else ""
    return f"{(found[1] or found[2]).strip()}{hint}"


__all__ = ["Make", "Parts", "Supply", "bounded"]
