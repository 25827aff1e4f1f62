"""Work on items in several threads, ahead of whoever takes the results: in order, bounded, and lazily.

For what lets go of Python's lock while it works, as decoding and resizing do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from edgead.processor import usable_processors

if TYPE_CHECKING:  # who never looks ahead needs none of it
    from concurrent.futures import Future, ThreadPoolExecutor

ROOM = 128 << 20
"""Bytes that results may take which nobody has asked for yet; a larger one is worked on alone."""

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    work: Callable[[T], R],
    items: Iterable[T],
    weigh: Callable[[R], int],
    threads: int | None = None,
    is_slight: Callable[[T], bool] = lambda item: False,
    finishes: bool = False,
) -> Generator[R, None, None]:
    """Yield ``work(item)`` of each item, in their order, while threads are at the next ones.

    Items are taken in the thread that asks for results, one at a time and never more than ``threads`` + 1
    beyond the last result that was asked for; fewer where results are so large that they'd take over ``ROOM``
    (by the largest so far, so that what grows all at once may take more for a moment).

    Where the work on an item raises, the results of those before it are yielded first, then it's raised and
    the rest is dropped. Where ``items`` raises, what was taken is yielded first. No thread is left when it
    ends, or is closed: what is being worked on is waited for. Where no thread can be had, as when the
    interpreter is going away, items are worked on by the caller's.

    Args:
        work: is called in any thread, for several items at once.
        weigh: bytes that an item took, from its result.
        threads: at most; as many as processors that this process may use if not given.
        is_slight: whether the work on an item is less than handing it to a thread, so that it's done at once.
        finishes: where an interrupt comes while a result or an item is waited for, yield what was taken
            first, for items that can't be had again; otherwise it's raised at once.
    """
    from concurrent.futures import Future

    source = iter(items)
    threads = threads or usable_processors()
    taken: deque[Future[R]] = deque()
    ended = Deferred()
    is_over, largest = False, 0
    pool = executor(threads, "edgead-ahead")

    def begun(item: T) -> Future[R]:
        if pool is not None and not is_slight(item):
            with suppress(RuntimeError):  # no thread can be started any more
                return pool.submit(work, item)
        return done(work, item, Future())

    def take() -> None:
        nonlocal is_over
        # Of the first nothing is known, so it goes alone. One more than threads, so that none waits for us.
        most = min(threads + 1, ROOM // largest) if largest else 1
        while not is_over and len(taken) < max(1, most):
            try:
                item = next(source)
            except StopIteration:
                is_over = True
            except BaseException as error:  # raised below, after what was taken
                ended.error, is_over = error, True
                if not (finishes or isinstance(error, Exception)):
                    raise
            else:
                taken.append(begun(item))

    try:
        with ended:
            take()
            while taken:
                future = taken.popleft()
                try:
                    result = future.result()
                except BaseException as error:
                    is_works_own = future.done() and future.exception() is error
                    if is_works_own or not finishes or ended.error is not None:
                        raise
                    ended.error, is_over = error, True  # an interrupt; the next one isn't held up
                    result = future.result()
                largest = max(largest, weigh(result))
                take()
                yield result
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


class Deferred:
    """An error that is raised when a generator's work is done, as the end of a ``with`` in it.

    Where the generator is closed before, or fails, an interrupt is raised all the same and other errors are
    dropped.

    Attributes:
        error: what will be raised.
    """

    error: BaseException | None = None

    def __enter__(self) -> Deferred:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self.error is None:
            return
        if error is None:
            raise self.error
        if not isinstance(self.error, Exception):  # an interrupt isn't lost
            if isinstance(error, GeneratorExit):  # where nobody asks for the rest
                raise self.error from None
            if isinstance(error, Exception):  # or the rest fails
                raise self.error from error


def executor(threads: int, name: str) -> ThreadPoolExecutor | None:
    """Threads of that name; None where the interpreter is going away and lets none be started."""
    try:
        from concurrent.futures import ThreadPoolExecutor
    except RuntimeError:  # it asks to be told of the end, which has begun
        return None
    return ThreadPoolExecutor(threads, name)


def done(work: Callable[[T], R], item: T, future: Future[R]) -> Future[R]:
    """Work on an item at once; the future says what came of it."""
    try:
        future.set_result(work(item))
    except Exception as error:
        future.set_exception(error)
    return future


class Planned(Generic[T, R]):
    """Results of items that are asked for one by one, mostly in an order that is known beforehand.

    What is asked for out of that order is worked on then, so that a wrong plan costs time and nothing else.

    Args:
        plan: the items in the order that they are likely to be asked for.
        ahead: yields the result of each, in order; it's closed with this.
        one: the same for a single item.
    """

    def __init__(
        self,
        plan: Iterable[T],
        ahead: Callable[[Iterable[T]], Generator[R, None, None]],
        one: Callable[[T], R],
    ) -> None:
        self._taken: deque[T] = deque()
        self._results, self._one = ahead(self._noted(plan)), one
        self._next: tuple[T, R] | None = None

    def _noted(self, plan: Iterable[T]) -> Iterator[T]:
        for item in plan:
            self._taken.append(item)
            yield item

    def __call__(self, item: T) -> R:
        if self._next is None:
            for result in self._results:
                self._next = self._taken.popleft(), result
                break
        if self._next is None or self._next[0] != item:
            return self._one(item)
        (_, result), self._next = self._next, None
        return result

    def close(self) -> None:
        """Drop what was worked on and not asked for."""
        self._results.close()


__all__ = ["ROOM", "Deferred", "Planned", "done", "executor", "in_order"]
