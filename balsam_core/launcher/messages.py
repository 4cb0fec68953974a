"""What the launcher and a worker say to each other.

Everything here is a named tuple of plain values and imports only the standard library: the worker process
must start in a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple


class Need(NamedTuple):
    """What one job asks of its nodes.

    packing: how many such jobs share a node; the job takes exactly 1/packing of each of its nodes.
    gpus: GPUs per node; None: the node's GPUs divided by the packing, rounded down.
    memory_mb: per node; None: not counted. wall_seconds: None: never keeps the job from starting.
    """

    num_nodes: int = 1
    packing: int = 1
    gpus: int | None = None
    memory_mb: int | None = None
    wall_seconds: float | None = None


class Bound(NamedTuple):
    """The cores and GPUs that a task gets from its sender instead of from the worker's queue."""

    cpus: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()


class Task(NamedTuple):
    """One attempt of a job, as a worker starts it.

    key: the sender's name for the attempt, `<job id>.<attempt>`; the worker only hands it back.
    argv: the program is looked up in the job's own PATH; a path with a slash is relative to `cwd`.
    env: changes to the worker's base environment; None removes a variable.
    output: gets stdout and stderr, appended; relative to `cwd`.
    need: queue the task; the worker starts it, in order, when it fits its node.
    bound: start the task at once on these cores (none: not bound) and GPUs, past the queue; `need` is not looked at.
    timeout_seconds: SIGTERM after that long, SIGKILL after the worker's grace.
    node: which of the sender's nodes the task is for; its worker does not look at it.
    """

    key: str
    argv: Sequence[str]
    cwd: str
    output: str
    env: Mapping[str, str | None] = {}
    make_cwd: bool = True
    need: Need = Need()
    bound: Bound | None = None
    timeout_seconds: float | None = None
    node: int = 0


class How(str, Enum):
    """How a started task came to its end."""

    EXITED = "exited"
    KILLED = "killed"
    TIMED_OUT = "timed out"


class Started(NamedTuple):
    """The task's process exists; `boottime_seconds` is CLOCK_BOOTTIME just before the fork."""

    key: str
    pid: int
    boottime_seconds: float
    cpus: tuple[int, ...]
    gpus: tuple[str, ...]


class Refused(NamedTuple):
    """The task cannot be started, now or later; `reason` is for the user."""

    key: str
    reason: str


class Ended(NamedTuple):
    """The task's process ended, and its process group with it.

    code: the exit code, or minus the signal. tail: the end of what this attempt wrote, when it failed.
    """

    key: str
    code: int
    how: How
    seconds: float
    tail: str


class Recalled(NamedTuple):
    """These tasks were still queued, were not started and never will be.

    Sent in answer to `recall`, for queued tasks that were killed, and for those that the time left is too short for.
    """

    keys: tuple[str, ...]
    reason: str = ""


Report = Started | Refused | Ended | Recalled
