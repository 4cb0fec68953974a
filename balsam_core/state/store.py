"""The jobs, applications and launchers of a site: every change of a row goes through here, in one transaction each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select
from sqlalchemy.sql import and_

from balsam_core.errors import JobNotFound
from balsam_core.models.app import AppSpec
from balsam_core.models.job import Job, JobSpec
from balsam_core.state import (
    advance,
    apps,
    by_hand,
    claims,
    dependencies,
    facts,
    filters,
    jobs,
    leases,
    moves,
    reports,
    retrying,
)
from balsam_core.state.batch_store import BatchStore
from balsam_core.state.database import Access, Database, open_database
from balsam_core.state.filters import JobFilter, Selection
from balsam_core.state.hosts import boot_clock, boot_id
from balsam_core.state.machine import State
from balsam_core.state.outcomes import RetryPolicy
from balsam_core.state.silences import Silences
from balsam_core.state.tables import jobs as job_table

_EVERY = JobFilter()


class Store:
    """All that the program reads and writes of one site's database; raises DatabaseError when it cannot serve.

    clock: by which it watches the leases of others, in seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = boot_clock) -> None:
        self.database = database
        self._silences = Silences(clock)
        self.batches = BatchStore(database, self._silences)

    # --- jobs, as their users see them

    def add_jobs(
        self,
        specs: Sequence[JobSpec],
        message: Callable[[JobSpec], str] | str = "",
        *,
        known_apps_only: bool = True,
        begun: Mapping[UUID, tuple[State, str]] | None = None,
    ) -> list[UUID]:
        """Add jobs, all or none; their ids. Raises AppNotFound, JobNotFound (a parent), CircularDependency.

        begun: those that are not to begin as CREATED; where they stand, and what their history says of it.
        """
        with self.database.write(Access.ALONE if begun else _access_to_add(specs)) as tx:
            added = jobs.insert_jobs(tx, specs, now=time.time(), message=message, known_apps_only=known_apps_only)
            by_hand.begin_elsewhere(tx, begun or {}, now=time.time())
            return added

    def add_missing_jobs(self, specs: Sequence[JobSpec]) -> list[UUID]:
        """Add those jobs whose (workflow, name) is not taken yet, in one transaction; the ids of the added ones."""
        with self.database.write() as tx:
            taken = jobs.existing_names(tx, sorted({spec.workflow for spec in specs}))
            missing: dict[tuple[str, str], JobSpec] = {}
            for spec in specs:
                missing.setdefault((spec.workflow, spec.name), spec)
            wanted = [spec for key, spec in missing.items() if key not in taken]
            return jobs.insert_jobs(tx, wanted, now=time.time())

    def listed(self, columns: Sequence[str], wanted: Selection = _EVERY, *, limit: int | None = None) -> list[Row[Any]]:
        """These columns of the jobs of a filter, oldest first: for listings, which build no Job."""
        with self.database.read() as tx:
            return jobs.select_columns(tx, columns, wanted.where(), limit=limit)

    def rows(self, query: Select[Any]) -> list[Row[Any]]:
        """The rows of a query that only reads: one statement, for the queries of the Python API."""
        with self.database.read() as tx:
            return list(tx.execute(query).all())

    def jobs(self, wanted: Selection = _EVERY, *, limit: int | None = None, order: Sequence[Any] = ()) -> list[Job]:
        """The jobs of a filter, oldest first."""
        with self.database.read() as tx:
            return jobs.select_jobs(tx, wanted.where(), limit=limit, order=order)

    def jobs_by_id(self, job_ids: Sequence[UUID]) -> dict[UUID, Job]:
        """The jobs with these ids, as far as they exist."""
        found: dict[UUID, Job] = {}
        with self.database.read() as tx:
            for chunk in moves.chunks(job_ids, 500):
                for job in jobs.select_jobs(tx, job_table.c.job_id.in_(chunk)):
                    found[job.job_id] = job
        return found

    def job(self, job_id: UUID) -> Job:
        """One job; raises JobNotFound."""
        found = self.jobs_by_id([job_id])
        if not found:
            raise JobNotFound(f"no job has the id {job_id}; it may have been deleted")
        return found[job_id]

    def find_job(self, part_of_id: str) -> Job:
        """The one job with that part of an id; raises JobNotFound."""
        with self.database.read() as tx:
            job_id = filters.find_one(tx, part_of_id)
            return jobs.select_jobs(tx, job_table.c.job_id == job_id)[0]

    def count_by_state(self, wanted: Selection = _EVERY) -> dict[State, int]:
        """How many jobs of a filter are in each state."""
        with self.database.read() as tx:
            return jobs.count_by_state(tx, wanted.where())

    def has_any(self, wanted: Selection = _EVERY) -> bool:
        """Whether any job passes a filter; quicker than to count."""
        with self.database.read() as tx:
            return jobs.has_any(tx, wanted.where())

    def workflow_pattern(self, text: str) -> str:
        """What a filter by workflow means: this one or, where no job has it, as in 0.5, all whose name holds it."""
        with self.database.read() as tx:
            is_known = not text or "*" in text or jobs.has_any(tx, filters.workflow_is(text))
        return text if is_known else f"*{text}*"

    def count_by_workflow(self, wanted: Selection = _EVERY) -> dict[str, dict[State, int]]:
        """For each workflow, how many jobs of a filter are in each state."""
        with self.database.read() as tx:
            return jobs.count_by_workflow(tx, wanted.where())

    def existing_names(self, workflows: Iterable[str]) -> set[tuple[str, str]]:
        """The (workflow, name) pairs of the jobs in these workflows."""
        with self.database.read() as tx:
            return jobs.existing_names(tx, sorted(set(workflows)))

    def history(self, job_ids: Sequence[UUID]) -> list[Any]:
        """The events of these jobs, oldest first; columns as in the table `events`."""
        with self.database.read() as tx:
            return moves.history(tx, job_ids)

    def change_jobs(self, wanted: Selection, values: Mapping[str, Any]) -> int:
        """Set checked fields (`check_change`, `parse_change`) of jobs; how many were changed.

        Raises AppNotFound, and JobNotFound for a part of an id that no job or several jobs have.
        """
        with self.database.write() as tx:
            return jobs.change_jobs(tx, filters.to_be_changed(tx, wanted), values, now=time.time())

    def move_by_hand(self, wanted: Selection, target: State, message: str = "") -> int:
        """Move jobs to any state, as a user may; how many were moved.

        Raises InvalidState when none may be, and JobNotFound for a part of an id that no job or several jobs have.
        """
        with self.database.write() as tx:
            where = filters.to_be_changed(tx, wanted)
            return by_hand.move_by_hand(tx, where, target, now=time.time(), message=message)

    def update_jobs(
        self,
        wanted: Selection,
        values: Mapping[str, Any],
        target: State | None = None,
        message: str = "",
        *,
        holder: UUID | None = None,
    ) -> int:
        """Set checked fields of jobs (also to SQL) and move them by hand, as one change; how many jobs that was.

        Those that are USER_KILLED are not moved. holder: jobs that this launcher acquired stay with it.
        """
        with self.database.write() as tx:
            where = filters.to_be_changed(tx, wanted)
            return by_hand.update_jobs(tx, where, values, target, now=time.time(), message=message, holder=holder)

    def acquire(self, holder: UUID, job_ids: Iterable[UUID]) -> list[UUID]:
        """Give the jobs that nobody holds to a program which registered as a launcher; which those were."""
        with self.database.write() as tx:
            return by_hand.acquire(tx, holder, job_ids)

    def release(self, holder: UUID, wanted: Selection = _EVERY) -> int:
        """Take jobs back from the program that acquired them; how many it held."""
        with self.database.write() as tx:
            return by_hand.release(tx, holder, wanted.where())

    def kill(self, wanted: Selection, *, recursive: bool = False, message: str = "") -> list[Job]:
        """Move jobs (and with `recursive` their descendants) to USER_KILLED; those that this changed.

        A running one is stopped by its launcher, which lets go of it when its processes are gone.
        """
        with self.database.write() as tx:
            where = filters.to_be_changed(tx, wanted)
            return by_hand.kill(tx, where, recursive=recursive, now=time.time(), message=message)

    def retries(self, wanted: Selection, *, recursive: bool = True) -> retrying.Retries:
        """What `retry` would do now; raises JobNotFound for a part of an id that no job or several jobs have."""
        with self.database.read() as tx:
            return retrying.plan(tx, filters.to_be_changed(tx, wanted), recursive=recursive)

    def retry(self, wanted: Selection, *, recursive: bool = True) -> retrying.Retries:
        """Send failed jobs back to be run again, with `recursive` those that failed because of them; what was done."""
        with self.database.write() as tx:
            where = filters.to_be_changed(tx, wanted)
            return retrying.retry(tx, where, recursive=recursive, now=time.time())

    def delete_jobs(self, job_ids: Sequence[UUID]) -> int:
        """Delete jobs, whatever their state: stop running ones first. Jobs that wait for them fail."""
        with self.database.write() as tx:
            return jobs.delete_jobs(tx, job_ids, now=time.time())

    # --- dependencies

    def add_dependency(self, parent: UUID, child: UUID) -> None:
        """Make one job wait for another; raises CircularDependency, and JobSpecError when the edge exists."""
        with self.database.write() as tx:
            dependencies.add_edge(tx, parent, child, now=time.time())

    def set_parents(self, child: UUID, parents: Sequence[UUID]) -> None:
        """Replace the parents of a job; raises JobNotFound, CircularDependency."""
        with self.database.write() as tx:
            dependencies.set_parents(tx, child, parents, now=time.time())

    def parents(self, child: UUID) -> list[UUID]:
        """The ids of a job's parents."""
        with self.database.read() as tx:
            return dependencies.parents_of(tx, child)

    def parents_of(self, children: Sequence[UUID]) -> dict[UUID, list[UUID]]:
        """The ids of the parents of many jobs; jobs without parents are left out."""
        with self.database.read() as tx:
            return dependencies.parents_of_many(tx, children)

    def children(self, parent: UUID) -> list[UUID]:
        """The ids of a job's children."""
        with self.database.read() as tx:
            return dependencies.children_of(tx, [parent])

    # --- applications

    def add_app(self, app: AppSpec) -> None:
        """Add an application; raises JobSpecError when the name is taken."""
        with self.database.write() as tx:
            apps.insert_app(tx, app)

    def apps(self, name: str = "") -> list[AppSpec]:
        """The applications whose name holds `name`."""
        with self.database.read() as tx:
            return apps.select_apps(tx, name)

    def app(self, name: str) -> AppSpec:
        """One application; raises AppNotFound."""
        with self.database.read() as tx:
            return apps.find_app(tx, name)

    def change_app(self, name: str, values: Mapping[str, Any]) -> None:
        """Set fields of an application; raises AppNotFound, JobSpecError."""
        with self.database.write() as tx:
            apps.change_app(tx, name, values)

    def delete_apps(self, names: Sequence[str]) -> int:
        """Delete applications; their jobs stay."""
        with self.database.write() as tx:
            return apps.delete_apps(tx, names)

    # --- launchers

    def register_launcher(self, info: leases.LauncherInfo) -> None:
        """A launcher begins its lease."""
        with self.database.write(Access.FREE) as tx:
            leases.register(tx, info, now=time.time(), clock=self.database.lease_clock(tx))

    def heartbeat(self, launcher_id: UUID, jobs_done: int = 0) -> bool:
        """Renew a lease, and say how many jobs have ended well so far; False: it is over."""
        with self.database.write(Access.FREE) as tx:
            return leases.heartbeat(tx, launcher_id, jobs_done, clock=self.database.lease_clock(tx))

    def end_launcher(
        self, launcher_id: UUID, reason: str, jobs_done: int = 0, started: Iterable[tuple[UUID, int]] = ()
    ) -> None:
        """A launcher ends in order; what it had not started goes back. started: as for `take_back`."""
        with self.database.write() as tx:
            leases.end(tx, launcher_id, reason, jobs_done, started, now=time.time())

    def release_runs(self, launcher_id: UUID, started: Iterable[tuple[UUID, int]], message: str) -> int:
        """The workers of a live launcher are gone: what they ran is runnable again; how many jobs were running."""
        with self.database.write() as tx:
            return leases.release_runs(tx, launcher_id, started, message, now=time.time())

    def launchers(self, *, ended: bool = False) -> list[tuple[Row[Any], int]]:
        """The launchers with the number of jobs each holds; columns as in the table `launchers`."""
        with self.database.read() as tx:
            return leases.listed(tx, ended=ended)

    def expired_launchers(self, machine_id: str) -> list[leases.ExpiredLauncher]:
        """The launchers whose lease is over and whose jobs nobody has taken back."""
        with self.database.read() as tx:
            silent = self._silences.now(tx, self.database)
            return leases.expired(tx, machine_id=machine_id, boot_id=boot_id(), silent=silent)

    def take_back(self, dead: leases.ExpiredLauncher, started: Iterable[tuple[UUID, int]]) -> int:
        """Make the jobs of a dead launcher runnable again, after its processes were swept; how many were running."""
        with self.database.write() as tx:
            return leases.take_back(tx, dead, started, now=time.time())

    def claim(
        self,
        launcher_id: UUID,
        limits: claims.Limits,
        choose: Callable[[Sequence[Job]], Iterable[UUID]],
        *,
        page: int = 200,
    ) -> list[Job]:
        """Claim the runnable jobs that `choose` picks from the candidates."""
        with self.database.write(Access.SHARED) as tx:
            return claims.claim(tx, launcher_id, limits, choose, page=page)

    def give_back(self, launcher_id: UUID, job_ids: Iterable[UUID]) -> None:
        """Give back claimed jobs that were not started."""
        with self.database.write(Access.SHARED) as tx:
            claims.give_back(tx, launcher_id, job_ids)

    def held(self, launcher_id: UUID) -> dict[UUID, State]:
        """What a launcher holds; a job that it runs and that is missing here was taken away from it."""
        with self.database.read() as tx:
            return claims.held(tx, launcher_id)

    def others_may_release(self, launcher_id: UUID, workflow: str) -> bool:
        """Whether a job that waits for parents may yet run here, because another launcher is at work."""
        with self.database.read() as tx:
            return leases.others_may_release(tx, launcher_id, workflow)

    def report(
        self,
        launcher_id: UUID,
        starts: Sequence[reports.Start],
        results: Sequence[reports.Result],
        policy: RetryPolicy,
    ) -> reports.Recorded:
        """Record starts and results in one transaction."""
        with self.database.write(Access.SHARED) as tx:
            return reports.report(tx, launcher_id, starts, results, policy, now=time.time())

    # --- transitions

    def advance(self, workflow: str = "", page: int = advance.PAGE) -> int:
        """Move the jobs that need no work of their own as far as they go; how many moves, of new jobs about a page."""
        with self.database.write() as tx:
            return advance.advance(tx, workflow, now=time.time(), page=page)

    def claim_work(self, launcher_id: UUID, workflow: str, limit: int) -> list[Job]:
        """Claim jobs that wait for staging or a script."""
        with self.database.write(Access.SHARED) as tx:
            return advance.claim_work(tx, launcher_id, workflow, limit)

    def finish_work(self, launcher_id: UUID, job: Job, target: State, message: str = "") -> bool:
        """Move a job on after staging or a script; False: it was moved by hand meanwhile, and that stands."""
        with self.database.write(Access.SHARED) as tx:
            unchanged = and_(
                job_table.c.job_id == job.job_id,
                job_table.c.launcher_id == launcher_id,
                job_table.c.state == job.state.value,
            )
            return moves.move(tx, unchanged, target, now=time.time(), message=message) == 1

    # --- the site itself

    def adopt(self, machine_id: str, host: str) -> None:
        """Bind an SQLite site to this machine, or raise DatabaseError while another one's launcher uses it."""
        if self.database.serves_many_hosts:
            return
        with self.database.read() as tx:
            if facts.machine(tx) == machine_id:
                return
        with self.database.write() as tx:
            facts.adopt(tx, machine_id, host)

    def adopt_by_force(self, machine_id: str, host: str) -> None:
        """Bind an SQLite site to this machine; what another one's records say is overruled."""
        with self.database.write() as tx:
            facts.adopt_by_force(tx, machine_id, host, now=time.time())


def open_store(url: str | Database, *, journal: str = "WAL") -> Store:
    """The store of an existing database, after a look at its schema; raises SchemaMismatch, DatabaseError."""
    database = url if isinstance(url, Database) else open_database(url, journal=journal)
    database.check()
    return Store(database)


def create_store(url: str | Database, *, journal: str = "WAL") -> Store:
    """The store of a new, empty database."""
    database = url if isinstance(url, Database) else open_database(url, journal=journal)
    database.create()
    return Store(database)


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite file."""
    return f"sqlite:///{file}"


def _access_to_add(specs: Sequence[JobSpec]) -> Access:
    # New jobs without parents touch no row that is there.
    return Access.ALONE if any(spec.parents for spec in specs) else Access.SHARED
