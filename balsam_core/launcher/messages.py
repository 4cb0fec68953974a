"""What the launcher and a worker say to each other.

Everything here is a named tuple of plain values and imports only the standard library: the worker process
must start in a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

# Two descriptors of a nursery: its channel to the worker, and the socket on which it hands over those of others.
NURSERY_SOCKETS = "BALSAM_NURSERY_SOCKETS"


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


class Call(NamedTuple):
    """A call of a Python function, for a worker that keeps processes warm.

    nursery: the command of the process that imports the function once. own: the variables of the task's `env` that
    differ from job to job; with the others the nursery is started. reuse: make the call in a process that has made
    others before, instead of one of its own.
    """

    nursery: Sequence[str]
    arguments: Sequence[str]
    own: Sequence[str]
    reuse: bool = False


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
    result: the file in `cwd` whose text is reported when the task ends well. call: what `argv` does, by a warm process.
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
    result: str = ""
    call: Call | None = None


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
    result: what it left in its `Task.result`.
    """

    key: str
    code: int
    how: How
    seconds: float
    tail: str
    result: str = ""


class Recalled(NamedTuple):
    """These tasks were not started yet and never will be.

    Sent in answer to `recall`, for tasks that were killed before, and for those that the time left is too short for.
    """

    keys: tuple[str, ...]
    reason: str = ""


Report = Started | Refused | Ended | Recalled
