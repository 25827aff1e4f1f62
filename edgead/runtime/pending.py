"""A start that doesn't wait, for an engine that can only be called: calls in turn on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgead.ahead import done, executor
from edgead.errors import OptionError, TimedOutError
from edgead.runtime.cores import pinned
from edgead.runtime.session import Outputs, Pending
from edgead.types import Prediction

if TYPE_CHECKING:  # a detector that never starts anything needs none of it
    from concurrent.futures import Future, ThreadPoolExecutor

LONGEST = 1e6
"""Seconds that a wait may last; longer ones don't fit into every system's clock."""


class Worker:
    """Runs what is started, one after another.

    Its thread is made for the first one, and ends when the worker, so the session that holds it, is gone and
    all that was started is run.

    Args:
        cores: where the thread is kept, None for anywhere.
    """

    def __init__(self, cores: Sequence[int] | None = None) -> None:
        self._cores = cores
        self._pool: ThreadPoolExecutor | None = None
        self._making = threading.Lock()

    def start(
        self, run: Callable[[NDArray[np.uint8]], Outputs], image: NDArray[np.uint8], *, copy: bool = True
    ) -> Pending:
        """Let the thread run an image; where none can be had any more, it's run before this returns.

        Args:
            run: the session's call.
            copy: run a copy of the image, for it may change meanwhile.
        """
        from concurrent.futures import Future

        with self._making:
            if self._pool is None:
                self._pool = executor(1, "edgead-worker")
            pool = self._pool
        image = image.copy() if copy else image
        if pool is not None:
            # Where the pool makes its thread now, it inherits the cores. Where the interpreter is going away,
            # while another thread still judges, it makes none.
            with pinned(self._cores), suppress(RuntimeError):
                return _Future(pool.submit(run, image))
        return _Future(done(run, image, Future()))


class _Future:
    """See ``edgead.runtime.session.Pending``."""

    def __init__(self, future: Future[Outputs]) -> None:
        self._future = future

    @property
    def done(self) -> bool:
        return self._future.done()

    def wait(self, timeout: float | None = None) -> Outputs:
        from concurrent.futures import TimeoutError as FutureTimeoutError

        timeout = seconds(timeout)
        try:
            return self._future.result(timeout)
        except FutureTimeoutError:
            if self._future.done():  # what ran raised it
                raise
            raise timed_out(timeout) from None


def seconds(timeout: float | None) -> float | None:
    """A timeout as the system takes it: from 0 to some months, or None.

    Raises:
        OptionError: it's no number.
    """
    if timeout is None:
        return None
    try:
        return min(max(float(timeout), 0.0), LONGEST)
    except OverflowError:
        return LONGEST
    except (TypeError, ValueError):
        raise OptionError(f"timeout {timeout!r} must be a number of seconds, or None") from None


def timed_out(seconds: float | None) -> TimedOutError:
    """The error of a wait that was too short."""
    return TimedOutError(f"not done within {seconds:g} s: wait again, or treat the part as rejected")


class PendingPrediction:
    """A frame that was started; see ``Detector.start``."""

    def __init__(self, pending: Pending, predict: Callable[[Outputs], Prediction]) -> None:
        self._pending, self._predict = pending, predict

    @property
    def done(self) -> bool:
        """Whether ``wait`` returns or raises at once."""
        return self._pending.done

    def wait(self, timeout: float | None = None) -> Prediction:
        """Return the prediction, bit by bit a call's; waiting again returns the same.

        Args:
            timeout: seconds, 0 or more; None waits as long as it takes.

        Raises:
            TimedOutError: it isn't done yet: it goes on, and may be waited for again.
            InferenceError: as a call does.
        """
        return self._predict(self._pending.wait(timeout))


__all__ = ["PendingPrediction", "Worker", "seconds", "timed_out"]
