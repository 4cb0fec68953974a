"""Starts a worker process and talks to it: the launcher's end of the line.

with start_worker(node, launcher_id, environ=os.environ, journal_path=path) as worker:
    worker.start([Task(key="3f2a.1", argv=["/bin/true"], cwd="/data/a", output="a.out")])
    selector.register(worker, selectors.EVENT_READ)
    ...
    for report in worker.receive():
        ...
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import balsam_core
from balsam_core.errors import LaunchError
from balsam_core.launcher.channel import Channel, Message
from balsam_core.launcher.messages import Ended, How, Recalled, Refused, Report, Started, Task
from balsam_core.launcher.sweep import LAUNCHER_VARIABLE
from balsam_core.models.nodes import Node

if TYPE_CHECKING:
    from balsam_core.plugins import Command

_SEND_SECONDS = 60
_REPORTS: dict[str, type[Started | Refused | Ended | Recalled]] = {
    kind.__name__: kind for kind in (Started, Refused, Ended, Recalled)
}


class WorkerDied(LaunchError):
    """The worker process is gone: what it had running must be swept, see `sweep.py`."""


class WorkerClient:
    """The launcher's end of one worker; not for use by several threads at once."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel) -> None:
        self.pid = process.pid
        self._process = process
        self._channel = channel
        self._is_closed = False

    def fileno(self) -> int:
        """For a selector: readable when `receive` has something to say, the worker's death included."""
        return self._channel.fileno()

    def start(self, tasks: Iterable[Task]) -> None:
        """Hand over tasks; each is answered by Started and Ended, or by Refused, or by Recalled.

        A key that is queued or running is ignored.
        """
        self.tell([start_message(tasks)])

    def kill(self, keys: Iterable[str], grace_seconds: float) -> None:
        """SIGTERM now, SIGKILL after the grace; unknown keys are ignored, their end is on its way."""
        self.tell([kill_message(keys, grace_seconds)])

    def stop_with(self, key: str, request: Command, force: Command) -> None:
        """End this running task by commands instead of SIGTERM and SIGKILL; the latter comes after all if need be."""
        self.tell([stop_with_message(key, request, force)])

    def recall(self, keys: Iterable[str] | None = None) -> None:
        """Ask for tasks back that are still queued (None: all); the answer is one Recalled, maybe empty."""
        self.tell([recall_message(keys)])

    def set_time_left(self, seconds: float | None) -> None:
        """Queued tasks whose `need.wall_seconds` is longer come back as Recalled; running ones are left alone."""
        self.tell([("set_time_left", seconds)])

    def receive(self) -> list[Report]:
        """What has arrived, without waiting; raises WorkerDied when the worker is gone and all reports are read."""
        return [typed(message) for message in self.hear()]

    def wait(self, selector: selectors.BaseSelector, seconds: float) -> None:
        """Until something that the selector knows has happened, at most so long."""
        selector.select(seconds)

    def tell(self, messages: Iterable[Message]) -> None:
        """Send messages as they are. A worker that has died takes none: `receive` tells."""
        self._channel.put(messages)
        try:
            self._channel.drain(_SEND_SECONDS)
        except TimeoutError as error:
            raise WorkerDied(f"the worker process {self.pid} does not answer: {error}") from error

    def hear(self) -> list[Message]:
        """As `receive`, but the reports as they came."""
        messages = self._channel.receive()
        if self._channel.is_closed and not messages:
            raise WorkerDied(f"the worker process {self.pid} has died{self._how_it_died()}")
        return messages

    def close(self, deadline_seconds: float = 15) -> None:
        """Hang up: the worker SIGKILLs all that it started and ends; safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._channel.close()
        try:
            self._process.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _how_it_died(self) -> str:
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return ""
        return f" of signal {-code}" if code < 0 else f" with exit code {code}"


def start_worker(
    node: Node,
    launcher_id: str,
    environ: Mapping[str, str],
    journal_path: Path | None = None,
    seconds_left: float | None = None,
    grace_seconds: float = 5,
) -> WorkerClient:
    """A running worker for `node`; jobs get `clean_environment(environ)` plus BALSAM_LAUNCHER_ID.

    grace_seconds: between SIGTERM and SIGKILL of a task that met its `timeout_seconds`.
    """
    environment = {**clean_environment(environ), LAUNCHER_VARIABLE: launcher_id}
    client = spawn_worker(environment)
    client.tell(first_messages(node, environment, journal_path, seconds_left, grace_seconds))
    return client


def spawn_worker(environment: Mapping[str, str]) -> WorkerClient:
    """A worker process with that environment of its own; it waits for `first_messages`."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = _start_process(theirs.fileno(), environment)
    return WorkerClient(process, Channel(ours.detach()))


def first_messages(
    node: Node,
    environment: Mapping[str, str],
    journal_path: Path | None,
    seconds_left: float | None,
    grace_seconds: float,
) -> list[Message]:
    """What a worker must know before its first task: its node, and the environment that jobs get."""
    config = _config(node, dict(environment), journal_path, grace_seconds)
    return [("configure", config), ("set_time_left", seconds_left)]


def start_message(tasks: Iterable[Task]) -> Message:
    """See `WorkerClient.start`."""
    return ("start", [_plain(task) for task in tasks])


def kill_message(keys: Iterable[str], grace_seconds: float) -> Message:
    """See `WorkerClient.kill`."""
    return ("kill", list(keys), float(grace_seconds))


def stop_with_message(key: str, request: Command, force: Command) -> Message:
    """See `WorkerClient.stop_with`."""
    return ("stop_with", key, *((list(command.argv), dict(command.env)) for command in (request, force)))


def recall_message(keys: Iterable[str] | None) -> Message:
    """See `WorkerClient.recall`."""
    return ("recall", None if keys is None else list(keys))


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without what tells an MPI program which rank of which run it is.

    A launcher that is itself a rank would pass these on, and a job that calls MPI_Init would then try to join our
    run: MPICH ends with "PMI_Init returned -1". What a user sets to configure MPI stays (`HYDRA_LAUNCHER`,
    `MPICH_*`, `OMPI_MCA_btl`, `OMPI_ALLOW_RUN_AS_ROOT` ...), except the Open MPI parameters that mpirun sets per run.
    """
    return {name: value for name, value in environ.items() if not _is_per_rank(name)}


def _is_per_rank(name: str) -> bool:
    if name.startswith(_KEPT):
        return False
    return name in _PER_RANK_NAMES or name.startswith(_PER_RANK)


# Read from the environment of a rank under MPICH 5.0 (PMI_FD, PMI_RANK, HYDI_CONTROL_FD, MPI_LOCALRANKID ...), from
# the sources of Open MPI 4 and 5, which talks PMIx and is started by PRRTE, and from a step of Slurm 22.05: Open MPI
# takes SLURM_STEPID and SLURM_PROCID for a start by srun, and srun itself the binding for an option. What tells of
# the whole allocation stays (`SLURM_JOB_ID`, `SLURM_JOB_NODELIST` ...).
_PER_RANK_NAMES = frozenset(
    {"OMPI_COMMAND", "OMPI_ARGV", "OMPI_FILE_LOCATION", "OMPI_UNIVERSE_SIZE"}
    | {"SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_TASK_PID", "SLURM_GTIDS", "SLURM_LAUNCH_NODE_IPADDR"}
    | {"SLURM_DISTRIBUTION"}
)
_PER_RANK = (
    "PMI_", "PMI2_", "PMIX_", "HYDI_", "HYDRA_CONTROL_FD", "MPI_LOCALNRANKS", "MPI_LOCALRANKID",
    "OMPI_COMM_WORLD_", "OMPI_APP_CTX_", "OMPI_NUM_APP_CTX", "OMPI_FIRST_RANKS", "OMPI_MCA_orte_", "OMPI_MCA_ess",
    "OMPI_MCA_initial_wdir", "OMPI_MCA_mpi_oversubscribe", "PRTE_", "SLURM_STEP", "SLURM_SRUN_", "SLURM_CPU_BIND",
    "SLURM_PMI",
)  # fmt: skip
_KEPT = ("PMIX_MCA_", "PRTE_MCA_", "PRTE_ALLOW_RUN_AS_ROOT")


# Without site-packages (-S) the worker starts in half the time; our package comes last, so that nothing that is
# installed beside it can stand in for a module of the standard library. Else the same as `python -m ...worker`.
_PROGRAM = """\
import sys
sys.path.append(sys.argv[1])
from balsam_core.launcher.worker import main
main(int(sys.argv[2]), int(sys.argv[3]))
"""


def _start_process(descriptor: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The worker, in a session of its own and away from the folder of the user, who may have a `signal.py` there."""
    package = Path(balsam_core.__file__).resolve().parent.parent
    return subprocess.Popen(
        [sys.executable, "-S", "-c", _PROGRAM, str(package), str(descriptor), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        cwd="/",
        env=environment,
        pass_fds=[descriptor],
        start_new_session=True,
    )


def _config(
    node: Node, environment: dict[str, str], journal_path: Path | None, grace_seconds: float
) -> dict[str, object]:
    return {
        "environment": environment,
        "cpus": () if node.is_virtual else tuple(node.cpus),
        "numa": tuple(tuple(cpus) for cpus in node.numa),
        "gpus": tuple(node.gpus),
        "memory_mb": node.memory_mb,
        "gpu_variable": node.gpu_variable,
        "journal": str(journal_path.absolute()) if journal_path else None,
        "grace_seconds": float(grace_seconds),
    }


def _plain(task: Task) -> tuple[object, ...]:
    """The task as marshal takes it: no named tuples."""
    return task._replace(
        argv=list(task.argv),
        env=dict(task.env),
        need=cast(Any, tuple(task.need)),
        bound=cast(Any, None if task.bound is None else tuple(task.bound)),
        call=cast(Any, None if task.call is None else tuple(task.call)),
    )[:]


def typed(message: Message) -> Report:
    """A report as a worker sends it."""
    name, *fields = cast(Any, message)
    if name == "Ended":
        fields[2] = How(fields[2])
    return _REPORTS[name](*fields)
