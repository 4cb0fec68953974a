"""A batch job: what is asked of a scheduler (BatchRequest), and what our record of it says (LaunchState)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, field_validator

from balsam_core.models.job import Count

_BLANK_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f]")


class LaunchState(str, Enum):
    """Our record of a batch job, from before the submit command runs to its end."""

    SUBMITTING = "SUBMITTING"
    REJECTED = "REJECTED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    ENDED = "ENDED"
    CANCELLED = "CANCELLED"
    LOST = "LOST"


# What the scheduler may still have, or may get to know of.
OPEN = (LaunchState.SUBMITTING, LaunchState.QUEUED, LaunchState.RUNNING)


@dataclass(frozen=True)
class Pilot:
    """The launchers of one batch job, as they recorded themselves; live: one of them renews its lease.

    in_order: none was declared over by others. batch_job_id: what the scheduler calls the batch job, seen from inside.
    """

    live: bool
    in_order: bool
    reason: str
    jobs_done: int
    batch_job_id: str | None = None


@dataclass(frozen=True)
class BatchJob:
    """Our record of one batch job; times are seconds since the epoch, None: not yet.

    number: counts the site's batch jobs from 1. scheduler_id: None until the scheduler has given one. batch_state,
    raw_state, reason: the scheduler's last words. seen_at: when an answer last held it. absent_since: since when
    answers have not, on the lease clock. cancelled: the scheduler has agreed to cancel it. submitting: its submit
    command may still run. pilot: None: no launcher has begun.
    """

    number: int
    launch_id: UUID
    tag: str
    scheduler: str
    scheduler_id: str | None
    state: LaunchState
    batch_state: str
    raw_state: str
    reason: str
    nodes: int
    time_limit_minutes: int
    queue: str | None
    project: str | None
    job_mode: str
    wf_filter: str | None
    workdir: str
    output_prefix: str
    created_at: float
    state_at: float
    seen_at: float | None
    absent_since: float | None
    seconds_left: float | None
    exit_code: int | None
    cancelled: bool
    submitting: bool
    pilot: Pilot | None

    @property
    def is_open(self) -> bool:
        """Whether it may still wait or run."""
        return self.state in OPEN

    def __str__(self) -> str:
        return f"{self.scheduler} {self.scheduler_id}" if self.scheduler_id else self.tag


@dataclass(frozen=True)
class Evidence:
    """The command that showed something, and its answer; texts are cut to their last part."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    timed_out: bool


@dataclass(frozen=True)
class Change:
    """A move of our record, with the columns that change beside its state; message: for people."""

    launch_id: UUID
    old: LaunchState
    new: LaunchState
    message: str
    values: Mapping[str, Any] = field(default_factory=dict)
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Work:
    """Jobs that are alike: how many, and what one of them takes of `nodes` nodes: the part 1/packing, for so long."""

    job_mode: str
    nodes: int
    packing: int
    minutes: int
    count: int

    @property
    def node_minutes(self) -> float:
        """What all of them take together."""
        return self.count * self.nodes * self.minutes / self.packing

    @property
    def wide(self) -> int:
        """On how many nodes all of them would run at once."""
        return math.ceil(self.count / self.packing) * self.nodes


class BatchRequest(BaseModel):
    """An allocation as `balsam submit-launch` or the service asks a scheduler for it; unknown fields are refused.

    tag: the batch job's name, unique within the site, so that a crash cannot submit twice. launch_id: our own id.
    workdir: an absolute folder where the batch job starts. output_prefix: its output files' path without a suffix.
    queue, project: None: the scheduler's own default. wf_filter: None: jobs of all workflows. mpi, node_source,
    gpus_per_node: for the launcher; None: as the settings have it. sched_flags: words given to the submit command as
    they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tag: str = Field(min_length=1)
    nodes: Count
    time_limit_minutes: Count
    job_mode: Literal["mpi", "serial"]
    workdir: str
    output_prefix: str
    queue: str | None = None
    project: str | None = None
    wf_filter: str | None = None
    mpi: str | None = None
    node_source: str | None = None
    gpus_per_node: Annotated[int, Field(ge=0)] | None = None
    launch_id: UUID = Field(default_factory=uuid4)
    sched_flags: tuple[str, ...] = ()

    @field_validator("tag", "queue", "project")
    @classmethod
    def _is_one_word(cls, value: str | None) -> str | None:
        if value is not None and (not value or value.startswith("-") or _BLANK_OR_CONTROL.search(value)):
            raise ValueError("should be one word")
        return value
