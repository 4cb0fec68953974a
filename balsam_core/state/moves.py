"""Moves jobs between states: one guarded UPDATE, one event each, and what follows for their children."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    case,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.sql import ColumnElement

from balsam_core.state.machine import BROKEN, END, State, origins
from balsam_core.state.prepared import Prepared
from balsam_core.state.tables import dependencies, events, jobs

# SQLite's oldest limit on bound values in one statement is 999.
_CHUNK = 500

# Jobs in these wait for their parents; later ones have seen them finish.
WAITING = (State.CREATED, State.AWAITING_PARENTS)

# How the message of a job begins that failed because of another one.
BECAUSE_OF_PARENT = "its parent "

# Whoever runs a job lets go of it when its processes are gone, wherever it is moved meanwhile: else it may run twice.
RUNS = or_(jobs.c.state == State.RUNNING.value, jobs.c.pid.is_not(None))
HELD_WHILE_RUNNING = case((RUNS, jobs.c.launcher_id), else_=None)

T = TypeVar("T")


def move(
    tx: Connection,
    where: ColumnElement[bool],
    target: State,
    *,
    now: float,
    message: str | ColumnElement[str] = "",
    by_hand: bool = False,
    also: Mapping[str, Any] | None = None,
) -> int:
    """Move the jobs for which `where` holds to `target`, and return how many were moved.

    Jobs in a state that the table of moves does not lead out of are left alone; `by_hand` leaves alone only the
    USER_KILLED. `also`: further columns to set. Releases or fails waiting children in the same transaction.
    """
    guard = _guarded(where, target, by_hand=by_hand)
    # Only an end, or a way back from one, matters to others; bulk moves in between read no ids.
    moved = _ids(tx, guard) if by_hand or target in END else []
    recorded = _move(tx, guard, target, now=now, message=message, also=also)
    settle(tx, moved, now=now)
    return recorded


def move_each(
    tx: Connection,
    job_ids: Sequence[UUID],
    target: State,
    *,
    now: float,
    message: str = "",
    by_hand: bool = False,
    also: Mapping[str, Any] | None = None,
) -> int:
    """Move these jobs as `move` does; children hear of it only after the last one was moved."""
    recorded = 0
    for chunk in chunks(job_ids, _CHUNK):
        guard = _guarded(jobs.c.job_id.in_(chunk), target, by_hand=by_hand)
        recorded += _move(tx, guard, target, now=now, message=message, also=also)
    settle(tx, job_ids, now=now)
    return recorded


def settle(tx: Connection, moved: Iterable[UUID], *, now: float) -> None:
    """What follows for others after jobs ended (or came back from an end): their children go on, or fail."""
    for chunk in chunks(moved, _CHUNK):
        edges = dependencies.c.parent_id.in_(chunk)
        children = list(tx.execute(select(dependencies.c.child_id).where(edges).distinct()).scalars())
        if children:
            _lock(tx, children)
            tx.execute(update(dependencies).where(edges).values(satisfied=_PARENT_FINISHED))
            recount(tx, children, now=now)
            fail_children(tx, chunk, now=now)


def recount(tx: Connection, children: Iterable[UUID], *, now: float) -> None:
    """Count the unmet parents of these jobs anew, and release those that wait for none."""
    for chunk in chunks(children, _CHUNK):
        these = jobs.c.job_id.in_(chunk)
        tx.execute(update(jobs).where(these).values(unmet_parents=_UNMET_PARENTS))
        free = or_(jobs.c.unmet_parents == 0, jobs.c.wait_for_parents.is_(False))
        move(tx, and_(these, free, jobs.c.state == State.AWAITING_PARENTS.value), State.READY, now=now)


def fail_children(tx: Connection, parents: Iterable[UUID], *, now: float, deleted: bool = False) -> None:
    """Fail the jobs that wait for a parent which will never finish, and theirs in turn; the message names it."""
    frontier: dict[UUID, str] = {}
    for chunk in chunks(parents, _CHUNK):
        for parent in tx.execute(select(jobs.c.job_id, jobs.c.name, jobs.c.state).where(jobs.c.job_id.in_(chunk))):
            if deleted or parent.state in _BROKEN_WORDS:
                frontier[parent.job_id] = _naming(parent, "was deleted" if deleted else f"is {parent.state}")
    failing: dict[UUID, dict[str, Any]] = {}
    while frontier:
        found = {}
        for row in _waiting_children(tx, frontier):
            if row.job_id not in failing:
                why = frontier[row.parent_id]
                failing[row.job_id] = event_row(row.job_id, row.attempt, row.state, State.FAILED, now, why)
                found[row.job_id] = _naming(row, "is FAILED")
        frontier = found
    record(tx, list(failing.values()))
    for chunk in chunks(failing, _CHUNK):
        values = {"state": State.FAILED.value, "state_at": now, "launcher_id": HELD_WHILE_RUNNING}
        tx.execute(update(jobs).where(jobs.c.job_id.in_(chunk)).values(values))


def record(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert events that were worked out one by one; columns as in the table."""
    _INSERT_EVENT.run(tx, map(itemgetter(*_EVENT_COLUMNS), rows))


def event_row(job_id: UUID, attempt: int, origin: str, target: State, at: float, message: str = "") -> dict[str, Any]:
    """One event as the table has it."""
    return {
        "job_id": job_id,
        "attempt": attempt,
        "from_state": origin,
        "to_state": target.value,
        "at": at,
        "message": message,
    }


def history(tx: Connection, job_ids: Sequence[UUID]) -> list[Row[Any]]:
    """The events of these jobs, in the order in which they happened."""
    found: list[Row[Any]] = []
    for chunk in chunks(job_ids, _CHUNK):
        query: Select[Any] = select(events).where(events.c.job_id.in_(chunk)).order_by(events.c.event_id)
        found += tx.execute(query).all()
    return found


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def words(states: Iterable[State]) -> list[str]:
    """The states as the table has them."""
    return sorted(state.value for state in states)


def _guarded(where: ColumnElement[bool], target: State, *, by_hand: bool) -> ColumnElement[bool]:
    if by_hand:
        return and_(where, jobs.c.state != State.USER_KILLED.value)
    return and_(where, jobs.c.state.in_(words(origins(target))))


def _ids(tx: Connection, where: ColumnElement[bool]) -> list[UUID]:
    return list(tx.execute(select(jobs.c.job_id).where(where)).scalars())


def _move(
    tx: Connection,
    guard: ColumnElement[bool],
    target: State,
    *,
    now: float,
    message: str | ColumnElement[str],
    also: Mapping[str, Any] | None = None,
) -> int:
    text: ColumnElement[str] = literal(message) if isinstance(message, str) else message
    history = select(jobs.c.job_id, jobs.c.attempt, jobs.c.state, literal(target.value), literal(now), text).where(
        guard
    )
    insertion = insert(events).inline().from_select(_EVENT_COLUMNS, history).execution_options(preserve_rowcount=True)
    recorded = tx.execute(insertion).rowcount
    if recorded:
        values = {"state": target.value, "state_at": now, "launcher_id": HELD_WHILE_RUNNING, **(also or {})}
        tx.execute(update(jobs).where(guard).values(values))
    return recorded


def _lock(tx: Connection, job_ids: Sequence[UUID]) -> None:
    # Two reports may end two parents of one child: the second one waits here, and then counts what the first has done.
    # In the order of `seq`, so that no two wait for each other. SQLite has one writer anyway.
    if tx.dialect.name != "sqlite":
        for chunk in chunks(job_ids, _CHUNK):
            tx.execute(select(jobs.c.seq).where(jobs.c.job_id.in_(chunk)).order_by(jobs.c.seq).with_for_update()).all()


def _waiting_children(tx: Connection, parents: Iterable[UUID]) -> Iterator[Any]:
    unmet = and_(dependencies.c.child_id == jobs.c.job_id, dependencies.c.satisfied.is_(False))
    waiting = and_(jobs.c.state.in_(words(WAITING)), jobs.c.wait_for_parents)
    query = select(jobs.c.job_id, jobs.c.name, jobs.c.state, jobs.c.attempt, dependencies.c.parent_id).join(jobs, unmet)
    # Two reports may fail the same child at once: the second one waits, and finds it failed.
    locked = query.order_by(jobs.c.seq).with_for_update(of=jobs)
    for chunk in chunks(parents, _CHUNK):
        yield from tx.execute(locked.where(waiting, dependencies.c.parent_id.in_(chunk))).all()


def _naming(parent: Any, why: str) -> str:
    return f"{BECAUSE_OF_PARENT}{parent.name} [{str(parent.job_id)[:8]}] {why}"


_BROKEN_WORDS = frozenset(words(BROKEN))
_PARENT_FINISHED = exists().where(jobs.c.job_id == dependencies.c.parent_id, jobs.c.state == State.JOB_FINISHED.value)
_UNMET_PARENTS = (
    select(func.count())
    .where(dependencies.c.child_id == jobs.c.job_id, dependencies.c.satisfied.is_(False))
    .scalar_subquery()
)
_EVENT_COLUMNS = ["job_id", "attempt", "from_state", "to_state", "at", "message"]
_INSERT_EVENT = Prepared(insert(events).inline(), _EVENT_COLUMNS)
