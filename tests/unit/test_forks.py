"""A fork waits until no other thread is in a transaction, and lets none in; its own thread may be in one."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from balsam_core.state import forks
from balsam_core.state.forks import Gate


def test_a_fork_waits_for_other_threads_and_keeps_them_out_until_it_is_over() -> None:
    gate, inside, leave = Gate(), threading.Event(), threading.Event()
    order: list[str] = []

    def work() -> None:
        with gate.passed():
            inside.set()
            leave.wait(60)
            order.append("left")
        with gate.passed():
            order.append("back")

    def fork() -> None:
        gate.close()
        order.append("forks")
        gate.open()

    with ThreadPoolExecutor(2) as threads:
        worker = threads.submit(work)
        assert inside.wait(60)
        closing = threads.submit(fork)
        leave.set()
        worker.result(10)
        closing.result(10)
    assert order.index("left") < order.index("forks")
    assert sorted(order) == ["back", "forks", "left"]


def test_a_thread_that_is_always_in_a_transaction_holds_up_no_fork() -> None:
    gate, stop = Gate(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with gate.passed(), gate.passed():
                pass

    with ThreadPoolExecutor(1) as threads:
        threads.submit(work)
        began = time.monotonic()
        for _ in range(50):
            gate.close()
            gate.open()
        stop.set()
    assert time.monotonic() - began < 5


def test_the_forking_thread_may_be_in_a_transaction_and_the_child_starts_with_that_one_alone() -> None:
    gate = Gate()
    with gate.passed(), gate.passed():
        gate.close()
        with gate.passed():
            pass
        gate.open_in_child()
        with ThreadPoolExecutor(1) as threads:
            threads.submit(lambda: gate.passed().__enter__()).result(10)


def test_a_transaction_that_does_not_end_keeps_no_program_from_forking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_LONGEST_SECONDS", 0.05)
    gate, leave, inside = Gate(), threading.Event(), threading.Event()

    def work() -> None:
        with gate.passed():
            inside.set()
            leave.wait(60)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(work)
        assert inside.wait(60)
        gate.close()
        gate.open()
        leave.set()
