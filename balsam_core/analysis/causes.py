"""Groups failed jobs by what their history says of the cause."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from balsam_core.analysis.reading import of_jobs, raw_job_id, read_rows
from balsam_core.state.filters import Selection
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from balsam_core.state.tables import events, jobs

_TEXT = 2000
_SHOWN = 160
_PATH = re.compile(r"(?<!\S)/\S+")
_PARENT = re.compile(r"its parent .* (is \w+|was deleted)\Z")
_NUMBERS = re.compile(r"\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b|\d+", re.IGNORECASE)


@dataclass
class Failure:
    """Jobs that failed for one cause; job_name: the first of them. Times in seconds since the epoch."""

    cause: str
    jobs: int
    job_name: str
    first_at: float
    last_at: float


def read_failures(store: Store, wanted: Selection | None = None) -> list[Failure]:
    """The jobs that are FAILED now, of these (None: all), by cause, the most frequent first."""
    states = [State.RUN_ERROR.value, State.RUN_TIMEOUT.value, State.FAILED.value]
    query = (
        select(raw_job_id(), jobs.c.name, events.c.at, func.substr(events.c.message, 1, _TEXT))
        .where(jobs.c.state == State.FAILED.value, events.c.to_state.in_(states))
        .order_by(events.c.event_id)
    )
    return failures(read_rows(store, of_jobs(query, wanted)))


def failures(rows: Iterable[Any]) -> list[Failure]:
    """Group rows (job, its name, time, message) by the last message of each job that says anything."""
    last: dict[object, tuple[str, str, float]] = {}
    for job, name, at, message in rows:
        said = cause_of(message) or (last[job][1] if job in last else "")
        last[job] = (name, said, at)
    groups: dict[str, Failure] = {}
    for name, said, at in last.values():
        cause = said or "no message"
        group = groups.setdefault(cause, Failure(cause, 0, name, at, at))
        group.jobs += 1
        group.first_at, group.last_at = min(group.first_at, at), max(group.last_at, at)
    return sorted(groups.values(), key=lambda group: -group.jobs)


def cause_of(message: str) -> str:
    """What two failures have in common: how the job ended and the last line of its output, numbers left out."""
    if parent := _PARENT.match(message):
        return f"a parent {parent.group(1)}"
    head, _, tail = message.partition(": ")
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    head = _PATH.sub("/...", head.strip())[:_SHOWN]
    return f"{head}: {_NUMBERS.sub('#', lines[-1])[:_SHOWN]}" if lines else head
