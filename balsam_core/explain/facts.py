"""What is known of a job, a batch job or a launcher, and what is said of it; times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from uuid import UUID

from balsam_core.models.app import AppSpec
from balsam_core.models.batch import BatchJob
from balsam_core.models.job import Job
from balsam_core.state.batch_store import SERVICE
from balsam_core.state.machine import State


@dataclass(frozen=True)
class Excerpt:
    """The last lines of a file; what: what the file is to the reader."""

    what: str
    file: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Advice:
    """What would help, and the command to type for it; an empty one: there is nothing to type."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Explanation:
    """What is said: whole sentences, the ends of files that show more, and last what to do."""

    sentences: tuple[str, ...]
    excerpts: tuple[Excerpt, ...] = ()
    advice: tuple[Advice, ...] = ()


@dataclass(frozen=True)
class Move:
    """One event of a job."""

    attempt: int
    from_state: str
    to_state: str
    at: float
    message: str


@dataclass(frozen=True)
class Relative:
    """A parent, or one further up."""

    job_id: UUID
    name: str
    state: State
    hold: bool = False


@dataclass(frozen=True)
class NodeShape:
    """What the settings say that every node has; None: not known, each launcher finds out for itself."""

    gpus: int | None = None
    memory_mb: int | None = None


@dataclass(frozen=True)
class LauncherFacts:
    """A launcher. over: why its lease is over although its row says nothing; empty: it lives, or has ended.

    expired: others declared it over. batch_job: the one that it belongs to. held: its jobs by state. nodes_taken: by
    its running jobs. most_seconds_left: it has no more than that; silent_seconds: since its heartbeat; None: not known.
    """

    launcher_id: UUID
    host: str
    pid: int
    job_mode: str
    workflow: str
    nodes: int
    started_at: float
    lease_seconds: float
    over: str = ""
    ended_at: float | None = None
    end_reason: str = ""
    expired: bool = False
    batch_job: BatchJob | None = None
    scheduler_id: str | None = None
    jobs_done: int = 0
    held: Mapping[State, int] = field(default_factory=dict)
    nodes_taken: Fraction = Fraction()
    most_seconds_left: float | None = None
    silent_seconds: float | None = None

    @property
    def is_service(self) -> bool:
        """Whether it is the site's service, which has a lease as launchers do, and runs no jobs."""
        return self.job_mode == SERVICE

    @property
    def is_live(self) -> bool:
        """Whether its lease holds."""
        return self.ended_at is None and not self.over


@dataclass(frozen=True)
class LaunchMove:
    """One event of a batch job; command, answer: what showed it, empty when the launcher itself did."""

    from_state: str
    to_state: str
    at: float
    message: str
    command: str = ""
    answer: str = ""


@dataclass(frozen=True)
class LaunchFacts:
    """A batch job. usable_seconds: how long its launcher has for jobs. answer_seconds: since the scheduler was asked.

    problem: why it gave no answer. launchers: those that ran in it. would_run: the jobs of its workflows by state;
    fits, refused: how many of the runnable ones it could start, and why not the others. looked_at: how many runnable
    ones were looked at, in the order of claims.
    """

    job: BatchJob
    now: float
    usable_seconds: float
    answer_seconds: float | None = None
    problem: str = ""
    moves: tuple[LaunchMove, ...] = ()
    launchers: tuple[LauncherFacts, ...] = ()
    would_run: Mapping[State, int] = field(default_factory=dict)
    looked_at: int = 0
    fits: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    outputs: tuple[Excerpt, ...] = ()


@dataclass(frozen=True)
class WaitingLaunch:
    """A batch job that may yet bring a launcher."""

    job: BatchJob
    usable_seconds: float


@dataclass(frozen=True)
class JobFacts:
    """A job. app None: there is none of that name. missing: what is wrong with its programs on this host.

    parents: all of them. root: where the failure of its parents began. launchers, launches: those that live, and the
    open batch jobs without a launcher. service: the site's, if it lives. ahead: how many runnable jobs of the site come
    before it. output, script_log: what its last run, its last script or staging wrote. minutes: what a batch job needs
    for it; None: it declares no time.
    """

    job: Job
    now: float
    moves: tuple[Move, ...] = ()
    app: AppSpec | None = None
    missing: tuple[str, ...] = ()
    parents: tuple[Relative, ...] = ()
    root: Relative | None = None
    holder: LauncherFacts | None = None
    launchers: tuple[LauncherFacts, ...] = ()
    launches: tuple[WaitingLaunch, ...] = ()
    service: LauncherFacts | None = None
    ahead: int = 0
    shape: NodeShape = NodeShape()
    scheduler: str = "local"
    minutes: int | None = None
    output: Excerpt | None = None
    script_log: Excerpt | None = None


@dataclass(frozen=True)
class HeldJob:
    """A job in a launcher's hands."""

    job_id: UUID
    name: str
    state: State
    node: str
    pid: int | None


@dataclass(frozen=True)
class OneLauncher:
    """A launcher by itself: with the first jobs that it holds, and the end of its log."""

    launcher: LauncherFacts
    now: float
    jobs: tuple[HeldJob, ...] = ()
    log: Excerpt | None = None
