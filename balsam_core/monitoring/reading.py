"""Reads one look at a site out of its database; what has not changed since the last look is not read again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, and_, func, select
from sqlalchemy.sql import ColumnElement

from balsam_core.analysis.moves import nodes_of_job
from balsam_core.models.batch import OPEN, BatchJob
from balsam_core.monitoring.snapshot import (
    BatchLine,
    Failing,
    JobLine,
    JobsSeen,
    LauncherUse,
    NodeUse,
    Rate,
    Snapshot,
    View,
)
from balsam_core.state.batch_store import SERVICE
from balsam_core.state.filters import JobFilter
from balsam_core.state.jobs import count_by_workflow
from balsam_core.state.machine import END, State
from balsam_core.state.moves import chunks, words
from balsam_core.state.store import Store
from balsam_core.state.tables import events, jobs

# The rate is that of the last minute, if so many of the newest events reach back so far: `at` has no index.
_RATE_SECONDS = 60.0
_RATE_EVENTS = 20_000
# So many failed jobs are looked at for the applications that fail, and so many applications are told.
_FAILED_JOBS = 10_000
_FAILING_APPS = 20
_AT_ONCE = 400
# More jobs than these are counted in the database.
_FEW = 20_000
# What runs comes first, then what is about to, then what has ended.
_ORDER = (
    State.RUNNING,
    State.RUN_ERROR,
    State.RUN_TIMEOUT,
    State.RUN_DONE,
    State.POSTPROCESSED,
    State.RESTART_READY,
    State.PREPROCESSED,
    State.STAGED_IN,
    State.READY,
    State.CREATED,
    State.AWAITING_PARENTS,
    State.FAILED,
    State.USER_KILLED,
    State.JOB_FINISHED,
)
_JOB_COLUMNS = ("job_id", "name", "workflow", "application", "state", "node", "state_at")

_Counts = Mapping[str, Mapping[State, int]]


class Watch:
    """Looks at a site again and again, from one thread; it remembers what it saw last."""

    def __init__(self, store: Store, machine_id: str) -> None:
        self.store = store
        self.machine_id = machine_id
        self._mark: tuple[int, int] | None = None
        self._seen: tuple[View, JobsSeen] | None = None

    def look(self, view: View) -> Snapshot:
        """The site now; jobs are read only when the database or the view is another one than at the last look."""
        # The mark is read first: a change during the look is seen by the next one.
        mark = self.store.database.change_mark()
        if mark != self._mark or self._seen is None or self._seen[0] != view:
            self._seen = view, read_jobs(self.store, view)
            self._mark = mark
        return read_snapshot(self.store, view, self.machine_id, seen=self._seen[1])

    def forget(self) -> None:
        """Read all again at the next look: what this program itself has changed leaves no mark."""
        self._seen = None


def read_snapshot(store: Store, view: View, machine_id: str, *, seen: JobsSeen | None = None) -> Snapshot:
    """A site as it is now; seen: its jobs, when they are known already. machine_id: of this machine."""
    now = time.time()
    dead = {one.launcher_id: one.why for one in store.expired_launchers(machine_id)}
    with store.database.read() as tx:
        rate = _rate(tx, replace(view.wanted, states=()), now)
        nodes = _nodes(tx)
    launchers = [_launcher(row, held, nodes, dead) for row, held in store.launchers() if row.job_mode != SERVICE]
    batch_jobs = [_batch_line(one) for one in store.batches.select(machine_id=machine_id, states=OPEN)]
    return Snapshot(
        at=now,
        view=view,
        jobs=seen or read_jobs(store, view),
        rate=rate,
        launchers=tuple(launchers),
        nodes=tuple(nodes),
        batch_jobs=tuple(batch_jobs),
    )


def read_jobs(store: Store, view: View) -> JobsSeen:
    """The jobs of a view, all as of one moment."""
    every = replace(view.wanted, states=())
    states = frozenset(view.wanted.states or State)
    with store.database.read() as tx:
        few = _few(tx, every)
        if few is None:
            counts: _Counts = count_by_workflow(tx, every.where())
            page = _page(tx, every, counts, view, states)
            workflows = [workflow for workflow, found in counts.items() if State.FAILED in found]
            failed = [jobs.c.workflow.in_(chunk) for chunk in chunks(workflows, _AT_ONCE)]
        else:
            counts = _counted(few)
            page = _page_of(tx, [row for row in few if State(row.state) in states][view.offset :][: view.rows])
            seqs = [row.seq for row in few if row.state == State.FAILED.value]
            failed = [jobs.c.seq.in_(chunk) for chunk in chunks(seqs, _AT_ONCE)]
        failed_jobs = sum(found.get(State.FAILED, 0) for found in counts.values())
        failing, looked_at = _failing(tx, every, failed)
    totals = {state: sum(found.get(state, 0) for found in counts.values()) for state in State}
    return JobsSeen(
        states={state: count for state, count in totals.items() if count},
        total=sum(count for state, count in totals.items() if state in states),
        page=tuple(page),
        failing=tuple(failing),
        failing_known=looked_at >= failed_jobs,
    )


def _few(tx: Connection, every: JobFilter) -> list[Row[Any]] | None:
    """The jobs of a filter that no index serves, in the order of a page: to scan the table once is enough.

    None: there are many, or the filter is one of workflows, which are counted in the index.
    """
    if not (every.name or every.ids or every.tags):
        return None
    query = select(jobs.c.seq, jobs.c.workflow, jobs.c.state).where(every.where()).limit(_FEW + 1)
    rows: list[Row[Any]] = [*tx.execute(query)]
    if len(rows) > _FEW:
        return None
    rank = {state.value: place for place, state in enumerate(_ORDER)}
    return sorted(rows, key=lambda row: (rank[row.state], row.workflow, row.seq))


def _counted(few: Sequence[Row[Any]]) -> dict[str, dict[State, int]]:
    counts: dict[str, dict[State, int]] = {}
    for row in few:
        states = counts.setdefault(row.workflow, {})
        states[State(row.state)] = states.get(State(row.state), 0) + 1
    return counts


def _page_of(tx: Connection, rows: Sequence[Row[Any]]) -> list[JobLine]:
    query = select(jobs.c.seq, *_columns()).where(jobs.c.seq.in_([row.seq for row in rows]))
    lines = {seq: JobLine(*values) for seq, *values in tx.execute(query)}
    return [lines[row.seq] for row in rows]


def _page(tx: Connection, every: JobFilter, counts: _Counts, view: View, states: frozenset[State]) -> list[JobLine]:
    """The jobs from `offset` on: state by state, workflow by workflow, oldest first, as the index has them.

    The counts tell which states and workflows to pass over, so that the last page costs no more than the first one.
    """
    lines: list[JobLine] = []
    skip = view.offset
    places = ((state, workflow) for state in _ORDER if state in states for workflow in counts)
    for state, workflow in places:
        count = counts[workflow].get(state, 0)
        if skip >= count:
            skip -= count
            continue
        here = and_(jobs.c.workflow == workflow, jobs.c.state == state.value, every.where())
        query = select(*_columns()).where(here).order_by(jobs.c.seq)
        lines += [JobLine(*row) for row in tx.execute(query.limit(view.rows - len(lines)).offset(skip))]
        skip = 0
        if len(lines) >= view.rows:
            break
    return lines


def _failing(tx: Connection, every: JobFilter, parts: Iterable[ColumnElement[bool]]) -> tuple[list[Failing], int]:
    """The applications that fail most among the FAILED jobs of these parts, and how many jobs were looked at."""
    found: dict[str, list[int]] = {}
    left = _FAILED_JOBS
    for part in parts:
        failed = and_(part, jobs.c.state == State.FAILED.value, every.where())
        some = select(jobs.c.application, jobs.c.seq).where(failed).limit(left).subquery()
        query = select(some.c.application, func.count(), func.max(some.c.seq)).group_by(some.c.application)
        for application, count, newest in tx.execute(query):
            before = found.setdefault(application, [0, 0])
            found[application] = [before[0] + count, max(before[1], newest)]
            left -= count
        if left <= 0:
            break
    most = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
    told = [_failing_app(tx, application, count, seq) for application, (count, seq) in islice(most, _FAILING_APPS)]
    return told, _FAILED_JOBS - left


def _failing_app(tx: Connection, application: str, count: int, seq: int) -> Failing:
    job_id = tx.execute(select(jobs.c.job_id).where(jobs.c.seq == seq)).scalar_one()
    # A run's end tells why; that the job is FAILED follows from it, and often says nothing more.
    why = select(events.c.message).where(events.c.job_id == job_id, events.c.message != "")
    message = tx.execute(why.order_by(events.c.event_id.desc()).limit(1)).scalar()
    return Failing(application, count, job_id, message or "")


def _rate(tx: Connection, wanted: JobFilter, now: float) -> Rate:
    """The jobs that ended during the last minute, or during the time that the newest events are about."""
    last = tx.execute(select(func.max(events.c.event_id))).scalar() or 0
    newest = events.c.event_id > last - _RATE_EVENTS
    seconds = _RATE_SECONDS
    if last > _RATE_EVENTS:
        first = tx.execute(select(events.c.at).where(newest).order_by(events.c.event_id).limit(1)).scalar() or now
        seconds = min(max(now - first, 1.0), _RATE_SECONDS)
    recent = and_(newest, events.c.to_state.in_(words(END)), events.c.at > now - seconds)
    # With a limit SQLite reads these first, and then looks up their jobs; not the other way round.
    ended = select(events.c.job_id, events.c.to_state).where(recent).limit(_RATE_EVENTS).subquery()
    query = select(ended.c.to_state, func.count()).group_by(ended.c.to_state)
    if not wanted.matches_all:
        query = query.join(jobs, jobs.c.job_id == ended.c.job_id).where(wanted.where())
    found: dict[str, int] = dict(tx.execute(query).all())
    return Rate({state: found[state.value] for state in State if state.value in found}, seconds)


def _columns() -> list[ColumnElement[Any]]:
    return [jobs.c[name] for name in _JOB_COLUMNS]


def _nodes(tx: Connection) -> list[NodeUse]:
    where = and_(jobs.c.launcher_id.is_not(None), jobs.c.state == State.RUNNING.value)
    query = select(jobs.c.launcher_id, jobs.c.node, func.count(), func.sum(nodes_of_job())).where(where)
    rows = tx.execute(query.group_by(jobs.c.launcher_id, jobs.c.node).order_by(jobs.c.node))
    return [NodeUse(launcher_id, node, running, float(busy)) for launcher_id, node, running, busy in rows]


def _launcher(row: Any, held: int, nodes: Sequence[NodeUse], dead: Mapping[UUID, str]) -> LauncherUse:
    mine = [node for node in nodes if node.launcher_id == row.launcher_id]
    running = sum(node.running for node in mine)
    why = dead.get(row.launcher_id)
    return LauncherUse(
        launcher_id=row.launcher_id,
        host=row.host,
        pid=row.pid,
        job_mode=row.job_mode,
        workflow=row.wf_filter,
        batch_job_id=row.batch_job_id,
        nodes=row.nodes,
        busy=sum(node.busy for node in mine),
        running=running,
        held=max(0, held - running),
        jobs_done=row.jobs_done,
        started_at=row.started_at,
        status=f"lease expired: {why}" if why else "live",
    )


def _batch_line(one: BatchJob) -> BatchLine:
    return BatchLine(
        number=one.number,
        name=str(one),
        state=one.state.value,
        raw_state=one.raw_state,
        reason=one.reason,
        queue=one.queue or "",
        nodes=one.nodes,
        time_limit_minutes=one.time_limit_minutes,
        minutes_left=None if one.seconds_left is None else round(one.seconds_left / 60, 1),
        jobs_done=one.pilot.jobs_done if one.pilot else 0,
        seen_at=one.seen_at,
    )
