"""NumPy work shared among threads of our own, for many matrix products of some milliseconds each.

BLAS's threads wait for each other in every product, spinning. Where another process keeps one core of two
busy, each product then waits for the scheduler: a search of 0.6 seconds took 9.7. Threads that meet once a
round share the work as it comes, and lose only the core that isn't there. NumPy lets go of Python's lock
inside its loops and products.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from edgead.processor import usable_processors

MOST = 4
"""Threads used at most: with more, what Python does between two products takes the gain."""

Work = Callable[[int, slice], None]
"""Does one part, with the buffers of the thread of that number, 0 to ``MOST`` - 1."""
Share = Callable[[Work, Iterable[slice]], None]
"""Has all parts done, in any order, and returns when they are."""


def inline(work: Work, parts: Iterable[slice]) -> None:
    """One after another, in the calling thread."""
    for part in parts:
        work(0, part)


@contextmanager
def threads() -> Iterator[Share]:
    """Threads for as many of this process's cores as are useful; BLAS has one thread meanwhile.

    An exception, an interrupt too, is passed on once the parts that have begun are done.
    """
    from threadpoolctl import threadpool_limits

    count = min(MOST, usable_processors())
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(count) as pool:

        def share(work: Work, parts: Iterable[slice]) -> None:
            waiting = deque(parts)

            def run(number: int) -> None:
                while True:
                    try:
                        part = waiting.popleft()
                    except IndexError:  # none is left
                        return
                    try:
                        work(number, part)
                    except BaseException:
                        waiting.clear()
                        raise

            try:
                for done in [pool.submit(run, number) for number in range(min(count, len(waiting)))]:
                    done.result()
            finally:  # an interrupt reaches only the thread that waits here
                waiting.clear()

        yield share
