"""Jobs as futures: `FutureTask` wraps one, `wait` polls many with one query each time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from uuid import UUID

from balsam.core.models import END_STATES, BalsamJob
from balsam.launcher import dag
from balsam_core.errors import BalsamError

__all__ = ["FutureTask", "TaskFailed", "WaitResult", "wait"]

_STATE_OF = {"JOB_FINISHED": "done", "FAILED": "failed", "USER_KILLED": "cancelled"}
_POLL_SECONDS = 1.0


class TaskFailed(BalsamError):
    """A task failed, and nobody said what to do then."""


class WaitResult(NamedTuple):
    """Which futures are active, done, failed and cancelled."""

    active: list[FutureTask]
    done: list[FutureTask]
    failed: list[FutureTask]
    cancelled: list[FutureTask]


class FutureTask:
    """A job whose end a program waits for; further attributes may be set on it.

    done_callback(job, *args, **kwargs) makes the result of one that finished, fail_callback that of one that failed;
    each is called once, with the job as the database has it then.
    """

    def __init__(
        self,
        balsam_job: BalsamJob,
        done_callback: Callable[..., Any],
        fail_callback: Callable[..., Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if not isinstance(balsam_job, BalsamJob):
            raise TypeError(f"a FutureTask wraps a BalsamJob, not {balsam_job!r}")
        if not callable(done_callback):
            raise TypeError(f"done_callback is {done_callback!r}, which cannot be called")
        self._job = balsam_job
        self._on_done = done_callback
        self._on_fail = fail_callback
        self._args, self._kwargs = args, kwargs
        self._state = "active"
        self._result: Any = None
        self._has_result = False

    def __repr__(self) -> str:
        return f"<FutureTask {self._job.cute_id}: {self._state}>"

    @property
    def job(self) -> BalsamJob:
        """The job, as it was last read."""
        return self._job

    @property
    def cute_id(self) -> str:
        """`[name | first 8 of the id]` of the job."""
        return self._job.cute_id

    @property
    def done(self) -> bool:
        """Whether the job has finished."""
        return self._polled() == "done"

    @property
    def failed(self) -> bool:
        """Whether the job has failed."""
        return self._polled() == "failed"

    @property
    def cancelled(self) -> bool:
        """Whether the job was killed, or deleted."""
        return self._polled() == "cancelled"

    @property
    def active(self) -> bool:
        """Whether the job has not come to an end yet."""
        return self._polled() == "active"

    def result(self, timeout: float | None = None) -> Any:
        """What the callback makes of the job, once it has ended; None for a cancelled one.

        Raises TimeoutError, TaskFailed, and whatever the callback raises.
        """
        deadline = _deadline(timeout)
        while self.active:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"task {self.cute_id} has not ended after {timeout} s")
            time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
        if self._state != "cancelled" and not self._has_result:
            self._result = self._callback()(self._job, *self._args, **self._kwargs)
            self._has_result = True
        return self._result

    def cancel(self) -> None:
        """Kill the job, and those that wait for it."""
        dag.kill(self._job)
        self._take(self._job)

    def _callback(self) -> Callable[..., Any]:
        if self._state == "done":
            return self._on_done
        if self._on_fail is None:
            raise TaskFailed(f"task {self.cute_id} failed, and it was given no fail_callback")
        return self._on_fail

    def _polled(self) -> str:
        if self._state == "active":
            self._take(BalsamJob.objects.filter(pk=self._job.pk).first())
        return self._state

    def _take(self, job: BalsamJob | None) -> None:
        if job is None:
            self._state = "cancelled"
            return
        self._job = job
        self._state = _STATE_OF.get(job.state, "active")


def wait(
    futures: Iterable[FutureTask],
    timeout: float | None = None,
    return_when: str = "ANY_COMPLETED",
    poll_period: float = _POLL_SECONDS,
) -> WaitResult:
    """Wait until one future, or with ALL_COMPLETED each, has ended; one query every `poll_period` seconds, and one
    more when some have ended.

    Raises TimeoutError after `timeout` seconds, ValueError for another `return_when`.
    """
    when = return_when.strip()
    if when not in {"ANY_COMPLETED", "ALL_COMPLETED"}:
        raise ValueError(f"return_when cannot be {return_when!r}; it is ANY_COMPLETED or ALL_COMPLETED")
    listed = list(futures)
    deadline = _deadline(timeout)
    while not _poll(listed, wants_all=when == "ALL_COMPLETED"):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{timeout} s are over, and of {len(listed)} tasks not {when}")
        time.sleep(min(poll_period, left))
    by_state: dict[str, list[FutureTask]] = {"active": [], "done": [], "failed": [], "cancelled": []}
    for future in listed:
        by_state[future._state].append(future)
    return WaitResult(**by_state)


def _poll(futures: list[FutureTask], *, wants_all: bool) -> bool:
    active: dict[UUID, list[FutureTask]] = {}
    for future in futures:
        if future._state == "active":
            active.setdefault(future._job.pk, []).append(future)
    for pk, job in _ended(list(active)).items():
        for future in active[pk]:
            future._take(job)
    ended = sum(future._state != "active" for future in futures)
    return ended == len(futures) if wants_all else ended > 0 or not futures


def _ended(ids: list[UUID]) -> dict[UUID, BalsamJob | None]:
    """The jobs that have come to an end, None for those that were deleted; one query while there are none."""
    if not ids:
        return {}
    states = dict(BalsamJob.objects.filter(pk__in=ids).values_list("pk", "state"))
    deleted = dict.fromkeys(set(ids) - states.keys())
    ended = [pk for pk, state in states.items() if state in END_STATES]
    return {**deleted, **(BalsamJob.objects.in_bulk(ended) if ended else {})}


def _deadline(timeout: float | None) -> float:
    return float("inf") if timeout is None else time.monotonic() + float(timeout)
