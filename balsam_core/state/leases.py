"""Launchers and their leases: registration, heartbeats, the end, and what becomes of the jobs that they held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, exists, func, insert, select, update
from sqlalchemy.sql import ColumnElement, and_, true

from balsam_core.state.filters import workflow_is
from balsam_core.state.hosts import is_same_process
from balsam_core.state.machine import PROCESSABLE, State
from balsam_core.state.moves import move, words
from balsam_core.state.prepared import Prepared
from balsam_core.state.reports import record_unseen_starts
from balsam_core.state.tables import dependencies, jobs, launchers


@dataclass(frozen=True)
class LauncherInfo:
    """A launcher process as it registers: who it is, where it runs, what it is there for."""

    launcher_id: UUID
    machine_id: str
    boot_id: str
    host: str
    pid: int
    process_clock: float
    job_mode: str
    wf_filter: str
    nodes: int
    lease_seconds: float
    batch_job_id: str | None = None
    launch_id: UUID | None = None


@dataclass(frozen=True)
class ExpiredLauncher:
    """A launcher whose lease is over; `why` says how we know. processes: (pid, boot clock) of what it ran."""

    launcher_id: UUID
    machine_id: str
    boot_id: str
    host: str
    pid: int
    process_clock: float
    why: str
    processes: tuple[tuple[int, float], ...]


def register(tx: Connection, info: LauncherInfo, *, now: float, clock: float) -> None:
    """Insert a launcher's row; its lease begins."""
    tx.execute(insert(launchers).values(**info.__dict__, heartbeat=clock, started_at=now))


def heartbeat(tx: Connection, launcher_id: UUID, jobs_done: int, *, clock: float) -> bool:
    """Renew a lease; False: it was declared over, and nothing that this launcher holds is its own any more."""
    mine = and_(launchers.c.launcher_id == launcher_id, launchers.c.ended_at.is_(None))
    return tx.execute(update(launchers).where(mine).values(heartbeat=clock, jobs_done=jobs_done)).rowcount == 1


def is_live(tx: Connection, launcher_id: UUID) -> bool:
    """Whether a launcher's lease has not been ended."""
    query = select(launchers.c.launcher_id).where(
        launchers.c.launcher_id == launcher_id, launchers.c.ended_at.is_(None)
    )
    return tx.execute(query).first() is not None


def end(
    tx: Connection,
    launcher_id: UUID,
    reason: str,
    jobs_done: int,
    started: Iterable[tuple[UUID, int]],
    *,
    now: float,
) -> None:
    """End a lease in order: what was claimed but not started goes back, what is running still is RESTART_READY.

    started: as for `take_back`.
    """
    if _end_lease(tx, launcher_id, now=now, end_reason=reason, jobs_done=jobs_done):
        record_unseen_starts(tx, launcher_id, started, now=now)
        _release_all(tx, launcher_id, f"its launcher ended before it: {reason}", now=now)


def release_runs(
    tx: Connection, launcher_id: UUID, started: Iterable[tuple[UUID, int]], message: str, *, now: float
) -> int:
    """The workers of a live launcher are gone: what they ran is RESTART_READY, what waited goes back; how many ran.

    started: as for `take_back`. Jobs that the launcher holds for a script or staging stay its own.
    """
    record_unseen_starts(tx, launcher_id, started, now=now)
    not_in_work = jobs.c.state.not_in(words(PROCESSABLE))
    return _release(tx, and_(jobs.c.launcher_id == launcher_id, not_in_work), message, now=now)


def listed(tx: Connection, *, ended: bool) -> list[tuple[Row[Any], int]]:
    """The launchers, oldest first, each with the number of jobs that it holds; with `ended`, those of the past too."""
    held_by = select(func.count()).where(jobs.c.launcher_id == launchers.c.launcher_id).scalar_subquery()
    query = select(launchers, held_by).order_by(launchers.c.started_at)
    if not ended:
        query = query.where(launchers.c.ended_at.is_(None))
    return [(row, row[-1]) for row in tx.execute(query)]


def heartbeats(tx: Connection) -> dict[UUID, float]:
    """The last heartbeat of every launcher whose lease was not ended, on the database's clock."""
    query = select(launchers.c.launcher_id, launchers.c.heartbeat).where(launchers.c.ended_at.is_(None))
    return {row.launcher_id: row.heartbeat for row in tx.execute(query)}


def expired(tx: Connection, *, machine_id: str, boot_id: str, silent: Mapping[UUID, float]) -> list[ExpiredLauncher]:
    """The launchers whose lease is over: no heartbeat for its length, or a process of this machine that is gone.

    silent: for how many seconds each has been silent.
    """
    found = []
    for row in tx.execute(select(launchers).where(launchers.c.ended_at.is_(None))):
        why = _why_expired(row, machine_id, boot_id, silent.get(row.launcher_id, 0.0))
        if why:
            running = select(jobs.c.pid, jobs.c.pid_clock).where(
                jobs.c.launcher_id == row.launcher_id, jobs.c.pid.is_not(None)
            )
            processes = tuple((pid, started) for pid, started in tx.execute(running))
            found.append(
                ExpiredLauncher(
                    row.launcher_id,
                    row.machine_id,
                    row.boot_id,
                    row.host,
                    row.pid,
                    row.process_clock,
                    why,
                    processes,
                )
            )
    return found


def take_back(tx: Connection, dead: ExpiredLauncher, started: Iterable[tuple[UUID, int]], *, now: float) -> int:
    """Return the jobs of a dead launcher; the running ones become RESTART_READY. How many those were.

    `started`: attempts that its journal shows as started; those that the database had not yet seen start are recorded.
    """
    if not _end_lease(tx, dead.launcher_id, now=now, end_reason=dead.why, expired=True):
        return 0
    record_unseen_starts(tx, dead.launcher_id, started, now=now)
    whose = f"launcher {str(dead.launcher_id)[:8]} on {dead.host} (pid {dead.pid})"
    return _release_all(tx, dead.launcher_id, f"the lease of {whose} expired: {dead.why}", now=now)


def others_may_release(tx: Connection, launcher_id: UUID, workflow: str) -> bool:
    """Whether jobs of `workflow` wait for parents while another launcher holds jobs that have children."""
    here = workflow_is(workflow) if workflow else true()
    waiting = exists().where(here, jobs.c.state == State.AWAITING_PARENTS.value, jobs.c.hold.is_(False))
    has_children = exists().where(dependencies.c.parent_id == jobs.c.job_id)
    elsewhere = exists().where(jobs.c.launcher_id.is_not(None), jobs.c.launcher_id != launcher_id, has_children)
    return bool(tx.execute(select(and_(elsewhere, waiting))).scalar())


def _why_expired(row: Any, machine_id: str, boot_id: str, silent: float) -> str:
    if row.machine_id == machine_id:
        if row.boot_id != boot_id:
            return "the machine was booted anew"
        if not is_same_process(row.pid, row.process_clock):
            return "its process is gone"
    return f"no heartbeat for {silent:.0f} s" if silent > row.lease_seconds else ""


def _end_lease(tx: Connection, launcher_id: UUID, *, now: float, **facts: Any) -> bool:
    live = and_(launchers.c.launcher_id == launcher_id, launchers.c.ended_at.is_(None))
    return tx.execute(update(launchers).where(live).values(ended_at=now, **facts)).rowcount == 1


def _release_all(tx: Connection, launcher_id: UUID, message: str, *, now: float) -> int:
    return _release(tx, jobs.c.launcher_id == launcher_id, message, now=now)


def _release(tx: Connection, held: ColumnElement[bool], message: str, *, now: float) -> int:
    running = and_(held, jobs.c.state == State.RUNNING.value)
    released = move(tx, running, State.RESTART_READY, now=now, message=message, also={"pid": None})
    tx.execute(update(jobs).where(held).values(launcher_id=None, pid=None))
    return released


_LIVE = Prepared(
    select(launchers.c.pid).where(launchers.c.launcher_id == bindparam("launcher"), launchers.c.ended_at.is_(None)),
    ["launcher"],
)
