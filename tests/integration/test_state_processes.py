"""Several launcher processes on one database, some of them killed between any two steps."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from balsam_core.state.claims import Limits
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import END, State
from balsam_core.state.store import Store, open_store
from balsam_core.transitions.recovery import recover as take_back_all
from tests.helpers import (
    MACHINE,
    NO_RERUNS,
    first,
    make_launcher,
    make_spec,
    result_of,
    start_of,
    temporary_store,
)

_DEADLINE_SECONDS = 60.0
_STEPS = ["claimed", "in a transaction", "started", "half reported", "reported"]

pytestmark = pytest.mark.usefixtures("each_database")

_forked = get_context("fork")


def work(url: str, steps: Connection | None) -> None:
    """Claim, start and finish jobs until none are left; before it goes on from a step it waits for an answer."""

    def done(step: str) -> None:
        if steps is not None:
            steps.send(step)
            steps.recv()

    store = open_store(url)
    launcher = make_launcher(store)
    done("registered")
    while set(store.count_by_state()) - END:
        recover(store)
        store.advance()
        claimed = store.claim(launcher, Limits(), first(8), page=16)
        done("claimed")
        if steps is not None:
            with store.database.write() as tx:
                tx.exec_driver_sql("UPDATE jobs SET state = 'JOB_FINISHED'")
                done("in a transaction")
                tx.exec_driver_sql("ROLLBACK")
                tx.exec_driver_sql("BEGIN")
        store.report(launcher, [start_of(job) for job in claimed], [], NO_RERUNS)
        done("started")
        half = len(claimed) // 2
        store.report(launcher, [], [result_of(job) for job in claimed[:half]], NO_RERUNS)
        done("half reported")
        store.report(launcher, [], [result_of(job) for job in claimed[half:]], NO_RERUNS)
        done("reported")
        if not claimed:
            time.sleep(0.01)
    store.end_launcher(launcher, "nothing left")


def recover(store: Store) -> None:
    """Take back what launchers held whose process is gone."""
    for dead in store.expired_launchers(MACHINE):
        store.take_back(dead, ())


@contextmanager
def working(url: str, steps: Connection | None = None) -> Iterator[ForkProcess]:
    """A process at `work`, killed at the end if it still lives."""
    process = _forked.Process(target=work, args=(url, steps), daemon=True)
    process.start()
    try:
        yield process
    finally:
        kill(process)


def kill(process: ForkProcess) -> None:
    """SIGKILL, and wait until the process is gone."""
    if process.is_alive():
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    process.join(_DEADLINE_SECONDS)


def filled_site(folder: Path, count: int) -> str:
    """The URL of a site with that many jobs, in which every fifth waits for the one before it."""
    store = temporary_store(folder)
    specs = [make_spec(f"job{place}", input_files="") for place in range(count)]
    for place in range(4, count, 5):
        specs[place] = specs[place].model_copy(update={"parents": (specs[place - 1].job_id,)})
    store.add_jobs(specs)
    store.database.close()
    return str(store.database.url)


def check_every_job_ended_once(url: str, most_attempts: int) -> None:
    """Each job is JOB_FINISHED, by one result, and no attempt has two of anything."""
    store = open_store(url)
    jobs = store.jobs()
    assert {job.state for job in jobs} == {State.JOB_FINISHED}
    assert all(1 <= job.attempt <= most_attempts and job.launcher_id is None for job in jobs)
    moves = Counter((event.job_id, event.attempt, event.to_state) for event in store.history([j.job_id for j in jobs]))
    assert max(moves.values()) == 1
    ends = Counter(job_id for job_id, _, state in moves if state == "RUN_DONE")
    assert ends == Counter(job.job_id for job in jobs)
    assert store.launchers() == []


def test_three_launchers_share_the_jobs_and_each_ends_once(tmp_path: Path) -> None:
    url = filled_site(tmp_path, 300)
    with working(url) as one, working(url) as two, working(url) as three:
        for process in (one, two, three):
            process.join(_DEADLINE_SECONDS)
            assert process.exitcode == 0
    check_every_job_ended_once(url, most_attempts=1)


@pytest.mark.parametrize(("last_step", "round_"), [("registered", 1), *product(_STEPS, (1, 2))])
def test_a_launcher_killed_after_any_step_loses_no_job(tmp_path: Path, last_step: str, round_: int) -> None:
    url = filled_site(tmp_path, 20)
    ours, theirs = _forked.Pipe()
    with working(url, theirs) as process:
        reached = 0
        while True:
            assert ours.poll(_DEADLINE_SECONDS)
            reached += ours.recv() == last_step
            if reached == round_:
                break
            ours.send("go on")
        kill(process)
    with working(url) as heir:
        heir.join(_DEADLINE_SECONDS)
        assert heir.exitcode == 0
    check_every_job_ended_once(url, most_attempts=2)


def test_launchers_killed_at_random_moments_lose_no_job(tmp_path: Path) -> None:
    url = filled_site(tmp_path, 400)
    chance = random.Random(7)
    for _ in range(6):
        with working(url) as victim, working(url) as other:
            time.sleep(chance.uniform(0.05, 0.3))
            kill(victim)
            time.sleep(chance.uniform(0.0, 0.1))
            kill(other)
    with working(url) as heir:
        heir.join(_DEADLINE_SECONDS)
        assert heir.exitcode == 0
    check_every_job_ended_once(url, most_attempts=13)


@pytest.mark.parametrize("each_database", ["sqlite"], indirect=True)
def test_a_launcher_that_hangs_in_a_transaction_beyond_its_lease_is_ended(tmp_path: Path) -> None:
    def hang(url: str) -> None:
        store = open_store(url)
        make_launcher(store, lease_seconds=0.1)
        with store.database.write():
            os.kill(os.getpid(), signal.SIGSTOP)

    url = filled_site(tmp_path, 1)
    store = open_store(url)
    store.database.wait_for_locks(0.1)
    hung = _forked.Process(target=hang, args=(url,), daemon=True)
    hung.start()
    try:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not take_back_all(store, tmp_path, MACHINE):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        hung.join(_DEADLINE_SECONDS)
        assert hung.exitcode == -signal.SIGKILL
        assert store.launchers() == []
    finally:
        kill(hung)


def test_writers_of_many_kinds_do_not_lock_each_other_out(tmp_path: Path) -> None:
    url = filled_site(tmp_path, 100)
    store = open_store(url)
    deadline = time.monotonic() + _DEADLINE_SECONDS
    with working(url) as one, working(url) as two:
        added = 0
        while added < 50 or one.is_alive() or two.is_alive():
            assert time.monotonic() < deadline
            if added < 50:
                store.add_jobs([make_spec(f"late{added}")])
                added += 1
            store.change_jobs(JobFilter(name="late"), {"priority": added})
            store.count_by_state()
    recover(store)
    assert not set(store.count_by_state()) & {State.FAILED, State.RUNNING}
