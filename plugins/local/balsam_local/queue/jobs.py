"""A batch job as the queue keeps it: one JSON file each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum


class State(str, Enum):
    """Where a batch job stands; STARTING is written before its process is there, RUNNING once it is."""

    WAITING = "WAITING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    ENDING = "ENDING"
    DONE = "DONE"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"
    UNREADABLE = "UNREADABLE"


OVER = frozenset({State.DONE, State.FAILED, State.TIMEOUT, State.CANCELLED})


@dataclass(frozen=True)
class BatchJob:
    """What was asked for, and what became of it.

    machine_nodes: how many nodes the machine has in the eyes of whoever submitted. environ: kept until the end.
    mark: stands in the environment of all its processes. slots: the numbers of its nodes, from 1. pid, start_ticks:
    of the script's process, see proc(5). boot_id: of the boot in which it started. end_clock: the end of its
    walltime, on CLOCK_MONOTONIC, which nobody steps and which rests while the machine sleeps. exit_code: -N: killed
    by signal N. Times are seconds since the epoch.
    """

    id: int
    name: str
    nodes: int
    minutes: float
    script: str
    workdir: str
    output: str
    machine_nodes: int = 1
    grace_seconds: float = 10.0
    queue: str | None = None
    project: str | None = None
    umask: int = 0o077
    submitted_at: float = 0.0
    environ: Mapping[str, str] = field(default_factory=dict)
    state: State = State.WAITING
    reason: str = ""
    cancel: bool = False
    mark: str = ""
    slots: tuple[int, ...] = ()
    boot_id: str = ""
    pid: int | None = None
    start_ticks: int | None = None
    end_clock: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.state in OVER

    @property
    def node_ids(self) -> list[str]:
        """The ids of its nodes."""
        return [f"n{slot}" for slot in self.slots]

    def to_json(self) -> str:
        """The text of its file."""
        return json.dumps(asdict(self), indent=1)


def from_json(job_id: int, text: str) -> BatchJob:
    """The batch job in that text; UNREADABLE with the reason when it holds none."""
    try:
        raw = json.loads(text)
        raw.update(state=State(raw["state"]), slots=tuple(raw["slots"]))
        return BatchJob(**raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"its file in the queue cannot be read: {error}"
        return BatchJob(job_id, "", 1, 0, "", "", "", state=State.UNREADABLE, reason=reason)


def row(job: BatchJob, now_clock: float, reason: str = "") -> dict[str, object]:
    """A batch job as the commands print it; reason: instead of its own."""
    return {
        "id": str(job.id),
        "state": job.state.value,
        "name": job.name,
        "reason": reason or job.reason,
        "exit_code": job.exit_code,
        "seconds_left": _seconds_left(job, now_clock),
        "queue": job.queue,
        "project": job.project,
        "nodes": job.nodes,
        "node_ids": job.node_ids,
        "minutes": job.minutes,
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "pid": None if job.is_over else job.pid,
        "script": job.script,
        "output": job.output,
    }


def _seconds_left(job: BatchJob, now_clock: float) -> float | None:
    if job.is_over or job.end_clock is None:
        return None
    return round(max(0.0, job.end_clock - now_clock), 1)
