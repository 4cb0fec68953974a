"""One look at a site: its jobs, its rate, who works on what, and what fails.

Times are seconds since the epoch, UTC. A node is busy by the part that its jobs have of it, as in docs/analysis.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import State


@dataclass(frozen=True)
class View:
    """What is to be looked at: jobs of a filter, of which a page of `rows` is listed from `offset` on."""

    wanted: JobFilter = field(default_factory=JobFilter)
    offset: int = 0
    rows: int = 100


@dataclass(frozen=True)
class JobLine:
    """One job of the page; node: where it runs or last ran. state_at: since when it is in its state."""

    job_id: UUID
    name: str
    workflow: str
    application: str
    state: str
    node: str
    state_at: float


@dataclass(frozen=True)
class Failing:
    """An application with jobs that are FAILED; message: why the newest of these jobs failed."""

    application: str
    jobs: int
    job_id: UUID
    message: str


@dataclass(frozen=True)
class JobsSeen:
    """The jobs of a view.

    states: how many jobs the filter chooses, but for its states. total: of those in these states; `page` shows some.
    failing: the most frequent first; failing_known: False when more jobs have failed than were looked at.
    """

    states: Mapping[State, int]
    total: int
    page: tuple[JobLine, ...]
    failing: tuple[Failing, ...]
    failing_known: bool = True


@dataclass(frozen=True)
class Rate:
    """How many jobs came to each end during the last seconds."""

    ended: Mapping[State, int]
    seconds: float

    @property
    def per_minute(self) -> float:
        """Jobs ended per minute."""
        return 60 * sum(self.ended.values()) / self.seconds


@dataclass(frozen=True)
class NodeUse:
    """What a node does for a launcher; busy: the part of it that its jobs have, above 1 for jobs on several nodes."""

    launcher_id: UUID
    node: str
    running: int
    busy: float


@dataclass(frozen=True)
class LauncherUse:
    """A launcher: busy: how many of its nodes; running, held: its jobs, and those that it has beside them.

    status: `live`, or why its lease is over.
    """

    launcher_id: UUID
    host: str
    pid: int
    job_mode: str
    workflow: str
    batch_job_id: str | None
    nodes: int
    busy: float
    running: int
    held: int
    jobs_done: int
    started_at: float
    status: str


@dataclass(frozen=True)
class BatchLine:
    """A batch job that waits or runs, as its scheduler last said; seen_at None: it was not asked yet."""

    number: int
    name: str
    state: str
    raw_state: str
    reason: str
    queue: str
    nodes: int
    time_limit_minutes: int
    minutes_left: float | None
    jobs_done: int
    seen_at: float | None


@dataclass(frozen=True)
class Snapshot:
    """A site at one time, and what was looked at."""

    at: float
    view: View
    jobs: JobsSeen
    rate: Rate
    launchers: tuple[LauncherUse, ...]
    nodes: tuple[NodeUse, ...]
    batch_jobs: tuple[BatchLine, ...]

    @property
    def nodes_held(self) -> int:
        """The nodes of all launchers that live."""
        return sum(one.nodes for one in self.launchers if one.status == "live")

    @property
    def nodes_busy(self) -> float:
        """How many of these are busy."""
        return sum(one.busy for one in self.launchers if one.status == "live")
