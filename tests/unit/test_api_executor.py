"""An executor whose calls are jobs: what it adds, what becomes of a future, and who may wait for one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, InvalidStateError, as_completed, wait
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from balsam_core import BalsamExecutor, JobFailed, State
from balsam_core.api.calls import CannotPickle, RemoteTraceback
from balsam_core.errors import JobSpecError
from balsam_core.state.filters import JobFilter
from balsam_core.state.hosts import machine_id
from tests.api import PlayedSite
from tests.helpers import make_launcher
from tests.integration.launching import wait_until

# Where a launcher's part is played, nothing takes longer than this.
SOON = 10.0
ADD = f"{__name__}.add"
WITH_TRACEBACK = ValueError().with_traceback


class Strange(Exception):
    """An exception that can be pickled, but not made again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def add(one: int, two: int = 0) -> int:
    return one + two


def fail(error: BaseException) -> None:
    raise error


def strange() -> None:
    raise Strange(1, 2)


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedSite]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    played = PlayedSite(tmp_path / "site", monkeypatch)
    yield played
    played.close()


@pytest.fixture
def executor(played: PlayedSite) -> BalsamExecutor:
    return BalsamExecutor(played.site)


# --- what a call becomes


def test_a_call_is_a_job_of_its_own_application_with_its_files_in_its_folder(
    executor: BalsamExecutor, played: PlayedSite
) -> None:
    future = executor.with_options(gpus_per_rank=1, priority=3).submit(add, 1, two=2)
    job = played.site.jobs.get(future.job_id)
    assert (job.name, job.workflow, job.application, job.description) == ("add", "calls", "balsam.call", ADD)
    assert (job.gpus_per_rank, job.priority, job.args) == (1, 3, str(played.site.jobs.folder(job)))
    (app,) = played.site.apps.query("balsam.call")
    assert app.executable == f"{sys.executable} -m balsam_core.function balsam_core.call:run"
    assert [file.name for file in played.site.jobs.folder(job).iterdir()] == [f"call_{job.job_id}.pickle"]


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (lambda: 0, "lambda"),
        (partial(add, 1), "partial"),
        (os.getpid, "getpid"),
        (WITH_TRACEBACK, "with_traceback"),
    ],
)
def test_a_job_is_named_after_its_function(executor: BalsamExecutor, played: PlayedSite, fn: Any, name: str) -> None:
    assert played.site.jobs.get(executor.submit(fn).job_id).name == name


def test_another_python_gets_an_application_of_its_own(played: PlayedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    played.site.apps.add("balsam.call", "/opt/old/python -m balsam_core.call")
    job_ids = [BalsamExecutor(played.site).submit(add, 1).job_id for _ in range(2)]
    (name,) = {played.site.jobs.get(job_id).application for job_id in job_ids}
    assert name.startswith("balsam.call-")
    chosen = BalsamExecutor(played.site, application="true").submit(add, 1)
    assert played.site.jobs.get(chosen.job_id).application == "true"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout_second": 1}, r"a job has no field 'timeout_second'; did you mean 'timeout_seconds'\?"),
        ({"args": "-v"}, "a job has no field 'args'"),
        ({"ranks_per_node": 4}, "a call cannot have 4 ranks: it is one process"),
        ({"priority": "high"}, "priority cannot be 'high'"),
    ],
)
def test_wrong_options_are_refused_when_they_are_given(
    executor: BalsamExecutor, played: PlayedSite, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(JobSpecError, match=words):
        executor.with_options(**options)
    with pytest.raises(JobSpecError, match=words):
        BalsamExecutor(played.site, **options)


def test_a_call_that_cannot_be_pickled_leaves_nothing_behind(executor: BalsamExecutor, played: PlayedSite) -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        executor.submit(id, threading.Lock())
    with pytest.raises(TypeError, match="cannot pickle"):
        executor.map(add, [1, threading.Lock()])
    assert played.site.jobs.query() == []
    assert list((played.site.path / "data").glob("*/*")) == []


# --- what becomes of a future


def test_a_future_has_what_the_call_returned(executor: BalsamExecutor, played: PlayedSite) -> None:
    future = executor.submit(add, 1, two=2)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(timeout=0.01)
    assert not future.done()
    assert played.run_call(future.job_id) == 0
    assert (future.result(SOON), future.exception(), future.result()) == (3, None, 3)
    assert (future.done(), future.running(), future.cancel(), future.cancelled()) == (True, False, False, False)


def test_a_future_raises_what_the_call_raised_with_the_remote_traceback(
    executor: BalsamExecutor, played: PlayedSite, capfd: pytest.CaptureFixture[str]
) -> None:
    future = executor.submit(fail, ValueError("of no use"))
    assert played.run_call(future.job_id) == 1
    with pytest.raises(ValueError, match="of no use") as caught:
        future.result(SOON)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    shown = "".join(traceback.format_exception(caught.value))
    assert "in fail\n" in shown
    assert "balsam_core/call.py" not in shown
    assert "ValueError: of no use" in capfd.readouterr().err


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), LookupError(1, "two")])
def test_whatever_is_raised_comes_back(executor: BalsamExecutor, played: PlayedSite, error: BaseException) -> None:
    future = executor.submit(fail, error)
    assert played.run_call(future.job_id) == 1
    came = future.exception(SOON)
    assert (type(came), came.args if came else None) == (type(error), error.args)


def test_what_cannot_be_pickled_on_the_way_back_is_described(executor: BalsamExecutor, played: PlayedSite) -> None:
    lock, odd = executor.submit(threading.Lock), executor.submit(strange)
    played.run_all_calls()
    with pytest.raises(CannotPickle, match="the result, a lock, cannot be pickled"):
        lock.result(SOON)
    with pytest.raises(CannotPickle, match=r"^Strange: 1 and 2 \(the exception itself cannot be pickled") as caught:
        odd.result(SOON)
    assert "in strange" in str(caught.value.__cause__)


@pytest.mark.usefixtures("each_database")
def test_a_job_without_a_result_fails_its_future_with_the_reason(executor: BalsamExecutor, played: PlayedSite) -> None:
    killed, failed, deleted = (executor.submit(add, number) for number in range(3))
    played.store.kill(JobFilter(ids=[str(killed.job_id)]), message="too expensive")
    played.end(failed.job_id, State.FAILED, "exit code 9: out of memory")
    played.store.delete_jobs([deleted.job_id])
    with pytest.raises(
        JobFailed, match=r"^job \[add \| \w{8}\] is USER_KILLED \(output: .*/add\.out\): too expensive$"
    ):
        killed.result(SOON)
    with pytest.raises(JobFailed, match=r"is FAILED .*: by hand: exit code 9: out of memory$"):
        failed.result(SOON)
    with pytest.raises(JobFailed, match="was deleted before it had a result"):
        deleted.result(SOON)


def test_a_finished_job_whose_file_is_gone_and_a_failed_one_with_a_value_have_no_result(
    executor: BalsamExecutor, played: PlayedSite
) -> None:
    lost, failed = executor.submit(add, 1), executor.submit(add, 2)
    played.files(failed.job_id).write_value(2)
    played.end(lost.job_id)
    played.end(failed.job_id, State.FAILED, "staging out failed")
    with pytest.raises(JobFailed, match=r"is JOB_FINISHED .*: by hand$"):
        lost.result(SOON)
    with pytest.raises(JobFailed, match="staging out failed"):
        failed.result(SOON)


def test_a_future_stands_for_its_job(executor: BalsamExecutor, played: PlayedSite) -> None:
    first = executor.submit(add, 1)
    second = executor.with_options(parents=[first]).submit(add, 2)
    assert played.site.jobs.get(second).parents == (first.job_id,)
    assert played.site.jobs.wait([first, second], timeout_seconds=0.01).done == []


def test_a_future_stays_pending_while_its_job_may_run_again(executor: BalsamExecutor, played: PlayedSite) -> None:
    future = executor.submit(add, 1)
    played.end(future.job_id, State.RUN_TIMEOUT)
    played.end(future.job_id, State.RESTART_READY)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.3)
    played.run_call(future.job_id)
    assert future.result(SOON) == 1


def test_a_result_of_an_earlier_attempt_does_not_count(executor: BalsamExecutor, played: PlayedSite) -> None:
    future = executor.submit(fail, ValueError("the second time"))
    played.files(future.job_id).write_value("the first time")
    played.run_call(future.job_id)
    with pytest.raises(ValueError, match="the second time"):
        future.result(SOON)


# --- cancelling and shutting down


@pytest.mark.usefixtures("each_database")
def test_cancelling_kills_the_job_and_wakes_who_waits(executor: BalsamExecutor, played: PlayedSite) -> None:
    future, other = executor.submit(add, 1), executor.submit(add, 2)
    called: list[bool] = []
    future.add_done_callback(lambda done: called.append(done.cancelled()))
    assert (future.cancel(), future.cancel(), future.cancelled(), called) == (True, True, True, [True])
    assert played.site.jobs.get(future.job_id).state is State.USER_KILLED
    assert wait([future, other], timeout=0.01).done == {future}
    with pytest.raises(CancelledError):
        future.result()


def test_a_running_call_is_cancelled_too(executor: BalsamExecutor, played: PlayedSite) -> None:
    future = executor.submit(add, 1)
    played.end(future.job_id, State.RUNNING)
    wait_until(future.running, SOON)
    assert future.cancel()


def test_what_has_ended_is_not_cancelled(executor: BalsamExecutor, played: PlayedSite) -> None:
    future = executor.submit(add, 1)
    played.run_call(future.job_id)
    assert not future.cancel()
    assert future.result(SOON) == 1


def test_after_its_shutdown_an_executor_takes_nothing(executor: BalsamExecutor, played: PlayedSite) -> None:
    done, waiting = executor.submit(add, 1), executor.submit(add, 2)
    played.run_call(done.job_id)
    assert done.result(SOON) == 1
    executor.shutdown(cancel_futures=True)
    assert waiting.cancelled()
    for closed in (executor, executor.with_options(priority=1)):
        with pytest.raises(RuntimeError, match="after shutdown"):
            closed.submit(add, 3)


def test_leaving_the_context_waits_for_what_was_submitted(played: PlayedSite) -> None:
    with BalsamExecutor(played.site) as executor:
        futures = [executor.submit(add, number) for number in range(3)]
        threading.Thread(target=played.run_all_calls).start()
    assert [future.done() for future in futures] == [True, True, True]


# --- those who use executors


def test_map_gives_results_in_order_of_one_job_per_chunk(executor: BalsamExecutor, played: PlayedSite) -> None:
    sums = executor.map(add, range(5), range(10, 20), chunksize=2, timeout=SOON)
    assert [job.name for job in played.site.jobs.query()] == ["add"] * 3
    played.run_all_calls()
    assert list(sums) == [10, 12, 14, 16, 18]
    assert list(executor.map(add, [])) == []
    with pytest.raises(ValueError, match="chunksize cannot be 0"):
        executor.map(add, [1], chunksize=0)


def test_map_cancels_the_rest_when_one_fails_or_the_time_is_up(executor: BalsamExecutor, played: PlayedSite) -> None:
    results = executor.map(fail, [ValueError("first"), ValueError("second")])
    played.run_call(played.site.jobs.query()[0].job_id)
    with pytest.raises(ValueError, match="first"):
        next(results)
    with pytest.raises(concurrent.futures.TimeoutError):
        list(executor.map(add, [1, 2], timeout=0.01))
    assert played.site.jobs.count() == {State.FAILED: 1, State.USER_KILLED: 3}


def test_the_functions_of_concurrent_futures_take_its_futures(executor: BalsamExecutor, played: PlayedSite) -> None:
    futures = [executor.submit(add, number) for number in range(3)]
    played.run_call(futures[1].job_id)
    assert wait(futures, SOON, FIRST_COMPLETED).done == {futures[1]}
    played.run_call(futures[0].job_id)
    played.run_call(futures[2].job_id)
    assert {future.result() for future in as_completed(futures, SOON)} == {0, 1, 2}


def test_an_event_loop_runs_calls_and_cancels_them(executor: BalsamExecutor, played: PlayedSite) -> None:
    async def both() -> list[int]:
        loop = asyncio.get_running_loop()
        wanted = [loop.run_in_executor(executor, add, number) for number in range(2)]
        unwanted = loop.run_in_executor(executor, add, 9)
        await asyncio.sleep(0)
        unwanted.cancel()
        await asyncio.sleep(0)
        await loop.run_in_executor(None, played.run_all_calls)
        return await asyncio.wait_for(asyncio.gather(*wanted), SOON)

    assert asyncio.run(both()) == [0, 1]
    assert played.site.jobs.count() == {State.JOB_FINISHED: 2, State.USER_KILLED: 1}


def test_a_search_asks_and_tells_with_its_futures(executor: BalsamExecutor, played: PlayedSite) -> None:
    """As optimizers do it: keep so many evaluations in flight, and propose the next when one is in."""
    seen: dict[int, int] = {}
    points = iter(range(8))
    flying: dict[Future[int], int] = {executor.submit(add, 0): next(points)}
    while flying:
        played.run_all_calls()
        for future in wait(flying, SOON, FIRST_COMPLETED).done:
            seen[flying.pop(future)] = future.result()
            for point in points:
                flying[executor.submit(add, point, two=point)] = point
                break
    assert seen == {point: 2 * point for point in range(8)}


# --- whether anybody runs them


def test_calls_that_nobody_would_run_are_warned_of_once(played: PlayedSite, caplog: pytest.LogCaptureFixture) -> None:
    executor = BalsamExecutor(played.site, workflow="search")
    for _ in range(2):
        executor.submit(add, 1)
    (warning,) = caplog.records
    assert (warning.levelno, warning.name) == (logging.WARNING, "balsam_core.api.executor")
    assert "`balsam launcher --wf-filter search`" in warning.getMessage()


@pytest.mark.parametrize(("pattern", "warnings"), [("", 0), ("se*", 0), ("search", 0), ("sea", 1), ("*x", 1)])
def test_a_launcher_of_the_workflow_keeps_the_warning_away(
    played: PlayedSite, caplog: pytest.LogCaptureFixture, pattern: str, warnings: int
) -> None:
    make_launcher(played.store, wf_filter=pattern, machine_id=machine_id(os.environ))
    BalsamExecutor(played.site, workflow="search").submit(add, 1)
    assert len(caplog.records) == warnings


def test_it_is_an_executor_and_its_futures_are_futures(executor: BalsamExecutor) -> None:
    assert isinstance(executor, concurrent.futures.Executor)
    future = executor.submit(add, 1)
    assert isinstance(future, concurrent.futures.Future)
    future.cancel()
    with pytest.raises(InvalidStateError):
        future.set_result(1)
