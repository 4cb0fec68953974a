"""Reads the moves of jobs from the event table, counted per interval by the database: a million jobs give few rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Integer, Select, case, cast, func, or_, select
from sqlalchemy.sql import ColumnElement

from balsam_core.analysis.reading import of_jobs
from balsam_core.analysis.span import Span
from balsam_core.state.filters import Selection
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from balsam_core.state.tables import events, jobs

_RUNNING = State.RUNNING.value


@dataclass(frozen=True)
class Moved:
    """So many jobs moved from one state to another within an interval; from_state is empty for new jobs."""

    interval: int
    from_state: str
    to_state: str
    jobs: int


@dataclass(frozen=True)
class RunChange:
    """How many attempts, and nodes under them, began less those that ended within an interval.

    nodes: a job that shares a node counts for its share. node_seconds: the sum of nodes times the time of the change,
    in seconds since the start of the span, ends negative: with it the mean over an interval is exact.
    """

    interval: int
    attempts: int
    nodes: float
    node_seconds: float


def nodes_of_job() -> ColumnElement[Any]:
    """The nodes that an attempt keeps busy: the number of nodes, or the share of one that a packed process has."""
    packed = (jobs.c.num_nodes == 1) & (jobs.c.ranks_per_node == 1)
    return jobs.c.num_nodes * 1.0 / case((packed, jobs.c.node_packing_count), else_=1)


def span_of(store: Store, wanted: Selection | None = None, *, now: float, intervals: int = 200) -> Span | None:
    """From the first event of these jobs (None: all) to the last one, or to `now` while one runs; None: no events."""
    query = select(func.min(events.c.at), func.max(events.c.at))
    # Without a filter the jobs are not even looked up: half of the time.
    query = query if wanted is None else of_jobs(query, wanted)
    running = select(jobs.c.seq).where(jobs.c.state == _RUNNING).limit(1)
    if wanted is not None:
        running = running.where(wanted.where())
    with store.database.read() as tx:
        first, last = tx.execute(query).one()
        runs = tx.execute(running).first() is not None
    return None if first is None else Span(first, max(now, last) if runs else last, intervals)


def count_moves(store: Store, span: Span, wanted: Selection | None = None) -> list[Moved]:
    """How many of these jobs (None: all) moved between which states, per interval."""
    with store.database.read() as tx:
        interval = _interval(tx, span)
        query = select(interval, events.c.from_state, events.c.to_state, func.count())
        query = query if wanted is None else of_jobs(query, wanted)
        rows = tx.execute(query.group_by(interval, events.c.from_state, events.c.to_state)).all()
    return [Moved(span.interval(number), origin, target, count) for number, origin, target, count in rows]


def count_runs(store: Store, span: Span, wanted: Selection | None = None, *, first_event: int = 0) -> list[RunChange]:
    """How the attempts of these jobs (None: all) begin and end, per interval; from an event on."""
    sign: ColumnElement[int] = case((events.c.to_state == _RUNNING, 1), else_=-1)
    nodes = sign * nodes_of_job()
    with store.database.read() as tx:
        interval = _interval(tx, span)
        sums = (func.sum(sign), func.sum(nodes), func.sum(nodes * (events.c.at - span.start)))
        query: Select[Any] = select(interval).add_columns(*sums).group_by(interval)
        query = query.where(or_(events.c.to_state == _RUNNING, events.c.from_state == _RUNNING))
        query = query.where(events.c.event_id >= first_event)
        rows = list(tx.execute(of_jobs(query, wanted)))
    return [RunChange(span.interval(number), int(net), nodes, moment) for number, net, nodes, moment in rows]


def nodes_running(store: Store) -> float:
    """How many nodes the jobs of launchers keep busy now."""
    held = jobs.c.launcher_id.is_not(None) & (jobs.c.state == _RUNNING)
    with store.database.read() as tx:
        return float(tx.execute(select(func.sum(nodes_of_job())).where(held)).scalar() or 0.0)


def first_event_since(store: Store, at: float) -> int:
    """The id of about the first event since a time: events are recorded in order, but for some seconds.

    The times have no index; the ids are halved until it is found.
    """
    with store.database.read() as tx:
        # Two queries: SQLite looks up one end of an index, and reads all of it for both.
        low = tx.execute(select(func.min(events.c.event_id))).scalar() or 0
        high = (tx.execute(select(func.max(events.c.event_id))).scalar() or -1) + 1
        while low < high:
            middle = (low + high) // 2
            found = select(events.c.at).where(events.c.event_id >= middle).order_by(events.c.event_id).limit(1)
            if tx.execute(found).scalar_one() < at:
                low = middle + 1
            else:
                high = middle
    return low


def _interval(tx: Connection, span: Span) -> ColumnElement[int]:
    place = (events.c.at - span.start) / span.width
    # A cast cuts on SQLite, which may have no floor(), and rounds on PostgreSQL.
    return cast(place if tx.dialect.name == "sqlite" else func.floor(place), Integer)
