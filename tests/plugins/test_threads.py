"""Sharing work among threads: each part once, with a buffer of one's own, and no exception lost."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgead_plugins import threads as module
from edgead_plugins.threads import inline, threads

PARTS = [slice(i, i + 3) for i in range(0, 300, 3)]


@pytest.fixture(params=[1, 2, 4])
def cores(request, monkeypatch):
    monkeypatch.setattr(module, "usable_processors", lambda: request.param)
    return request.param


def test_each_part_is_done_once_and_a_thread_has_its_number_to_itself(cores):
    done = np.zeros(300, int)
    owners = {}

    def work(number, part):
        assert owners.setdefault(number, threading.get_ident()) == threading.get_ident()
        time.sleep(0.0005)  # so that the others get their turn
        done[part] += 1

    with threads() as share:
        share(work, PARTS)
    assert (done == 1).all() and set(owners) == set(range(cores))


def test_inline_does_the_same():
    done = np.zeros(300, int)
    inline(lambda number, part: done.__setitem__(part, done[part] + 1), PARTS)
    assert (done == 1).all()


def test_an_exception_passes_and_the_rest_is_left(cores):
    begun = []

    def work(number, part):
        begun.append(part)
        if part.start == 9:
            raise KeyboardInterrupt
        time.sleep(0.0005)

    with pytest.raises(KeyboardInterrupt), threads() as share:
        share(work, PARTS)
    assert len(begun) < len(PARTS)


def test_blas_has_one_thread_meanwhile():
    from threadpoolctl import threadpool_info

    def blas():
        return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}

    before = blas()
    with threads():
        assert blas() == {1}
    assert blas() == before
