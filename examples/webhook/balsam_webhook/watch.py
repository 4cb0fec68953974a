"""What is worth telling: events say when to look, and the database says what is so."""

from __future__ import annotations

import atexit
import logging
import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from balsam_core import Job, Site
from balsam_core.errors import BalsamError
from balsam_core.plugins import BatchEvent, JobEvent
from balsam_core.state.machine import END
from balsam_webhook.post import Hook

_SUCCESS = "RUN_DONE"
_FAILURES = frozenset({"RUN_ERROR", "RUN_TIMEOUT"})
_BATCH_ENDS = frozenset({"ENDED", "CANCELLED", "LOST", "REJECTED"})
_log = logging.getLogger(__name__)


class Watch:
    """Follows the site of this process in a thread, from the first event on, and tells `hook`.

    failures: so many failed attempts of one application in a row are told, once per row.
    """

    def __init__(self, hook: Hook, *, failures: int, interval_seconds: float) -> None:
        self._hook = hook
        self._failures = failures
        self._interval_seconds = interval_seconds
        self._heard: queue.SimpleQueue[JobEvent | BatchEvent] = queue.SimpleQueue()
        self._ends: list[JobEvent] = []
        self._in_a_row: Counter[str] = Counter()
        self._open: set[str] = set()
        self._told_at: dict[str, float] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def hear_of_jobs(self, events: Sequence[JobEvent]) -> None:
        """Take ends of attempts; never waits."""
        self._hear([event for event in events if event.to_state == _SUCCESS or event.to_state in _FAILURES])

    def hear_of_batch_jobs(self, events: Sequence[BatchEvent]) -> None:
        """Take ends of batch jobs; never waits."""
        self._hear([event for event in events if event.to_state in _BATCH_ENDS])

    def _hear(self, events: Sequence[JobEvent | BatchEvent]) -> None:
        for event in events:
            self._heard.put(event)
        if events and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
            self._thread.start()
            atexit.register(self._close)

    def _close(self) -> None:
        """Look a last time, for as long as one message may take and a moment for the database."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(self._hook.timeout_seconds + 1.0)

    def _run(self) -> None:
        with Site() as site:
            is_last = False
            while not is_last:
                is_last = self._closing.wait(self._interval_seconds)
                try:
                    self._look(site)
                except BalsamError as error:
                    _log.warning("webhook: the site could not be asked: %s", error)

    def _look(self, site: Site) -> None:
        self._take_heard(site)
        known = site.jobs.find(UUID(event.job_id) for event in self._ends)
        for event in self._ends:
            job = known.get(UUID(event.job_id))
            if job is not None:
                self._take_end(site, event, job)
        self._ends.clear()
        for workflow in sorted(self._open):
            self._look_at(site, workflow)

    def _take_heard(self, site: Site) -> None:
        while not self._heard.empty():
            event = self._heard.get()
            if isinstance(event, JobEvent):
                self._ends.append(event)
            else:
                self._tell_of_batch_job(site, event)

    def _take_end(self, site: Site, event: JobEvent, job: Job) -> None:
        # What was heard late is part of an end that was told.
        if event.at.timestamp() > self._told_at.get(job.workflow, 0.0):
            self._open.add(job.workflow)
        if event.to_state == _SUCCESS:
            del self._in_a_row[job.application]
            return
        self._in_a_row[job.application] += 1
        if self._in_a_row[job.application] == self._failures:
            last = {"job_id": event.job_id, "job": job.name, "workflow": job.workflow, "message": event.message}
            self._tell(site, "application_failing", application=job.application, failures=self._failures, **last)

    def _look_at(self, site: Site, workflow: str) -> None:
        now = time.time()
        states = site.jobs.count(workflow=workflow)
        if states.keys() <= END:
            self._open.remove(workflow)
            self._told_at[workflow] = now
            counts = {str(state): count for state, count in states.items()}
            self._tell(site, "workflow_ended", workflow=workflow, states=counts)

    def _tell_of_batch_job(self, site: Site, event: BatchEvent) -> None:
        self._tell(
            site,
            "batch_job_ended",
            batch_job_id=event.batch_job_id,
            tag=event.tag,
            scheduler=event.scheduler,
            state=event.to_state,
            message=event.message,
        )

    def _tell(self, site: Site, event: str, **facts: object) -> None:
        self._hook.post({"event": event, "site": str(site.path), "host": socket.gethostname(), **facts})
