"""`balsam.launcher.futures`: what callbacks get, when `wait` returns, and what it costs."""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any

import pytest

from tests.acceptance.facade import Facade, statements


def end(facade: Facade, job: Any, state: str, **data: Any) -> None:
    """Let a job come to its end, as a launcher would."""
    facade.BalsamJob.objects.filter(pk=job.pk).update(state=state, data=data)


def test_the_result_is_what_the_callback_makes_of_the_fresh_job(facade: Facade) -> None:
    (job,) = facade.add("a")
    calls: list[Any] = []

    def done(fresh: Any, *args: Any, **kwargs: Any) -> float:
        calls.append((fresh.state, args, kwargs))
        return float(fresh.data["reward"])

    future = facade.futures.FutureTask(job, done, None, 1, two=2)
    future.task_args = "free attributes are allowed"
    assert (future.active, future.done, future.failed, future.cancelled) == (True, False, False, False)
    end(facade, job, "JOB_FINISHED", reward=0.5)
    assert (future.result(), future.result(), future.done) == (0.5, 0.5, True)
    assert calls == [("JOB_FINISHED", (1,), {"two": 2})]


def test_a_failed_task_has_the_result_of_its_fail_callback_or_raises(facade: Facade) -> None:
    one, two = facade.add("one", "two")
    handled = facade.futures.FutureTask(one, str, lambda job: (job.name, job.state))
    alone = facade.futures.FutureTask(two, str)
    for job in (one, two):
        end(facade, job, "FAILED")
    assert (handled.result(), handled.failed) == (("one", "FAILED"), True)
    with pytest.raises(facade.futures.TaskFailed, match=r"task \[two"):
        alone.result()


def test_a_cancelled_task_has_no_result_and_its_job_is_killed(facade: Facade) -> None:
    (job,) = facade.add("a")
    future = facade.futures.FutureTask(job, str)
    future.cancel()
    assert (future.cancelled, future.result(), facade.BalsamJob.objects.get().state) == (True, None, "USER_KILLED")


def test_a_task_whose_job_was_deleted_is_cancelled(facade: Facade) -> None:
    waited, asked = (facade.futures.FutureTask(job, print) for job in facade.add("a", "b"))
    facade.BalsamJob.objects.all().delete()
    assert facade.futures.wait([waited], timeout=5).cancelled == [waited]
    assert (asked.cancelled, asked.result(timeout=5)) == (True, None)


def test_a_result_that_does_not_come_in_time_is_a_timeout(facade: Facade) -> None:
    (job,) = facade.add("a")
    with pytest.raises(TimeoutError, match=r"has not ended after 0\.01 s"):
        facade.futures.FutureTask(job, str).result(timeout=0.01)


def test_what_is_no_job_or_cannot_be_called_is_refused(facade: Facade) -> None:
    (job,) = facade.add("a")
    for arguments in (("job", str), (job, "callback")):
        with pytest.raises(TypeError):
            facade.futures.FutureTask(*arguments)


def test_wait_returns_when_any_or_when_all_have_ended(facade: Facade) -> None:
    jobs = facade.add(*"abcd")
    futures = {job.name: facade.futures.FutureTask(job, str) for job in jobs}
    end(facade, jobs[0], "JOB_FINISHED")
    end(facade, jobs[1], "FAILED")
    end(facade, jobs[2], "USER_KILLED")
    result = facade.futures.wait(futures.values(), timeout=5)
    assert result == ([futures["d"]], [futures["a"]], [futures["b"]], [futures["c"]])
    assert (result.active, result.done, result.failed, result.cancelled) == tuple(result)
    with pytest.raises(TimeoutError):
        facade.futures.wait((future for future in futures.values()), timeout=0.05, return_when="ALL_COMPLETED")
    late = threading.Timer(0.2, end, (facade, jobs[3], "JOB_FINISHED"))
    late.start()
    done = facade.futures.wait(futures.values(), timeout=10, return_when="ALL_COMPLETED", poll_period=0.05).done
    late.join()
    assert done == [futures["a"], futures["d"]]
    with pytest.raises(ValueError, match="return_when cannot be 'SOON'"):
        facade.futures.wait([], return_when="SOON")


def test_a_thousand_futures_cost_one_query_each_time(facade: Facade) -> None:
    jobs = facade.add(*map(str, range(1000)))
    futures = [facade.futures.FutureTask(job, str) for job in jobs]
    began = time.monotonic()
    with statements(facade.store) as sent, pytest.raises(TimeoutError):
        facade.futures.wait(futures, timeout=1.0, poll_period=0.5)
    assert len(sent) <= 4
    assert time.monotonic() - began < 5


def test_the_older_name_is_a_keyword_and_is_found_all_the_same(facade: Facade) -> None:
    import balsam.launcher

    by_name = importlib.import_module("balsam.launcher.async")
    by_attribute = getattr(balsam.launcher, "async")
    assert by_name is by_attribute
    assert by_name.FutureTask is facade.futures.FutureTask
    assert by_name.wait is facade.futures.wait
