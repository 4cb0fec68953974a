"""Sends failed jobs back to be run again: where to is decided from the history of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select
from sqlalchemy.sql import ColumnElement, and_

from balsam_core.state.dependencies import descendants_of, settle_waiting
from balsam_core.state.machine import BROKEN, State
from balsam_core.state.moves import BECAUSE_OF_PARENT, WAITING, chunks, move_each, words
from balsam_core.state.tables import dependencies, events, jobs

_CHUNK = 500

# What one may send back; USER_KILLED stays so.
RETRIED = frozenset({State.FAILED, State.RUN_ERROR, State.RUN_TIMEOUT})
# Where a script or staging failed, it is done again; what the job ran before stands.
_DONE_AGAIN = frozenset({State.READY, State.STAGED_IN, State.RUN_DONE, State.POSTPROCESSED})


@dataclass(frozen=True)
class Retries:
    """What is sent back, and where to; nothing was done yet.

    held: a launcher works on these. broken: these wait for a parent that stays FAILED or USER_KILLED.
    children: how many of those that go were not asked for, but failed because of one that was.
    """

    targets: Mapping[UUID, State]
    children: int = 0
    held: int = 0
    broken: int = 0

    def counts(self) -> dict[State, int]:
        """How many jobs go to each state, in the order of the states."""
        found = list(self.targets.values())
        return {state: found.count(state) for state in State if state in found}


def target_of(state: State, attempt: int, failed_from: str | None) -> State:
    """Where a failed job goes. failed_from: the state out of which it became FAILED; None: it has not.

    A job that failed because of a parent, or for want of an application, waits again.
    """
    origin = State(failed_from) if failed_from else state
    if origin in WAITING:
        return State.AWAITING_PARENTS
    if origin in _DONE_AGAIN:
        return origin
    # Moved to FAILED by hand before its first start: nothing is started again.
    return State.RESTART_READY if attempt else State.PREPROCESSED


def plan(tx: Connection, where: ColumnElement[bool], *, recursive: bool) -> Retries:
    """What `retry` would do with the jobs for which `where` holds."""
    asked = _failed(tx, where)
    rows = dict(asked)
    if recursive:
        for chunk in chunks(descendants_of(tx, asked), _CHUNK):
            below = _failed(tx, and_(jobs.c.job_id.in_(chunk), events.c.message.startswith(BECAUSE_OF_PARENT)))
            rows |= {job_id: row for job_id, row in below.items() if row.state == State.FAILED.value}
    free = {job_id: row for job_id, row in rows.items() if row.launcher_id is None}
    targets = {job_id: _target(row) for job_id, row in free.items()}
    stuck = _stuck(tx, [row for row in free.values() if row.wait_for_parents], targets)
    going = {job_id: target for job_id, target in targets.items() if job_id not in stuck}
    children = sum(job_id not in asked for job_id in going)
    broken = sum(job_id in asked for job_id in stuck)
    return Retries(going, children, held=sum(row.launcher_id is not None for row in asked.values()), broken=broken)


def retry(tx: Connection, where: ColumnElement[bool], *, recursive: bool, now: float) -> Retries:
    """Send jobs back; what was done. Their automatic reruns are counted from the start again."""
    wanted = plan(tx, where, recursive=recursive)
    # Whoever waits comes last: it would fail again at once while its parent is FAILED.
    for target in sorted(wanted.counts(), key=lambda state: state is State.AWAITING_PARENTS):
        these = [job_id for job_id, to in wanted.targets.items() if to is target]
        move_each(tx, these, target, now=now, message="by hand: balsam retry", by_hand=True, also={"retries": 0})
    settle_waiting(tx, wanted.targets, now=now)
    return wanted


def _failed(tx: Connection, where: ColumnElement[bool]) -> dict[UUID, Any]:
    """The jobs that may be sent back, each with the event of its last failure, oldest first."""
    earlier = events.alias("earlier")
    last = (
        select(func.max(earlier.c.event_id))
        .where(earlier.c.job_id == jobs.c.job_id, earlier.c.to_state == State.FAILED.value)
        .correlate(jobs)
        .scalar_subquery()
    )
    columns = (jobs.c.job_id, jobs.c.state, jobs.c.attempt, jobs.c.launcher_id, jobs.c.wait_for_parents)
    failed = select(*columns, events.c.from_state).select_from(jobs.outerjoin(events, events.c.event_id == last))
    query = failed.where(where, jobs.c.state.in_(words(RETRIED))).order_by(jobs.c.seq)
    return {row.job_id: row for row in tx.execute(query)}


def _target(row: Any) -> State:
    return target_of(State(row.state), row.attempt, row.from_state if row.state == State.FAILED.value else None)


def _stuck(tx: Connection, rows: Iterable[Any], targets: Mapping[UUID, State]) -> set[UUID]:
    """Those that would wait for a parent which stays broken, and theirs in turn."""
    waiting = [row.job_id for row in rows if targets[row.job_id] is State.AWAITING_PARENTS]
    children: dict[UUID, list[UUID]] = {}
    frontier: set[UUID] = set()
    for parent, child in _broken_edges(tx, waiting):
        children.setdefault(parent, []).append(child)
        if parent not in targets:
            frontier.add(child)
    stuck: set[UUID] = set()
    while frontier:
        stuck |= frontier
        frontier = {child for parent in frontier for child in children.get(parent, ())} - stuck
    return stuck


def _broken_edges(tx: Connection, children: Sequence[UUID]) -> Iterator[tuple[UUID, UUID]]:
    for chunk in chunks(children, _CHUNK):
        edges = and_(dependencies.c.child_id.in_(chunk), dependencies.c.parent_id == jobs.c.job_id)
        query = select(dependencies.c.parent_id, dependencies.c.child_id)
        yield from tx.execute(query.where(edges, jobs.c.state.in_(words(BROKEN))))
