"""The future of a call that a job runs: it is done when the job has ended, and reads the result when it is asked."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar, cast
from uuid import UUID

from balsam_core.api.calls import CallFiles, Outcome
from balsam_core.api.connections import connection
from balsam_core.api.watcher import News
from balsam_core.errors import JobFailed, JobNotFound
from balsam_core.site import Site as SiteFolder
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import END, State
from balsam_core.state.moves import chunks, words
from balsam_core.workdirs import Workdirs

T = TypeVar("T")
_CHUNK = 1_000
# The states whose events say why a job ended as it did; an error's has the end of the output.
_TELLING = words(END | {State.RUN_ERROR, State.RUN_TIMEOUT})


class BalsamFuture(Future[T]):
    """What a call will return or raise; a file holds it, so that large results go through no database.

    Of the file's content nothing is read before `result` or `exception` is called.
    """

    def __init__(self, folder: SiteFolder, files: CallFiles) -> None:
        super().__init__()
        self.job_id: UUID = files.job_id
        self._folder = folder
        self._files = files
        self._cancelling = False
        self._runs = False
        self._state_seen: State | None = None
        self._outcome: Outcome | None = None
        self._reading = threading.Lock()
        self._watched_by: int | None = None

    def watch(self) -> None:
        """Have this process's watcher tell when the job moves."""
        self._watched_by = os.getpid()
        connection(self._folder).watcher.watch([self.job_id], self._told)

    def watch_here(self) -> None:
        """Watch after a fork, too: the watcher that was told to has stayed in the parent process."""
        if self._watched_by != os.getpid() and not self.done():
            self.watch()

    def running(self) -> bool:
        """Whether the job was running when this process last heard of it."""
        return self._runs and not self.done()

    def cancel(self) -> bool:
        """Kill the job, also while it runs; False: it has ended already."""
        cancel_all(self._folder, [self])
        return self.cancelled()

    def result(self, timeout: float | None = None) -> T:
        """What the call returned, within `timeout` seconds.

        Raises what the call raised, with the remote traceback as its cause; JobFailed when the job has no result,
        CancelledError, and TimeoutError.
        """
        error = self.exception(timeout)
        if error is not None:
            try:
                raise error
            finally:
                # The traceback would hold the future, and the future holds the error.
                del self
        return cast("T", self._read().value)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or why the job has no result; None: it returned. Raises as `result` does."""
        self.watch_here()
        trouble = super().exception(timeout)
        return trouble if trouble is not None else self._read().error

    def _told(self, _job_id: UUID, news: News) -> None:
        # Somebody may cancel it meanwhile.
        with contextlib.suppress(InvalidStateError):
            self._settle(news)

    def _settle(self, news: News) -> None:
        if isinstance(news, Exception):
            self.set_exception(news)
        elif news is None:
            self.set_exception(JobFailed(f"the job {self.job_id} was deleted before it had a result"))
        elif news in END and not (self._cancelling and news is State.USER_KILLED):
            self._state_seen = news
            # A mark only: `result` reads the file.
            self.set_result(cast("T", None))
        self._runs = news is State.RUNNING

    def _read(self) -> Outcome:
        with self._reading:
            if self._outcome is None:
                self._outcome = self._read_file()
            return self._outcome

    def _read_file(self) -> Outcome:
        outcome = None if self._state_seen is State.USER_KILLED else self._files.read_outcome()
        if outcome is not None and (outcome.error is not None or self._state_seen is State.JOB_FINISHED):
            return outcome
        return Outcome(error=JobFailed(_why_failed(self._folder, self.job_id, self._state_seen)))


def cancel_all(folder: SiteFolder, futures: Sequence[BalsamFuture[Any]]) -> None:
    """Kill the jobs of these futures, as far as they have not ended."""
    waiting = [future for future in futures if not future.done()]
    for future in waiting:
        future._cancelling = True
    killed: set[UUID] = set()
    try:
        killed = _kill(folder, [future.job_id for future in waiting])
    finally:
        for future in waiting:
            if future.job_id in killed:
                if Future.cancel(future):
                    # Without this nobody who waits for several futures hears of it.
                    future.set_running_or_notify_cancel()
            elif not future.cancelled():
                future._cancelling = False
                future.watch()


def _kill(folder: SiteFolder, job_ids: Iterable[UUID]) -> set[UUID]:
    killed: set[UUID] = set()
    for chunk in chunks(job_ids, _CHUNK):
        wanted = JobFilter(ids=[str(job_id) for job_id in chunk])
        jobs = connection(folder).store.kill(wanted, message="cancelled by the program that submitted it")
        killed.update(job.job_id for job in jobs)
    return killed


def _why_failed(folder: SiteFolder, job_id: UUID, state: State | None) -> str:
    store = connection(folder).store
    try:
        job = store.job(job_id)
    except JobNotFound:
        return f"the job {job_id} ended as {state} and was deleted before its result was read"
    last = [event for event in store.history([job_id]) if event.attempt == job.attempt and event.to_state in _TELLING]
    reasons = "; ".join(event.message for event in last if event.message) or "it left no result"
    return f"job {job.cute_id} is {job.state} (output: {Workdirs(folder.data).output_of(job)}): {reasons}"
