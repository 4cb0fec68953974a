"""What the listing commands print, as models: `--json` prints one of these; schema_version changes with its meaning."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from balsam_core.models.batch import LaunchState
from balsam_core.state.machine import State


class Listing(BaseModel):
    """One listing; a reader that knows the version may rely on every key."""

    schema_version: Literal[1] = 1


class JobLine(BaseModel):
    """One job; extra keys are the columns that were asked for."""

    model_config = ConfigDict(extra="allow")

    job_id: UUID
    name: str
    workflow: str
    application: str
    state: str


class JobListing(Listing):
    """`ls jobs`: total counts the jobs of the query, of which a limit may show fewer."""

    total: int
    jobs: list[JobLine]


class Event(BaseModel):
    """One move of a job; the time is UTC."""

    attempt: int
    from_state: str
    to_state: str
    at: datetime
    message: str


class JobHistory(BaseModel):
    """One job and its moves, oldest first."""

    job_id: UUID
    name: str
    workflow: str
    state: str
    events: list[Event]


class HistoryListing(Listing):
    """`ls jobs --history`."""

    total: int
    jobs: list[JobHistory]


class StateListing(Listing):
    """`ls jobs --by-states`: states without jobs are left out."""

    total: int
    states: dict[State, int]


class WorkflowLine(BaseModel):
    """One workflow and how many of its jobs are in each state."""

    workflow: str
    total: int
    states: dict[State, int]


class WorkflowListing(Listing):
    """`ls wf`."""

    workflows: list[WorkflowLine]


class TreeLine(BaseModel):
    """One job, and which of the listed jobs it waits for."""

    job_id: UUID
    name: str
    state: str
    parents: list[UUID]


class TreeListing(Listing):
    """`ls jobs --tree`: total counts the jobs of the query, of which a limit may show fewer."""

    total: int
    jobs: list[TreeLine]


class AppLine(BaseModel):
    """One application."""

    app_id: UUID
    name: str
    executable: str
    description: str
    preprocess: str
    postprocess: str
    envscript: str


class AppListing(Listing):
    """`ls apps`."""

    apps: list[AppLine]


class LauncherLine(BaseModel):
    """One launcher; jobs: how many it holds. status: `live`, or why its lease is over."""

    launcher_id: UUID
    host: str
    pid: int
    batch_job_id: str | None
    job_mode: str
    workflow: str
    nodes: int
    jobs: int
    started_at: datetime
    lease_seconds: float
    silent_seconds: float | None
    status: str


class LauncherListing(Listing):
    """`ls launchers`."""

    launchers: list[LauncherLine]


class QueueLine(BaseModel):
    """One batch job. raw_state, reason: the scheduler's words; minutes_left: of its walltime, as the scheduler said.

    jobs_done: by its launcher. answer_age_seconds: since the scheduler was last asked; None: it never was.
    """

    number: int
    launch_id: UUID
    scheduler: str
    scheduler_id: str | None
    state: LaunchState
    raw_state: str
    reason: str
    queue: str | None
    project: str | None
    nodes: int
    time_limit_minutes: int
    minutes_left: float | None
    job_mode: str
    wf_filter: str | None
    jobs_done: int
    exit_code: int | None
    answer_age_seconds: float | None
    created_at: datetime
    state_at: datetime
    script: str


class QueueEvent(BaseModel):
    """One change of our record of a batch job, with what showed it; evidence: command, exit code and answer."""

    number: int
    from_state: str
    to_state: str
    at: datetime
    message: str
    evidence: dict[str, Any]


class QueueListing(Listing):
    """`ls queues`. problems: the schedulers that gave no answer, and why. events: with `--verbose`."""

    queues: list[QueueLine]
    problems: dict[str, str]
    events: list[QueueEvent] = []


class Excerpt(BaseModel):
    """The last lines of a file; what: what the file is to the reader."""

    what: str
    file: str
    lines: list[str]


class Advice(BaseModel):
    """What would help, and the command to type for it; an empty one: there is nothing to type."""

    text: str
    command: str


class ExplanationListing(Listing):
    """`explain`; about: `job`, `launch` or `launcher`. facts: what the sentences were made from, as
    `balsam_core/explain/facts.py` has it."""

    about: str
    sentences: list[str]
    excerpts: list[Excerpt]
    advice: list[Advice]
    facts: dict[str, Any]


class SubmitReport(Listing):
    """`submit-launch`; with `--dry-run`, number and scheduler_id are None."""

    dry_run: bool
    number: int | None
    scheduler: str
    scheduler_id: str | None
    script: str
    command: list[str]
    jobs: int
    checked: str | None = None


class MachineLine(BaseModel):
    """One machine preset."""

    name: str
    scheduler: str
    mpi: str
    nodes: str
    database: str
    queues: list[str]
    description: str


class MachineListing(Listing):
    """`machine ls`."""

    machines: list[MachineLine]


class PluginLine(BaseModel):
    """One plugin; error: the traceback of one that failed to load."""

    name: str
    distribution: str | None
    version: str | None
    module: str
    roles: dict[str, tuple[str, ...]]
    error: str | None


class PluginListing(Listing):
    """`plugin ls`."""

    plugins: list[PluginLine]


class SiteLine(BaseModel):
    """One known site; exists: whether its folder still is one."""

    name: str
    path: str
    exists: bool
    active: bool


class SiteListing(Listing):
    """`which`: the current site, or the one asked for; with `--list` all known ones."""

    sites: list[SiteLine]


class UsageLine(BaseModel):
    """What a part of a site takes: bytes on disk, and inodes (files, folders, links)."""

    part: str
    path: str
    size: int
    inodes: int


class UsageListing(Listing):
    """`which --usage`: the part `site` is the whole folder; free_*: what is left on the disk, None: not known."""

    parts: list[UsageLine]
    free_size: int | None = None
    free_inodes: int | None = None


Record = dict[str, Any]


class LookListing(Listing):
    """`top --once`; the records are those of balsam_core/monitoring/snapshot.py, with times in epoch seconds.

    states: without the filter's own states; total: with them. ended: jobs that came to an end during rate_seconds.
    """

    at: datetime
    states: dict[State, int]
    total: int
    ended: dict[State, int]
    rate_seconds: float
    ended_per_minute: float
    nodes_held: int
    nodes_busy: float
    launchers: list[Record]
    nodes: list[Record]
    batch_jobs: list[Record]
    failing: list[Record]
    failing_known: bool
    jobs: list[Record]


class JobRecords(Listing):
    """`ls jobs --verbose`: every field of a job, as in the table `jobs`, with its parents."""

    total: int
    jobs: list[Record]
