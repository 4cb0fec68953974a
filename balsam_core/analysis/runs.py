"""Attempts, read one by one in pages: on which node each ran, from when to when, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import case, func, or_, select
from sqlalchemy.sql import ColumnElement

from balsam_core.analysis.moves import nodes_of_job
from balsam_core.analysis.reading import of_jobs, raw_job_id, read_rows
from balsam_core.state.filters import Selection
from balsam_core.state.machine import State
from balsam_core.state.moves import chunks
from balsam_core.state.store import Store
from balsam_core.state.tables import events, jobs

_RUNNING = State.RUNNING.value
_NODE = re.compile(r"on (\S+?)(?:, pid \d+|, could not be started)?\Z")
# More than the longest host name and its frame, less than the tail of an output.
_NODE_TEXT = 300
# More events than reports of all launchers of a site hold at once.
_OUT_OF_ORDER = 5000
_JOBS_AT_ONCE = 500


class RunEvent(NamedTuple):
    """An attempt begins (`node` names where; empty: unknown) or ends (`end_state`); at: seconds since the epoch.

    job: whatever stands for the job, the same for its begin and its end. nodes: how many it keeps busy.
    """

    job: Hashable
    at: float
    node: str
    end_state: str
    application: str
    nodes: float

    @property
    def begins(self) -> bool:
        """Whether this is a begin."""
        return not self.end_state


class Attempt(NamedTuple):
    """One run of a job; end_state: the state that it ended in, RUNNING when it has not."""

    application: str
    node: str
    nodes: float
    start: float
    end: float
    end_state: str

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return max(0.0, self.end - self.start)


def read_runs(store: Store, wanted: Selection | None = None) -> Iterator[RunEvent]:
    """The begins and ends of the attempts of these jobs (None: all), oldest first."""
    return _in_time(_as_recorded(store, wanted))


def read_runs_since(store: Store, first_event: int) -> list[RunEvent]:
    """The begins and ends of attempts from an event on, and the begins of those that ran already, oldest first."""
    since = list(_in_time(_as_recorded(store, None, events.c.event_id >= first_event)))
    begun: set[Hashable] = set()
    earlier: list[Hashable] = []
    for event in since:
        if event.begins:
            begun.add(event.job)
        elif event.job not in begun:
            earlier.append(event.job)
    running = select(raw_job_id(jobs)).where(jobs.c.launcher_id.is_not(None), jobs.c.state == _RUNNING)
    earlier += [job for (job,) in store.rows(running) if job not in begun]
    return [*_last_begins(store, earlier, first_event), *since]


def _last_begins(store: Store, raw_job_ids: Iterable[Hashable], before_event: int) -> list[RunEvent]:
    """The last begin of each of these jobs before an event, oldest first."""
    found: dict[Hashable, RunEvent] = {}
    for chunk in chunks(dict.fromkeys(raw_job_ids), _JOBS_AT_ONCE):
        these = events.c.job_id.in_([UUID(str(job)) for job in chunk])
        for event in _as_recorded(store, None, these, events.c.event_id < before_event):
            if event.begins:
                found[event.job] = event
    return sorted(found.values(), key=itemgetter(1))


def _as_recorded(store: Store, wanted: Selection | None, *conditions: ColumnElement[bool]) -> Iterator[RunEvent]:
    begins = events.c.to_state == _RUNNING
    query = (
        select(
            raw_job_id(),
            events.c.at,
            case((begins, func.substr(events.c.message, 1, _NODE_TEXT)), else_=""),
            case((begins, ""), else_=events.c.to_state),
            jobs.c.application,
            nodes_of_job(),
        )
        .where(or_(begins, events.c.from_state == _RUNNING), *conditions)
        .order_by(events.c.event_id)
    )
    for job, at, message, end_state, application, nodes in read_rows(store, of_jobs(query, wanted)):
        yield RunEvent(job, at, "" if end_state else node_of(message), end_state, application, float(nodes))


def _in_time(runs: Iterable[RunEvent]) -> Iterator[RunEvent]:
    # A launcher records the starts of a batch before its ends; to sort all in the database would copy them.
    waiting: list[RunEvent] = []
    for chunk in chunks(runs, _OUT_OF_ORDER):
        waiting += chunk
        waiting.sort(key=itemgetter(1))
        yield from waiting[:-_OUT_OF_ORDER]
        waiting = waiting[-_OUT_OF_ORDER:]
    yield from waiting


def node_of(message: str) -> str:
    """The node that the event of a start names; empty when it names none."""
    found = _NODE.match(message)
    return found.group(1) if found else ""


def attempts(runs: Iterable[RunEvent], now: float) -> Iterator[Attempt]:
    """The attempts, each when it has ended; those that have not come last, as if they ended `now`."""
    begun: dict[Hashable, RunEvent] = {}
    for event in runs:
        if event.begins:
            begun[event.job] = event
        elif (begin := begun.pop(event.job, None)) is not None:
            yield _attempt(begin, event.at, event.end_state)
    for begin in begun.values():
        yield _attempt(begin, now, _RUNNING)


def _attempt(begin: RunEvent, end: float, end_state: str) -> Attempt:
    return Attempt(begin.application, begin.node, begin.nodes, begin.at, end, end_state)
