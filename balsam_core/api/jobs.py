"""The jobs of a site as programs see them: add, find, wait for, kill."""

from __future__ import annotations

import queue
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

from balsam_core.api.connections import connection
from balsam_core.api.fields import HasJobId, JobFields, id_of, job_spec
from balsam_core.api.watcher import News
from balsam_core.errors import JobNotFound
from balsam_core.models.job import Job, JobSpec
from balsam_core.site import Site as SiteFolder
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import END, State, parse_state
from balsam_core.state.store import Store
from balsam_core.workdirs import Workdirs

if TYPE_CHECKING:
    from typing_extensions import Unpack

Named: TypeAlias = "HasJobId | UUID"


@dataclass(frozen=True)
class Waited:
    """What became of a wait: the jobs that have ended, and those that have not, each as it is now."""

    done: list[Job] = field(default_factory=list)
    not_done: list[Job] = field(default_factory=list)


class Jobs:
    """The jobs of one site. A `Job` is what the site knew when it was asked; it does not change by itself."""

    def __init__(self, folder: SiteFolder) -> None:
        self._folder = folder

    def add(self, name: str, workflow: str, application: str, **fields: Unpack[JobFields]) -> Job:
        """Add one job. Raises JobSpecError, AppNotFound, JobNotFound (a parent)."""
        return self.add_many([{"name": name, "workflow": workflow, "application": application, **fields}])[0]

    def add_many(self, jobs: Iterable[JobSpec | Mapping[str, Any]]) -> list[Job]:
        """Add jobs in one transaction, all or none, given as specs or as their fields. Raises as `add` does."""
        specs = [each if isinstance(each, JobSpec) else job_spec(each) for each in jobs]
        added = self._store.add_jobs(specs)
        return self._by_id(added)

    def query(
        self,
        *,
        name: str = "",
        workflow: str = "",
        states: Sequence[State | str] = (),
        tags: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """The jobs for which all of these hold, oldest first; what is left out matches all.

        name: a part of it, whatever its case. workflow: `*` stands for anything. states: any of them. tags: all of
        them. Raises InvalidState.
        """
        return self._whole(self._store.jobs(_filter(name, workflow, states, tags), limit=limit))

    def count(
        self,
        *,
        name: str = "",
        workflow: str = "",
        states: Sequence[State | str] = (),
        tags: Mapping[str, str] | None = None,
    ) -> dict[State, int]:
        """How many of the jobs that `query` finds are in each state."""
        return self._store.count_by_state(_filter(name, workflow, states, tags))

    def get(self, job: Named | str) -> Job:
        """A job as it is now; text is a part of its id. Raises JobNotFound."""
        if isinstance(job, str):
            return self._whole([self._store.find_job(job)])[0]
        return self._by_id([id_of(job)])[0]

    def find(self, jobs: Iterable[Named]) -> dict[UUID, Job]:
        """Many jobs as they are now, by id; those that were deleted are left out."""
        found = self._store.jobs_by_id(_ids(jobs))
        self._whole(list(found.values()))
        return found

    def wait(
        self,
        jobs: Iterable[Named],
        *,
        timeout_seconds: float | None = None,
        until: Literal["all", "any"] = "all",
    ) -> Waited:
        """Wait until all (or any) of these jobs have ended, in whichever way, or for so long.

        Raises JobNotFound when one of them is deleted meanwhile.
        """
        job_ids = _ids(jobs)
        if job_ids:
            ends = self._ends(job_ids, timeout_seconds)
            for _ in islice(ends, 1 if until == "any" else None):
                pass
            ends.close()
        waited = Waited()
        for job in self._by_id(job_ids):
            (waited.done if job.state in END else waited.not_done).append(job)
        return waited

    def as_completed(self, jobs: Iterable[Named], *, timeout_seconds: float | None = None) -> Iterator[Job]:
        """Each of these jobs as it ends. Raises TimeoutError, and JobNotFound when one is deleted meanwhile."""
        job_ids = _ids(jobs)
        left = len(job_ids)
        for ended in self._ends(job_ids, timeout_seconds):
            left -= len(ended)
            yield from self._by_id(ended)
        if left:
            raise TimeoutError(f"{left} of {len(job_ids)} jobs have not ended within {timeout_seconds:g} s")

    def kill(self, jobs: Iterable[Named], *, recursive: bool = False, message: str = "killed by a program") -> int:
        """Kill jobs (and with `recursive` their descendants); how many, those not counted that had ended.

        Those that wait for them fail; a running one is stopped by its launcher.
        """
        job_ids = _ids(jobs)
        if not job_ids:
            return 0
        wanted = JobFilter(ids=[str(job_id) for job_id in job_ids])
        return len(self._store.kill(wanted, recursive=recursive, message=message))

    def folder(self, job: Job) -> Path:
        """The working directory of a job; it is made when the job starts."""
        return Workdirs(self._folder.data).of(job)

    def output(self, job: Job) -> str:
        """What a job has printed so far; empty when it has not started."""
        file = Workdirs(self._folder.data).output_of(job)
        return file.read_text(errors="replace") if file.exists() else ""

    @property
    def _store(self) -> Store:
        return connection(self._folder).store

    def _by_id(self, job_ids: Sequence[UUID]) -> list[Job]:
        """These jobs, in order. Raises JobNotFound."""
        found = self._store.jobs_by_id(job_ids)
        for job_id in job_ids:
            if job_id not in found:
                raise JobNotFound(f"no job has the id {job_id}; it may have been deleted")
        return self._whole([found[job_id] for job_id in job_ids])

    def _whole(self, jobs: list[Job]) -> list[Job]:
        """The jobs with their parents, which are rows of their own."""
        parents = self._store.parents_of([job.job_id for job in jobs])
        for job in jobs:
            job.parents = tuple(parents.get(job.job_id, ()))
        return jobs

    def _ends(self, job_ids: Sequence[UUID], timeout_seconds: float | None) -> Generator[list[UUID]]:
        """The ids as the jobs end, those together that are known of together, until the time is up."""
        told: queue.SimpleQueue[tuple[UUID, News]] = queue.SimpleQueue()

        def tell(job_id: UUID, news: News) -> None:
            if not isinstance(news, State) or news in END:
                told.put((job_id, news))

        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        watcher = connection(self._folder).watcher
        watcher.watch(job_ids, tell)
        try:
            left = len(job_ids)
            while left:
                ended = [told.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))]
                while not told.empty():
                    ended.append(told.get())
                left -= len(ended)
                yield [_ended(job_id, news) for job_id, news in ended]
        except queue.Empty:
            return
        finally:
            watcher.forget(job_ids, tell)


def _filter(name: str, workflow: str, states: Sequence[State | str], tags: Mapping[str, str] | None) -> JobFilter:
    parsed = [state if isinstance(state, State) else parse_state(state) for state in states]
    return JobFilter(name=name, workflow=workflow, states=parsed, tags=dict(tags or {}))


def _ended(job_id: UUID, news: News) -> UUID:
    if isinstance(news, Exception):
        raise news
    if news is None:
        raise JobNotFound(f"the job {job_id} was deleted while it was waited for")
    return job_id


def _ids(jobs: Iterable[Named]) -> list[UUID]:
    return list(dict.fromkeys(map(id_of, jobs)))
