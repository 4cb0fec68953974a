"""What users do to jobs by hand: move them to any state, kill them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, case, select, update
from sqlalchemy.sql import ColumnElement, and_, or_

from balsam_core.models.job import Job
from balsam_core.state.dependencies import descendants_of, settle_waiting
from balsam_core.state.jobs import change_jobs, select_jobs
from balsam_core.state.machine import PROCESSABLE, State, check_by_hand, origins
from balsam_core.state.moves import HELD_WHILE_RUNNING, RUNS, chunks, move_each, words
from balsam_core.state.tables import jobs

_CHUNK = 500

# A script that moves its own job goes on.
_HELD_WHILE_AT_WORK = case((or_(RUNS, jobs.c.state.in_(words(PROCESSABLE))), jobs.c.launcher_id), else_=None)


def move_by_hand(tx: Connection, where: ColumnElement[bool], target: State, *, now: float, message: str = "") -> int:
    """Move jobs to any state, as a user may; how many were moved.

    Their automatic reruns are counted from the start again. Raises InvalidState when none of them may be moved.
    """
    found = _states(tx, where)
    if set(found.values()) == {State.USER_KILLED}:
        check_by_hand(State.USER_KILLED, target)
    return _move(tx, found, target, now=now, message=message)


def update_jobs(
    tx: Connection,
    where: ColumnElement[bool],
    values: Mapping[str, Any],
    target: State | None,
    *,
    now: float,
    message: str = "",
    holder: UUID | None = None,
) -> int:
    """Set fields of jobs and move them by hand, as one change; how many jobs that was.

    Those that are USER_KILLED stay so, and are left alone when a `target` is asked for. holder: jobs that this launcher
    holds stay with it wherever they are moved.
    """
    found = _states(tx, where)
    if target is not None and target is not State.USER_KILLED:
        found = {job_id: state for job_id, state in found.items() if state is not State.USER_KILLED}
    if values:
        for chunk in chunks(found, _CHUNK):
            change_jobs(tx, jobs.c.job_id.in_(chunk), values, now=now, known_apps_only=False, holder=holder)
    if target is not None:
        _move(tx, found, target, now=now, message=message, holder=holder)
    return len(found)


def begin_elsewhere(tx: Connection, begun: Mapping[UUID, tuple[State, str]], *, now: float) -> None:
    """Move new jobs to the states in which they begin, each with what its history says of that."""
    groups: dict[tuple[State, str], dict[UUID, State]] = {}
    for job_id, beginning in begun.items():
        groups.setdefault(beginning, {})[job_id] = State.CREATED
    for (state, why), jobs_of_group in groups.items():
        _move(tx, jobs_of_group, state, now=now, message=why)


def acquire(tx: Connection, holder: UUID, job_ids: Iterable[UUID]) -> list[UUID]:
    """Give the jobs that nobody holds to a launcher, for a program that works on them itself; which those were."""
    acquired: list[UUID] = []
    for chunk in chunks(job_ids, _CHUNK):
        free = and_(jobs.c.job_id.in_(chunk), jobs.c.launcher_id.is_(None))
        ids = list(tx.execute(select(jobs.c.job_id).where(free).order_by(jobs.c.seq)).scalars())
        tx.execute(update(jobs).where(jobs.c.job_id.in_(ids)).values(launcher_id=holder))
        acquired += ids
    return acquired


def release(tx: Connection, holder: UUID, where: ColumnElement[bool]) -> int:
    """Take jobs back from the launcher that acquired them, as they are; how many it held."""
    mine = and_(where, jobs.c.launcher_id == holder)
    return tx.execute(update(jobs).where(mine).values(launcher_id=None)).rowcount


def kill(tx: Connection, where: ColumnElement[bool], *, recursive: bool, now: float, message: str = "") -> list[Job]:
    """Move jobs (and with `recursive` their descendants) to USER_KILLED; those that this changed, as they were."""
    ids: list[UUID] = list(tx.execute(select(jobs.c.job_id).where(where).order_by(jobs.c.seq)).scalars())
    if recursive:
        ids += descendants_of(tx, ids)
    alive = jobs.c.state.in_(words(origins(State.USER_KILLED)))
    killed = [job for chunk in chunks(ids, _CHUNK) for job in select_jobs(tx, and_(jobs.c.job_id.in_(chunk), alive))]
    move_each(tx, [job.job_id for job in killed], State.USER_KILLED, now=now, message=message)
    return killed


def _states(tx: Connection, where: ColumnElement[bool]) -> dict[UUID, State]:
    return {row.job_id: State(row.state) for row in tx.execute(select(jobs.c.job_id, jobs.c.state).where(where))}


def _move(
    tx: Connection,
    found: Mapping[UUID, State],
    target: State,
    *,
    now: float,
    message: str,
    holder: UUID | None = None,
) -> int:
    keeps = HELD_WHILE_RUNNING if target is State.USER_KILLED else _HELD_WHILE_AT_WORK
    if holder is not None:
        keeps = case((jobs.c.launcher_id == holder, jobs.c.launcher_id), else_=keeps)
    text = f"by hand: {message}" if message else "by hand"
    moved = move_each(
        tx, list(found), target, now=now, message=text, by_hand=True, also={"retries": 0, "launcher_id": keeps}
    )
    settle_waiting(tx, found, now=now)
    return moved
