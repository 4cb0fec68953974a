"""Our records of batch jobs, and who asks schedulers about them: the only writer of those rows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, and_, case, delete, func, insert, or_, select, update

from balsam_core.errors import JobSpecError, LaunchError
from balsam_core.models.batch import OPEN, BatchJob, BatchRequest, Change, Evidence, LaunchState, Pilot, Work
from balsam_core.state import leases
from balsam_core.state.database import Database
from balsam_core.state.filters import JobFilter
from balsam_core.state.hosts import boot_id, is_same_process, process_clock
from balsam_core.state.machine import RUNNABLE, State
from balsam_core.state.silences import Silences
from balsam_core.state.tables import batch_events, batch_jobs, facts, jobs, launchers, polls

# A scheduler that does not answer is asked ever more rarely, up to this.
_LONGEST_WAIT_SECONDS = 300.0
# After days of failures the power would be more than a float holds.
_MOST_DOUBLINGS = 60
# The service holds a lease as launchers do, in the same table, and is told from them by its mode.
SERVICE = "service"
_RESUMED = "service_resumed_at"
_LIVE_SERVICE = select(launchers).where(launchers.c.job_mode == SERVICE, launchers.c.ended_at.is_(None))


class BatchStore:
    """The batch jobs of one site; raises DatabaseError as `Store` does."""

    def __init__(self, database: Database, silences: Silences) -> None:
        self._database = database
        self._silences = silences

    def record(
        self, scheduler: str, machine_id: str, request: Callable[[int], BatchRequest], check: Callable[[int], None]
    ) -> BatchRequest:
        """Record a batch job as SUBMITTING, before its submit command runs by this very process; its request.

        request: makes it from its number. check: told how many batch jobs are open in its queue; raises to refuse.
        """
        pid = os.getpid()
        with self._database.write() as tx:
            number = _next_number(tx)
            asked = request(number)
            in_queue = and_(
                batch_jobs.c.state.in_([state.value for state in OPEN]),
                batch_jobs.c.scheduler == scheduler,
                batch_jobs.c.queue == asked.queue,
            )
            check(tx.execute(select(func.count()).where(in_queue)).scalar_one())
            fields = ("launch_id", "tag", "nodes", "time_limit_minutes", "queue", "project", "job_mode", "wf_filter")
            row = {name: getattr(asked, name) for name in (*fields, "workdir", "output_prefix")}
            row |= {"number": number, "scheduler": scheduler, "state": LaunchState.SUBMITTING.value}
            row |= {"created_at": time.time(), "state_at": time.time(), "submitter_machine": machine_id}
            row |= {"submitter_boot": boot_id(), "submitter_pid": pid, "submitter_clock": process_clock(pid) or 0.0}
            tx.execute(insert(batch_jobs).values(**row))
            return asked

    def next_number(self) -> int:
        """The number of the next batch job, if nobody else submits one before."""
        with self._database.read() as tx:
            return _next_number(tx)

    def apply(self, changes: Iterable[Change]) -> list[Change]:
        """Make changes, each only while the record is where it is said to be; those that were made.

        A change that keeps the state updates columns and leaves no event.
        """
        made = []
        with self._database.write() as tx:
            for change in changes:
                still = (batch_jobs.c.launch_id == change.launch_id) & (batch_jobs.c.state == change.old.value)
                moved = {} if change.new is change.old else {"state": change.new.value, "state_at": time.time()}
                values = {**change.values, **moved}
                if values and tx.execute(update(batch_jobs).where(still).values(**values)).rowcount:
                    made.append(change)
                    if moved:
                        tx.execute(insert(batch_events).values(**_event(change)))
        return made

    def note(self, launch_id: UUID, message: str, evidence: Evidence | None) -> None:
        """Keep in the history what changed no state: an answer that was none."""
        with self._database.write() as tx:
            state = tx.execute(select(batch_jobs.c.state).where(batch_jobs.c.launch_id == launch_id)).scalar_one()
            same = LaunchState(state)
            tx.execute(insert(batch_events).values(**_event(Change(launch_id, same, same, message, {}, evidence))))

    def launcher_begins(self, launch_id: UUID, scheduler_id: str | None, where: str) -> bool:
        """The launcher of a batch job has begun: whatever was thought of it, it runs. False: there is no record."""
        with self._database.write() as tx:
            row = tx.execute(select(batch_jobs).where(batch_jobs.c.launch_id == launch_id)).first()
            if row is None:
                return False
            values: dict[str, Any] = {"state": LaunchState.RUNNING.value, "absent_since": None}
            if row.state != LaunchState.RUNNING.value:
                values["state_at"] = time.time()
            if row.scheduler_id is None:
                values["scheduler_id"] = scheduler_id
            tx.execute(update(batch_jobs).where(batch_jobs.c.launch_id == launch_id).values(**values))
            message = f"its launcher began on {where}"
            change = Change(launch_id, LaunchState(row.state), LaunchState.RUNNING, message)
            tx.execute(insert(batch_events).values(**_event(change)))
            return True

    def select(self, *, machine_id: str, states: Sequence[LaunchState] = (), scheduler: str = "") -> list[BatchJob]:
        """The batch jobs, oldest first: all, or those in these states and of this scheduler."""
        query = select(batch_jobs).order_by(batch_jobs.c.number)
        if states:
            query = query.where(batch_jobs.c.state.in_([state.value for state in states]))
        if scheduler:
            query = query.where(batch_jobs.c.scheduler == scheduler)
        with self._database.read() as tx:
            pilots = self._pilots(tx, machine_id)
            return [_batch_job(row, machine_id, pilots.get(row.launch_id)) for row in tx.execute(query)]

    def find(self, name: str, machine_id: str) -> BatchJob:
        """The one batch job that is meant by its number, its scheduler's id, its tag or the beginning of its launch id.

        Some schedulers count from 1, too: what is a number of ours never means an id. Raises JobSpecError.
        """
        every = self.select(machine_id=machine_id)
        found = [one for one in every if name == str(one.number)]
        found = found or [one for one in every if name in (one.scheduler_id, one.tag)]
        found = found or [one for one in every if len(name) >= 4 and str(one.launch_id).startswith(name)]
        if len(found) == 1:
            return found[0]
        if found:
            choices = ", ".join(f"{one.number} ({one})" for one in found)
            raise JobSpecError(f"{name!r} means several batch jobs: {choices}; give the number")
        raise JobSpecError(f"no batch job is called {name!r}; `balsam ls queues --history` lists them")

    def history(self, launch_ids: Sequence[UUID]) -> list[Row[Any]]:
        """The events of these batch jobs, oldest first; columns as in the table `batch_events`."""
        query = select(batch_events).where(batch_events.c.launch_id.in_(launch_ids)).order_by(batch_events.c.event_id)
        with self._database.read() as tx:
            return list(tx.execute(query))

    # --- the service

    def backlog(self, workflow: str, mode: Callable[[bool], str], assumed_minutes: int) -> list[Work]:
        """The jobs that may start now or soon and that no launcher holds, alike ones together.

        mode: which job mode runs jobs that are parallel, or are not. assumed_minutes: of jobs that say no time.
        """
        parallel = or_(jobs.c.num_nodes > 1, jobs.c.ranks_per_node > 1)
        nodes = jobs.c.num_nodes + jobs.c.coschedule_num_nodes
        minutes = func.coalesce(jobs.c.wall_time_minutes, assumed_minutes)
        packing = case((parallel, 1), else_=jobs.c.node_packing_count)
        kinds = (parallel, nodes, packing, minutes)
        soon = [*RUNNABLE, State.CREATED, State.READY, State.STAGED_IN]
        wanted = JobFilter(workflow=workflow, states=soon).where()
        free = or_(jobs.c.unmet_parents == 0, jobs.c.wait_for_parents.is_(False))
        query = select(*kinds, func.count()).where(wanted, free, jobs.c.launcher_id.is_(None), jobs.c.hold.is_(False))
        with self._database.read() as tx:
            rows = tx.execute(query.group_by(*kinds)).all()
        # A job may declare that it takes no time; some minute it does take.
        return [Work(mode(bool(row[0])), row[1], row[2], max(row[3], 1), row[4]) for row in rows]

    def begin_service(self, info: leases.LauncherInfo) -> None:
        """Begin the lease of the site's service; raises LaunchError, which names the other one, while one lives."""
        with self._database.write() as tx:
            clock = self._database.lease_clock(tx)
            silent = self._silences.now(tx, self._database)
            expired = leases.expired(tx, machine_id=info.machine_id, boot_id=info.boot_id, silent=silent)
            over = {dead.launcher_id: dead for dead in expired}
            for other in tx.execute(_LIVE_SERVICE).all():
                if other.launcher_id in over:
                    leases.take_back(tx, over[other.launcher_id], (), now=time.time())
                    continue
                raise LaunchError(
                    f"the service of this site runs already, on {other.host} with pid {other.pid}; "
                    "`balsam service stop` ends it"
                )
            leases.register(tx, info, now=time.time(), clock=clock)

    def service(self) -> Row[Any] | None:
        """The service that lives; columns as in the table `launchers`."""
        with self._database.read() as tx:
            return tx.execute(_LIVE_SERVICE).first()

    def resume(self) -> None:
        """Forget the failures of batch jobs until now."""
        with self._database.write() as tx:
            tx.execute(delete(facts).where(facts.c.name == _RESUMED))
            tx.execute(insert(facts).values(name=_RESUMED, value=repr(time.time())))

    def resumed_at(self) -> float:
        """When the service was last told to go on, in seconds since the epoch; 0: never."""
        with self._database.read() as tx:
            value = tx.execute(select(facts.c.value).where(facts.c.name == _RESUMED)).scalar()
        return float(value or 0.0)

    # --- polls

    def begin_poll(self, scheduler: str, interval_seconds: float, timeout_seconds: float) -> bool:
        """Whether the caller is to ask this scheduler now; False: another does, or it was asked a moment ago.

        The interval doubles with every failure. Who asks calls `end_poll`; who died is overtaken after the timeout.
        """
        with self._database.write() as tx:
            clock = self._database.lease_clock(tx)
            row = _poll(tx, scheduler)
            if row is not None:
                doubled = interval_seconds * 2.0 ** min(row.failures, _MOST_DOUBLINGS)
                wait = min(doubled, max(interval_seconds, _LONGEST_WAIT_SECONDS))
                # A clock that stands before the last question belongs to another boot.
                if 0 <= clock - row.asked_at < (timeout_seconds if row.asking else wait):
                    return False
                tx.execute(update(polls).where(_of(scheduler)).values(asked_at=clock, asking=True))
            else:
                first = {"scheduler": scheduler, "asked_at": clock, "asking": True, "failures": 0, "message": ""}
                tx.execute(insert(polls).values(**first))
            return True

    def end_poll(self, scheduler: str, problem: str = "") -> None:
        """The scheduler has answered, or not: `problem` says why."""
        with self._database.write() as tx:
            row = _poll(tx, scheduler)
            failures = 0 if not problem or row is None else row.failures + 1
            tx.execute(update(polls).where(_of(scheduler)).values(asking=False, failures=failures, message=problem))

    def poll(self, scheduler: str) -> tuple[float, bool, str] | None:
        """How long ago a scheduler was asked (seconds), whether somebody is asking, and why it gave no answer."""
        with self._database.read() as tx:
            row = _poll(tx, scheduler)
            clock = self._database.lease_clock(tx)
        return None if row is None else (max(clock - row.asked_at, 0.0), row.asking, row.message)

    def clock(self) -> float:
        """The lease clock, in seconds."""
        with self._database.read() as tx:
            return self._database.lease_clock(tx)

    def _pilots(self, tx: Connection, machine_id: str) -> Mapping[UUID, Pilot]:
        silent = self._silences.now(tx, self._database)
        dead = leases.expired(tx, machine_id=machine_id, boot_id=boot_id(), silent=silent)
        over = {launcher.launcher_id for launcher in dead}
        pilots: dict[UUID, Pilot] = {}
        query = select(launchers).where(launchers.c.launch_id.is_not(None)).order_by(launchers.c.started_at)
        for row in tx.execute(query):
            before = pilots.get(row.launch_id)
            live = row.ended_at is None and row.launcher_id not in over
            pilots[row.launch_id] = Pilot(
                live=live or bool(before and before.live),
                in_order=row.ended_at is not None and not row.expired and (before is None or before.in_order),
                reason=row.end_reason,
                jobs_done=row.jobs_done + (before.jobs_done if before else 0),
                batch_job_id=row.batch_job_id,
            )
        return pilots


def _next_number(tx: Connection) -> int:
    return (tx.execute(select(func.max(batch_jobs.c.number))).scalar() or 0) + 1


def _batch_job(row: Row[Any], machine_id: str, pilot: Pilot | None) -> BatchJob:
    values = {name: value for name, value in row._mapping.items() if not name.startswith("submitter_")}
    values["state"] = LaunchState(row.state)
    submitting = values["state"] is LaunchState.SUBMITTING and _is_submitting(row, machine_id)
    return BatchJob(**values, submitting=submitting, pilot=pilot)


def _is_submitting(row: Row[Any], machine_id: str) -> bool:
    """Whether the process that runs the submit command lives.

    That of another machine cannot be seen; the grace of a new record outlasts its command.
    """
    here = row.submitter_machine == machine_id and row.submitter_boot == boot_id()
    return here and is_same_process(row.submitter_pid, row.submitter_clock)


def _event(change: Change) -> dict[str, Any]:
    evidence = asdict(change.evidence) if change.evidence else {}
    return {
        "launch_id": change.launch_id,
        "from_state": change.old.value,
        "to_state": change.new.value,
        "at": time.time(),
        "message": change.message,
        "evidence": evidence,
    }


def _poll(tx: Connection, scheduler: str) -> Row[Any] | None:
    return tx.execute(select(polls).where(_of(scheduler))).first()


def _of(scheduler: str) -> Any:
    return polls.c.scheduler == scheduler
