"""Work ahead of whoever takes the results: their order, how far ahead, and what becomes of errors."""

from __future__ import annotations

import signal
import sys
import threading
import time

import pytest

from edgead.ahead import ROOM, Planned, in_order

HERE = threading.main_thread()


def light(result: object) -> int:
    return 1


def threads_left() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("edgead-ahead")]


class Source:
    """Numbers from 0, and which were taken, in which thread."""

    def __init__(self, count: int, error: BaseException | None = None) -> None:
        self.count, self.error = count, error
        self.taken: list[int] = []
        self.threads: set[threading.Thread] = set()

    def __iter__(self):
        for number in range(self.count):
            self.taken.append(number)
            self.threads.add(threading.current_thread())
            yield number
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_whichever_is_done_first(threads):
    worked: set[threading.Thread] = set()

    def work(number):
        worked.add(threading.current_thread())
        time.sleep(0.003 * ((number * 7) % 5))
        return number * number

    source = Source(40)
    assert list(in_order(work, source, light, threads)) == [n * n for n in range(40)]
    assert source.threads == {HERE} and HERE not in worked and len(worked) <= threads
    assert not threads_left()


@pytest.mark.parametrize(
    "weight, most", [(1, 3 + 2), (ROOM // 2, 2 + 1), (ROOM // 2 + 1, 1 + 1), (9 * ROOM, 2)]
)
def test_no_more_are_taken_than_threads_and_memory_allow(weight, most):
    source = Source(30)
    results = in_order(lambda number: number, source, lambda _: weight, 3)
    assert source.taken == []  # nothing before it's asked for
    ahead = []
    for asked, _ in enumerate(results, 1):
        ahead.append(len(source.taken) - asked + 1)
    assert max(ahead) == most


def test_several_are_worked_on_at_once():
    both = threading.Barrier(2)
    found = list(in_order(lambda n: n if n == 0 else both.wait(60) * 0 + n, range(5), light, 2))
    assert found == [0, 1, 2, 3, 4]


def test_slight_work_is_done_on_the_spot_in_its_place():
    threads = {}

    def work(number):
        threads[number] = threading.current_thread()
        if number == 5:
            raise ValueError("five")
        return number

    found = []
    with pytest.raises(ValueError, match="five"):
        found.extend(iter_into(in_order(work, range(9), light, 2, lambda number: number % 2 == 1), found))
    assert found == [0, 1, 2, 3, 4]
    assert [threads[n] is HERE for n in range(5)] == [False, True, False, True, False]


def iter_into(results, found):
    for result in results:
        found.append(result)
    return []


@pytest.mark.parametrize("error", [ValueError("the file"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("where", [0, 1, 7])
def test_an_error_comes_after_all_that_was_before_it(error, where):
    def work(number):
        if number == where:
            raise error
        return number

    for run in (
        in_order(work, range(20), light, 3),
        in_order(abs, Source(where, error), light, 3, finishes=True),
    ):
        found = []
        with pytest.raises(type(error)) as raised:
            iter_into(run, found)
        assert raised.value is error and found == list(range(where))
        assert not threads_left()


@pytest.mark.skipif(sys.platform == "win32", reason="no signal reaches one thread there")
@pytest.mark.parametrize("finishes", [True, False])
def test_an_interrupt_while_it_waits_loses_nothing_where_that_was_asked_for(finishes):
    source, go = Source(20), threading.Event()

    def work(number):
        if number == 4:
            go.wait(60)  # so that the main thread waits for this one
            signal.pthread_kill(HERE.ident, signal.SIGINT)
            time.sleep(0.05)
        if number == 5:
            threading.Timer(0.1, go.set).start()
        return number

    found = []
    with pytest.raises(KeyboardInterrupt):
        iter_into(in_order(work, source, light, 2, finishes=finishes), found)
    assert found == (source.taken if finishes else [0, 1, 2, 3]) and 4 in source.taken and len(found) < 20
    assert not threads_left()


def test_an_interrupt_is_not_hidden_by_an_item_that_fails_after_it():
    def work(number):
        if number == 1:
            raise ValueError("the file")
        return number

    found = []
    with pytest.raises(KeyboardInterrupt) as raised:
        iter_into(in_order(work, Source(2, KeyboardInterrupt()), light, 4, finishes=True), found)
    assert found == [0] and isinstance(raised.value.__cause__, ValueError)


def test_closing_waits_for_what_is_worked_on_and_starts_nothing_more():
    begun, done = [], []

    def work(number):
        begun.append(number)
        time.sleep(0.02)
        done.append(number)
        return number

    results = in_order(work, Source(50), light, 2)
    assert next(results) == 0
    results.close()
    assert begun == sorted(done) and len(done) <= 4 and not threads_left()
    with pytest.raises(StopIteration):
        next(results)


def test_an_interrupt_of_the_source_is_not_lost_where_nobody_asks_for_the_rest():
    results = in_order(abs, Source(2, KeyboardInterrupt()), light, 4, finishes=True)
    assert next(results) == 0
    with pytest.raises(KeyboardInterrupt):
        results.close()


def test_an_interrupt_of_the_source_is_raised_at_once_where_nothing_is_to_be_finished():
    found = []
    with pytest.raises(KeyboardInterrupt):
        iter_into(in_order(abs, Source(5, KeyboardInterrupt()), light, 2), found)
    assert found == [0, 1] and not threads_left()


def test_a_plan_saves_time_and_a_wrong_one_changes_nothing():
    alone = []

    def one(number):
        alone.append(number)
        return str(number)

    def ahead(numbers):
        return in_order(str, numbers, light, 2)

    planned = Planned([1, 2, 3, 4, 5], ahead, one)
    assert [planned(n) for n in (1, 2, 9, 3, 5, 4, 5, 5)] == list("12935455")
    assert alone == [9, 5, 5]
    planned.close()
    assert [planned(n) for n in (1, 7)] == ["1", "7"] and not threads_left()
