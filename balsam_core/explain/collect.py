"""Reads what is known of a job, a batch job or a launcher from the site; changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, text
from sqlalchemy.sql import ColumnElement, and_, or_

from balsam_core.batch.script import margin_seconds
from balsam_core.errors import AppNotFound, JobSpecError
from balsam_core.explain import files
from balsam_core.explain.facts import (
    HeldJob,
    JobFacts,
    LauncherFacts,
    LaunchFacts,
    LaunchMove,
    Move,
    NodeShape,
    OneLauncher,
    Relative,
    WaitingLaunch,
)
from balsam_core.explain.takers import Offer, refusal, share_of
from balsam_core.launcher.hints import UNFINISHED
from balsam_core.launcher.modes import need_of
from balsam_core.models.app import AppSpec
from balsam_core.models.batch import OPEN, BatchJob
from balsam_core.models.job import Job
from balsam_core.models.nodes import Node
from balsam_core.programs import missing_programs
from balsam_core.settings import Settings
from balsam_core.site import Site
from balsam_core.state.filters import JobFilter
from balsam_core.state.hosts import boot_id
from balsam_core.state.machine import BROKEN, RUNNABLE, State
from balsam_core.state.moves import BECAUSE_OF_PARENT
from balsam_core.state.store import Store
from balsam_core.state.tables import CLAIM_ORDER, CLAIMABLE, jobs
from balsam_core.workdirs import Workdirs

_LOOKED_AT = 1_000
_HELD_SHOWN = 10


@dataclass(frozen=True)
class Collector:
    """Reads one site; now: seconds since the epoch. Raises DatabaseError, as `Store` does."""

    site: Site
    settings: Settings
    store: Store
    machine_id: str
    now: float

    def job(self, part_of_id: str) -> JobFacts:
        """All that bears on one job; raises JobNotFound."""
        job = self.store.find_job(part_of_id)
        moves = self._moves(job)
        workdirs = Workdirs(self.site.data)
        batch_jobs = self._batch_jobs()
        launchers = self._launchers(batch_jobs, also=job.launcher_id)
        app = self._app(job.application)
        minutes = None if job.wall_time_minutes is None else _minutes_for(job.wall_time_minutes, self._grace)
        return JobFacts(
            job=job,
            now=self.now,
            moves=moves,
            app=app,
            missing=() if app is None else tuple(_missing(app)),
            parents=self._parents(job.job_id),
            root=self._root(job, moves),
            holder=launchers.get(job.launcher_id) if job.launcher_id else None,
            launchers=tuple(one for one in launchers.values() if one.is_live and not one.is_service),
            service=next((one for one in launchers.values() if one.is_live and one.is_service), None),
            launches=self._waiting_launches(batch_jobs.values()),
            ahead=self._ahead(job),
            shape=self._shape,
            scheduler=self.settings.scheduler.name,
            minutes=minutes,
            output=files.output(workdirs, job),
            script_log=files.script_log(workdirs, job, moves),
        )

    def launch(self, name: str, problems: Mapping[str, str]) -> LaunchFacts:
        """All that bears on one batch job; problems: why schedulers gave no answer. Raises JobSpecError."""
        job = self.store.batches.find(name, self.machine_id)
        usable = _usable_seconds(job, self._grace)
        poll = self.store.batches.poll(job.scheduler)
        over = self._over()
        looked_at = self._runnable(job.wf_filter or "")
        refused = self._refused(looked_at, Offer(job.job_mode, job.wf_filter or "", job.nodes, usable))
        return LaunchFacts(
            job=job,
            now=self.now,
            usable_seconds=usable,
            answer_seconds=None if poll is None else poll[0],
            problem=problems.get(job.scheduler, ""),
            moves=tuple(map(_launch_move, self.store.batches.history([job.launch_id]))),
            launchers=tuple(
                self._launcher(row, {job.launch_id: job}, over)
                for row, _ in self.store.launchers(ended=True)
                if row.launch_id == job.launch_id
            ),
            would_run=self.store.count_by_state(JobFilter(workflow=job.wf_filter or "", states=UNFINISHED)),
            looked_at=len(looked_at),
            fits=len(looked_at) - sum(refused.values()),
            refused=dict(refused.most_common()),
            outputs=files.launch_outputs(Path(job.output_prefix)),
        )

    def launcher(self, part_of_id: str) -> OneLauncher:
        """All that bears on one launcher; raises JobSpecError."""
        found = [row for row, _ in self.store.launchers(ended=True) if str(row.launcher_id).startswith(part_of_id)]
        if not found or not part_of_id:
            raise JobSpecError(f"no launcher has the id {part_of_id!r}; `balsam ls launchers --verbose` lists them")
        if len(found) > 1:
            listed = ", ".join(str(row.launcher_id) for row in found[:5])
            raise JobSpecError(f"the id {part_of_id!r} fits several launchers: {listed}; give more of it")
        launcher = self._launcher(found[0], self._batch_jobs(), self._over())
        held = self.store.jobs(_Where(jobs.c.launcher_id == launcher.launcher_id), limit=_HELD_SHOWN)
        shown = tuple(HeldJob(job.job_id, job.name, job.state, job.node, job.pid) for job in held)
        return OneLauncher(launcher, self.now, shown, files.launcher_log(self.site.log, launcher))

    # --- launchers and batch jobs

    @property
    def _grace(self) -> float:
        return self.settings.launcher.stop_grace_seconds

    @property
    def _shape(self) -> NodeShape:
        return NodeShape(self.settings.nodes.gpus, self.settings.nodes.memory_mb)

    def _batch_jobs(self) -> dict[UUID, BatchJob]:
        return {job.launch_id: job for job in self.store.batches.select(machine_id=self.machine_id)}

    def _launchers(self, batch_jobs: Mapping[UUID, BatchJob], also: UUID | None) -> dict[UUID, LauncherFacts]:
        """Those that have not ended, and the one with the id `also`."""
        rows = [row for row, _ in self.store.launchers()]
        if also is not None and all(row.launcher_id != also for row in rows):
            rows += [row for row, _ in self.store.launchers(ended=True) if row.launcher_id == also]
        over = self._over()
        return {row.launcher_id: self._launcher(row, batch_jobs, over) for row in rows}

    def _over(self) -> dict[UUID, str]:
        """Why the leases of launchers are over whose jobs nobody has taken back."""
        return {dead.launcher_id: dead.why for dead in self.store.expired_launchers(self.machine_id)}

    def _launcher(self, row: Any, batch_jobs: Mapping[UUID, BatchJob], over: Mapping[UUID, str]) -> LauncherFacts:
        held = self._held(row.launcher_id)
        states: Counter[State] = Counter()
        for job, count in held:
            states[job.state] += count
        # Leases are counted on the clock of one boot, unless the database serves many hosts and has its own.
        shared = self.store.database.serves_many_hosts
        comparable = shared or (row.machine_id == self.machine_id and row.boot_id == boot_id())
        batch_job = batch_jobs.get(row.launch_id)
        return LauncherFacts(
            launcher_id=row.launcher_id,
            host=row.host,
            pid=row.pid,
            job_mode=row.job_mode,
            workflow=row.wf_filter,
            nodes=row.nodes,
            started_at=row.started_at,
            lease_seconds=row.lease_seconds,
            over=over.get(row.launcher_id, ""),
            ended_at=row.ended_at,
            end_reason=row.end_reason,
            expired=row.expired,
            batch_job=batch_job,
            scheduler_id=row.batch_job_id,
            jobs_done=row.jobs_done,
            held={state: states[state] for state in State if state in states},
            nodes_taken=sum((count * share_of(job) for job, count in held if job.state is State.RUNNING), Fraction()),
            most_seconds_left=None if batch_job is None else self._most_seconds_left(row.started_at, batch_job),
            silent_seconds=max(0.0, self.store.batches.clock() - row.heartbeat) if comparable else None,
        )

    def _held(self, launcher_id: UUID) -> list[tuple[Job, int]]:
        """Of the jobs that a launcher holds the oldest of each state and size, and how many are like it."""
        alike = (jobs.c.state, jobs.c.num_nodes, jobs.c.ranks_per_node, jobs.c.node_packing_count)
        held = jobs.c.launcher_id == launcher_id
        query: Select[Any] = select(func.min(jobs.c.seq)).add_columns(func.count()).where(held).group_by(*alike)
        counts: dict[int, int] = dict(map(tuple, self.store.rows(query)))
        return [(job, counts[job.seq]) for job in self.store.jobs(_Where(jobs.c.seq.in_(counts)))]

    def _most_seconds_left(self, started_at: float, job: BatchJob) -> float:
        """For jobs, of the launcher of a batch job: by its own time limit, and by the scheduler's last words."""
        bounds = [started_at + _usable_seconds(job, self._grace) - self.now]
        if job.seconds_left is not None and job.seen_at is not None:
            bounds.append(job.seen_at + job.seconds_left - self.now)
        return min(bounds)

    def _waiting_launches(self, batch_jobs: Iterable[BatchJob]) -> tuple[WaitingLaunch, ...]:
        waiting = (job for job in batch_jobs if job.state in OPEN and not (job.pilot and job.pilot.live))
        return tuple(WaitingLaunch(job, _usable_seconds(job, self._grace)) for job in waiting)

    def _runnable(self, workflow: str) -> list[Job]:
        wanted = _Claimable(JobFilter(workflow=workflow).where())
        # As they are claimed, which has an index; for the oldest SQLite would look through all jobs.
        return self.store.jobs(wanted, limit=_LOOKED_AT, order=(text(CLAIM_ORDER),))

    def _refused(self, runnable: Sequence[Job], offer: Offer) -> Counter[str]:
        # A thousand jobs have few shapes, and each answer looks at all nodes.
        known: dict[Any, str | None] = {}
        reasons: Counter[str] = Counter()
        for job in runnable:
            shape = (need_of(job, Node("", "")), job.num_ranks, job.ranks_per_node, job.workflow)
            if shape not in known:
                known[shape] = refusal(job, offer, self._shape)
            if (reason := known[shape]) is not None:
                reasons[reason] += 1
        return reasons

    # --- the job itself

    def _moves(self, job: Job) -> tuple[Move, ...]:
        rows = self.store.history([job.job_id])
        return tuple(Move(row.attempt, row.from_state, row.to_state, row.at, row.message) for row in rows)

    def _app(self, name: str) -> AppSpec | None:
        try:
            return self.store.app(name)
        except AppNotFound:
            return None

    def _parents(self, job_id: UUID) -> tuple[Relative, ...]:
        found = self.store.jobs_by_id(self.store.parents(job_id))
        return tuple(Relative(job.job_id, job.name, job.state, job.hold) for job in found.values())

    def _root(self, job: Job, moves: Sequence[Move]) -> Relative | None:
        """The first that failed, of those for whose sake the job has."""
        root: Relative | None = None
        current, message = job.job_id, moves[-1].message if moves else ""
        while message.startswith(BECAUSE_OF_PARENT):
            above = next((parent for parent in self._parents(current) if parent.state in BROKEN), None)
            if above is None:
                return root
            root, current = above, above.job_id
            history = self.store.history([current])
            message = history[-1].message if history else ""
        return root

    def _ahead(self, job: Job) -> int:
        if job.state not in RUNNABLE or job.launcher_id is not None:
            return 0
        # Not counted by state: then SQLite would leave the index of the claims.
        query = select(func.count()).select_from(jobs).where(_Claimable(_comes_before(job)).where())
        ((ahead,),) = self.store.rows(query)
        return int(ahead)


def _missing(app: AppSpec) -> Iterable[str]:
    return (f"the {field} cannot run: {wrong}" for field, wrong in missing_programs(app))


def _usable_seconds(job: BatchJob, grace_seconds: float) -> float:
    """How long the launcher of a batch job has for jobs."""
    return job.time_limit_minutes * 60 - margin_seconds(job.time_limit_minutes) - grace_seconds


def _minutes_for(wall_time_minutes: int, grace_seconds: float) -> int:
    """The shortest batch job that has time for a job, in minutes."""
    minutes = max(wall_time_minutes, 1)
    while minutes * 60 - margin_seconds(minutes) - grace_seconds < wall_time_minutes * 60:
        minutes += 1
    return minutes


def _launch_move(row: Any) -> LaunchMove:
    shown = row.evidence or {}
    return LaunchMove(
        row.from_state,
        row.to_state,
        row.at,
        row.message,
        " ".join(shown.get("argv", ())),
        "\n".join(part for part in (shown.get("stdout"), shown.get("stderr")) if part),
    )


def _comes_before(job: Job) -> ColumnElement[bool]:
    """The order in which launchers claim, as in CLAIM_ORDER."""
    same_priority = jobs.c.priority == job.priority
    return or_(
        jobs.c.priority > job.priority,
        and_(same_priority, jobs.c.num_nodes > job.num_nodes),
        and_(same_priority, jobs.c.num_nodes == job.num_nodes, jobs.c.seq < job.seq),
    )


@dataclass(frozen=True)
class _Where:
    which: ColumnElement[bool]

    def where(self) -> ColumnElement[bool]:
        return self.which


@dataclass(frozen=True)
class _Claimable:
    which: ColumnElement[bool]

    def where(self) -> ColumnElement[bool]:
        claimable: ColumnElement[bool] = text(CLAIMABLE)  # type: ignore[assignment]
        return and_(claimable, self.which)
