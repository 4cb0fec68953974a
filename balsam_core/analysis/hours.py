"""Node-hours: what batch jobs asked for, what launchers had, what attempts used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from balsam_core.analysis.span import Span
from balsam_core.models.batch import BatchJob, LaunchState
from balsam_core.state.store import Store

_NEVER_ASKED = (LaunchState.SUBMITTING, LaunchState.REJECTED)


@dataclass(frozen=True)
class Held:
    """The nodes that one launcher had; times in seconds since the epoch, end is None while it has them."""

    start: float
    end: float | None
    nodes: int
    jobs_done: int
    job_mode: str = ""
    host: str = ""
    workflow: str = ""
    why_ended: str = ""
    launcher_id: UUID | None = None

    def until(self, now: float) -> float:
        """Its end, which is `now` while it lives."""
        return now if self.end is None else self.end

    def stretch(self, now: float) -> tuple[float, float, int]:
        """From when until when it had how many nodes."""
        return self.start, self.until(now), self.nodes

    def node_hours(self, now: float) -> float:
        """Nodes times hours, up to `now` when it lives."""
        return self.nodes * max(0.0, self.until(now) - self.start) / 3600


@dataclass(frozen=True)
class Asked:
    """The nodes and minutes that one batch job asked the scheduler for; state_at: since when it is in its state."""

    name: str
    state: str
    queue: str
    nodes: int
    minutes: int
    created_at: float
    state_at: float
    is_open: bool = False

    @property
    def node_hours(self) -> float:
        """Nodes times hours."""
        return self.nodes * self.minutes / 60


def launchers_of(store: Store, workflow: str = "") -> list[Held]:
    """The launchers that may have run jobs of a workflow (empty: all), oldest first."""
    held = [_held(row) for row, _ in store.launchers(ended=True)]
    return [one for one in held if admits(one.workflow, workflow)]


def batch_jobs_of(store: Store, machine_id: str, workflow: str = "") -> list[Asked]:
    """The batch jobs that a scheduler took and whose launcher may run jobs of a workflow (empty: all), oldest first."""
    found = store.batches.select(machine_id=machine_id)
    return [_asked(one) for one in found if one.state not in _NEVER_ASKED and admits(one.wf_filter or "", workflow)]


def admits(wf_filter: str, workflow: str) -> bool:
    """Whether a launcher with this filter (empty: none) runs jobs of a workflow (empty: any); both may be patterns."""
    return not wf_filter or not workflow or _meet(wf_filter, workflow)


def within(launchers: Sequence[Held], span: Span) -> list[Held]:
    """The launchers that had nodes at some time of the span."""
    return [one for one in launchers if one.start <= span.end and (one.end is None or one.end >= span.start)]


def _meet(one: str, other: str) -> bool:
    """Whether there is a text that fits both patterns, in which `*` stands for anything."""

    @cache
    def rest_meets(start: int, other_start: int) -> bool:
        rest, other_rest = one[start:], other[other_start:]
        if not rest or not other_rest:
            return not (rest + other_rest).strip("*")
        if "*" in (rest[0], other_rest[0]):
            # A star stands for nothing, or for what the other pattern begins with.
            return rest_meets(start + 1, other_start) or rest_meets(start, other_start + 1)
        return rest[0] == other_rest[0] and rest_meets(start + 1, other_start + 1)

    return rest_meets(0, 0)


def _held(row: Any) -> Held:
    who = (row.job_mode, row.host, row.wf_filter, row.end_reason, row.launcher_id)
    return Held(row.started_at, row.ended_at, row.nodes, row.jobs_done, *who)


def _asked(one: BatchJob) -> Asked:
    shape = (one.queue or "", one.nodes, one.time_limit_minutes)
    return Asked(str(one), one.state.value, *shape, one.created_at, one.state_at, one.is_open)
