"""What a plugin implements, and the values that pass between it and the core.

A plugin turns data into data: it builds commands and reads their output; the core runs them (`balsam_core.commands`).
Its only window to the world is an argument, the `Probe`. Nothing here imports more than the standard library.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Literal

from balsam_core.models.nodes import Allocation, Node, Placement

if TYPE_CHECKING:
    from balsam_core.models.batch import BatchRequest

__all__ = [
    "Allocation",
    "BatchEvent",
    "BatchRecord",
    "BatchState",
    "BatchStatus",
    "Command",
    "CommandResult",
    "Hardware",
    "JobEvent",
    "Launch",
    "Machine",
    "MpiLauncher",
    "Node",
    "NodeShape",
    "NodeSource",
    "Placement",
    "Probe",
    "Queue",
    "Scheduler",
    "StatusReport",
]


# ---- commands ----


@dataclass(frozen=True)
class Command:
    """A command for the core to run; never a shell's string.

    env: variables added to the environment of whoever runs it. stdin: text for its standard input; None: empty.
    unset: variables that it does not get from there; of the commands of schedulers and node sources only.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    unset: tuple[str, ...] = ()


@dataclass(frozen=True)
class CommandResult:
    """How a command ended; stdout and stderr are never mixed.

    returncode: the exit code, or -N when signal N killed it. As in a shell, 127 says that there is no such command
    and 126 that it cannot be run; stderr then says which. timed_out: stopped by the core, its answer is incomplete.
    """

    argv: tuple[str, ...]
    returncode: int
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False


# ---- schedulers ----


class BatchState(str, Enum):
    """The scheduler's view of a batch job; a raw word that no table knows is UNKNOWN, never dropped."""

    QUEUED = "QUEUED"
    HELD = "HELD"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    ENDING = "ENDING"
    DONE = "DONE"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"
    PREEMPTED = "PREEMPTED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class BatchStatus:
    """What a scheduler says of one batch job; None: it did not say.

    raw_state: its own word. name: the batch job's name, our tag. reason: why it waits or ended, in its words.
    nodes: how many nodes it has or asks for.
    """

    state: BatchState
    raw_state: str
    name: str | None = None
    reason: str = ""
    exit_code: int | None = None
    seconds_left: float | None = None
    queue: str | None = None
    nodes: int | None = None


@dataclass(frozen=True)
class StatusReport:
    """What a scheduler says of many batch jobs, by id.

    An id that is not in `jobs` is absent, which says nothing of its state. unreadable: the rows that could not be
    read, as they were printed; they spoil no other row.
    """

    jobs: Mapping[str, BatchStatus] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True)
class BatchRecord:
    """What the site remembers of a batch job: the scheduler's id, and where its files are."""

    id: str
    workdir: str
    output_prefix: str


@dataclass(frozen=True)
class IdleNodes:
    """Nodes of a queue that are idle now.

    seconds: until the batch job takes them that they are kept for; None: they are kept for none.
    """

    queue: str
    nodes: int
    seconds: float | None = None


class Scheduler(ABC):
    """A batch scheduler: pairs of "build the command" and "read its answer".

    A `parse_` method gets results of commands that ran to their end; when one is missing or timed out, the core
    raises `SchedulerUnavailable` itself. The three classes of `SchedulerError` are all that a `parse_` method raises:

    - `SchedulerUnavailable`: the scheduler gave no answer (daemon down); nothing changes state, the core backs off;
    - `SchedulerRejected`: it answered no; the message holds its own words;
    - `SchedulerNotUnderstood(message, raw)`: the answer cannot be read; nothing changes, the text is kept and shown.

    name: what the settings call it. template: its script, as `package:file`. job_id_variable: the environment
    variable that holds the id inside a batch job. min_poll_seconds: ask no more often. grace_seconds: a new batch job
    may be absent from the queue this long. runs_here: its batch jobs run on the host that submits them.

    Example::

        class Toy(Scheduler):
            name = "toy"
            template = "balsam_toy:toy.sh.j2"
            job_id_variable = "TOY_JOB_ID"

            def submit_command(self, request, script, dry_run):
                return None if dry_run else Command(("toysub", "--name", request.tag, script))

            def parse_submit(self, result):
                if result.returncode != 0:
                    raise SchedulerRejected(result.stderr.strip())
                return result.stdout.strip()
            ...
    """

    name: str
    template: str
    job_id_variable: str
    min_poll_seconds: float = 10.0
    grace_seconds: float = 60.0
    runs_here: bool = False

    def template_values(self, request: BatchRequest) -> Mapping[str, object]:
        """What the template is given as `scheduler`, beside `request`: the words of its directives, ready to print."""
        return {}

    @abstractmethod
    def submit_command(self, request: BatchRequest, script: str, dry_run: bool) -> Command | None:
        """The command that submits the script at the absolute path `script`, named `request.tag`.

        dry_run: the scheduler shall check and not queue; None: it has no such command.
        """

    @abstractmethod
    def parse_submit(self, result: CommandResult) -> str:
        """The new batch job's id, always a string (`16_3`, `8[].pbs`); read from stdout, never from stderr.

        Raises SchedulerRejected, SchedulerUnavailable, SchedulerNotUnderstood.
        """

    @abstractmethod
    def status_command(self, ids: Sequence[str], user: str) -> Command:
        """ONE command that asks for all of `ids`; an id that is unknown to the scheduler must not spoil the rest."""

    @abstractmethod
    def parse_status(self, ids: Sequence[str], result: CommandResult) -> StatusReport:
        """What the answer says of `ids`; an id it does not hold stays absent: nothing is inferred from silence.

        Raises SchedulerUnavailable, SchedulerNotUnderstood.
        """

    def find_command(self, tag: str, user: str) -> Command | None:
        """Asks which batch job is named `tag`, after a crash between submit and record; None: it cannot be asked."""
        return None

    def parse_find(self, result: CommandResult) -> str | None:
        """The id of the batch job that `find_command` asked for; None: there is none.

        Raises SchedulerUnavailable, SchedulerNotUnderstood.
        """
        return None

    def history_commands(self, records: Sequence[BatchRecord]) -> Sequence[Command]:
        """Commands that tell how finished batch jobs ended; reading a log file is a command too: `cat FILE`."""
        return ()

    def parse_history(self, records: Sequence[BatchRecord], results: Sequence[CommandResult]) -> StatusReport:
        """What the results, in the order of `history_commands`, say of the records.

        Raises SchedulerUnavailable, SchedulerNotUnderstood.
        """
        return StatusReport()

    def idle_command(self) -> Command | None:
        """Asks which nodes are idle, so that the service can ask for batch jobs that begin at once; None: not told."""
        return None

    def parse_idle(self, result: CommandResult) -> Sequence[IdleNodes]:
        """The idle nodes, each once for every queue that it is in.

        Raises SchedulerUnavailable, SchedulerNotUnderstood.
        """
        return ()

    @abstractmethod
    def cancel_command(self, ids: Sequence[str]) -> Command:
        """The command that cancels all of `ids`, whether they wait or run."""

    @abstractmethod
    def parse_cancel(self, ids: Sequence[str], result: CommandResult) -> frozenset[str]:
        """Those of `ids` that the scheduler agreed to cancel, or that were over already.

        Raises SchedulerRejected, SchedulerUnavailable, SchedulerNotUnderstood.
        """


# ---- nodes ----


@dataclass(frozen=True)
class Hardware:
    """The host that the launcher runs on, as far as this process may use it.

    cpus: ids as `os.sched_setaffinity` counts them. gpus: the ids that `gpu_variable` understands.
    numa: the usable cpu ids of each NUMA domain.
    """

    hostname: str
    cpus: tuple[int, ...]
    threads_per_core: int = 1
    memory_mb: int | None = None
    gpus: tuple[str, ...] = ()
    numa: tuple[tuple[int, ...], ...] = ()
    gpu_variable: str = "CUDA_VISIBLE_DEVICES"


class Probe(ABC):
    """The world as a node source may see it; tests pass one that plays a machine."""

    environ: Mapping[str, str]

    @abstractmethod
    def read_text(self, path: str) -> str | None:
        """The file's text; None: it is missing or may not be read."""

    @abstractmethod
    def run(self, command: Command) -> CommandResult:
        """Runs a command to its end or its time limit; a missing command is a result too (return code 127)."""

    @abstractmethod
    def hardware(self) -> Hardware:
        """The host that this process runs on."""


class NodeSource(ABC):
    """Finds the nodes that a launcher may use, once, when the launcher starts.

    name: what the settings and `--node-source` call it. is_fallback: true for a source that answers on any machine;
    the setting `auto` asks such a source last.

    Example::

        class ToyNodes(NodeSource):
            name = "toy"

            def discover(self, probe):
                names = probe.environ.get("TOY_NODES")
                if names is None:
                    return None
                nodes = tuple(Node(id=name, hostname=name) for name in names.split(","))
                return Allocation(nodes, job_id=probe.environ.get("TOY_JOB_ID"))
    """

    name: str
    is_fallback: bool = False

    @abstractmethod
    def discover(self, probe: Probe) -> Allocation | None:
        """The allocation this process is in, node ids unique; None: this is not my machine.

        Raises LaunchError when it is my machine but its nodes cannot be told.
        """


# ---- MPI ----


@dataclass(frozen=True)
class Launch:
    """One parallel program to start.

    argv: the program and its arguments. placements: the nodes, each with the cores and GPUs that the program owns
    there; no cores: not bound. env: variables for every rank, GPU ids included. affinity `depth`: each rank is bound
    to `threads_per_rank` cores of its own; `none`: ranks are not bound one by one. flags: the job's own words for the
    MPI command. exclusive: nothing else runs on these nodes meanwhile.
    """

    argv: tuple[str, ...]
    placements: tuple[Placement, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ranks_per_node: int = 1
    threads_per_rank: int = 1
    threads_per_core: int = 1
    affinity: Literal["none", "depth"] = "none"
    flags: tuple[str, ...] = ()
    exclusive: bool = True

    @property
    def ranks(self) -> int:
        """Ranks on all nodes together."""
        return self.ranks_per_node * len(self.placements)


class MpiLauncher(ABC):
    """Starts parallel programs on nodes of the allocation: mpiexec, srun, aprun.

    name: what the settings and `--mpi` call it. max_concurrent: how many of its commands may run at once on the head
    node; None: any number. min_interval_seconds: the least time between two starts. (aprun: 1000 and 0.1.)

    Example::

        class Toy(MpiLauncher):
            name = "toyrun"

            def command(self, launch):
                hosts = ",".join(placement.node.hostname for placement in launch.placements)
                argv = ("toyrun", "-n", str(launch.ranks), "-H", hosts, *launch.flags, *launch.argv)
                return Command(argv, launch.env)
    """

    name: str
    max_concurrent: int | None = None
    min_interval_seconds: float = 0.0

    @abstractmethod
    def command(self, launch: Launch) -> Command:
        """The command that starts `launch`; its env is the child's environment, on top of the launcher's own.

        Called once per start, on the head node. Raises LaunchError when it cannot be started at all.
        """

    def stop_command(self, pid: int, force: bool) -> Command | None:
        """The command that stops the program whose MPI command has this pid; None: signal its process group.

        force: the grace is over (SIGKILL), else a first request (SIGTERM). Both are asked for when the program has
        started. They run on the head node, in the job's folder, and print into its output; 1 s after the one with
        force, what is left of the process group gets SIGKILL.
        """
        return None


# ---- presets ----


@dataclass(frozen=True)
class NodeShape:
    """What every node of a machine has."""

    cpus: int
    threads_per_core: int = 1
    gpus: int = 0
    memory_mb: int | None = None


@dataclass(frozen=True)
class Queue:
    """A queue and its limits; None: no limit.

    max_queued: batch jobs of one user that wait or run at a time; max_running: those of them that run.
    """

    name: str
    min_nodes: int = 1
    max_nodes: int | None = None
    max_minutes: int | None = None
    max_queued: int | None = None
    max_running: int | None = None


@dataclass(frozen=True)
class Machine:
    """A preset for one machine: which scheduler, MPI launcher and node source it has, by name.

    node: None: nodes are not alike, or unknown. template: None: the scheduler's own. plugin_settings: what the sections
    of plugins need, as in `{"slurm": {"constraint": "cpu"}}`.
    """

    name: str
    scheduler: str
    mpi: str
    nodes: str
    node: NodeShape | None = None
    queues: tuple[Queue, ...] = ()
    template: str | None = None
    database: Literal["sqlite", "postgresql"] = "sqlite"
    description: str = ""
    plugin_settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


# ---- events ----


@dataclass(frozen=True)
class JobEvent:
    """A job of ours moved from one state to another; `at` is UTC."""

    job_id: str
    attempt: int
    from_state: str
    to_state: str
    at: datetime
    message: str = ""


@dataclass(frozen=True)
class BatchEvent:
    """Our record of a batch job moved from one LaunchState to another; `at` is UTC. batch_job_id: the scheduler's."""

    batch_job_id: str | None
    tag: str
    scheduler: str
    from_state: str
    to_state: str
    at: datetime
    message: str = ""
