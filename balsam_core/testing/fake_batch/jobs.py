"""A batch job as the fake queue keeps it, and what the fake scheduler is made of: one JSON file each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

QUEUED, HELD, RUNNING, ENDING, OVER = "queued", "held", "running", "ending", "over"


@dataclass(frozen=True)
class Config:
    """What a fake scheduler is.

    kind: `pbs` or `cobalt`. nodes: their names. queues: the most minutes of each, None: any; the first is the default.
    environ: of every batch job, over what the scheduler sets. grace_seconds: between SIGTERM and SIGKILL. cluster:
    Cobalt's batch jobs run on their first node and get a node file, as on Cooley. first_id: of the first batch job.
    """

    kind: str
    nodes: tuple[str, ...]
    queues: Mapping[str, int | None]
    grace_seconds: float
    environ: Mapping[str, str] = field(default_factory=dict)
    cluster: bool = False
    first_id: int = 1


@dataclass(frozen=True)
class BatchJob:
    """What was asked for, and what became of it.

    argv: what is run; stdin: what it reads. environ: asked for by the submitter, or told of it. output, error: files;
    the same one twice: joined. spooled: they appear at the end only. facts: what only the scheduler's own face knows.
    pid: of its first process, which leads its session. exit_status: -N: killed by signal N. stopped: why it was, by
    `delete` or `walltime`; stopped_by: who deleted it. Times are seconds since the epoch.
    """

    number: int
    name: str
    user: str
    nodes: int
    walltime_seconds: float
    queue: str
    project: str
    argv: tuple[str, ...]
    cwd: str
    output: str
    error: str
    submitted_at: float
    words: tuple[str, ...] = ()
    stdin: str = ""
    spooled: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    state: str = QUEUED
    hosts: tuple[str, ...] = ()
    pid: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit_status: int | None = None
    stopped: str = ""
    stopped_by: str = ""

    @property
    def has_nodes(self) -> bool:
        """Whether it occupies its nodes."""
        return self.state in (RUNNING, ENDING)

    def seconds_used(self, now: float) -> float:
        """How long it has run."""
        if self.started_at is None:
            return 0.0
        return max((self.ended_at or now) - self.started_at, 0.0)


def from_json(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """A Config or BatchJob as it was saved: JSON has no tuples."""
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
