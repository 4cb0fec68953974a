"""The two job modes: which jobs a launcher takes now, and how one of them becomes a task.

Both keep an account of the nodes. In `serial` mode each node's worker decides itself which cores a job gets, and has a
few jobs more than fit, so that it never waits for the database. In `mpi` mode the launcher places, on one node or many.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from uuid import UUID

from balsam_core.function import RESULT_VARIABLE
from balsam_core.launcher.command import in_envscript, job_words, redirections
from balsam_core.launcher.messages import Bound, Call, Need, Task
from balsam_core.launcher.placement import FreeNode, Placed, Refusal, Why, place, release
from balsam_core.launcher.pool import Pool
from balsam_core.models.app import AppSpec, called_function
from balsam_core.models.job import Job
from balsam_core.models.nodes import Node, Placement
from balsam_core.plugins import Command, Launch, MpiLauncher
from balsam_core.plugins.guarding import mpi_command
from balsam_core.state.claims import Limits
from balsam_core.workdirs import result_name

_SMALLEST_PAGE = 64
_LARGEST_PAGE = 1_000
# Work that a node has waiting; enough to cover a claim, little enough that other launchers get their share.
_PREFETCH_SECONDS = 0.5
_LARGEST_PREFETCH = 1_000
_NURSERY = "balsam_core.launcher.nursery"
# The variables that differ from job to job: a nursery is started with the others.
_OWN = ("BALSAM_JOB_ID", "BALSAM_PARENT_IDS", "BALSAM_ATTEMPT", RESULT_VARIABLE)
# A job that waits longer than this for room is not passed by later ones any more, until it has started.
_PATIENCE_SECONDS = 60.0


@dataclass
class Flight:
    """One attempt from its claim to its recorded end.

    placements None: it waits in its worker's queue. node: the number of the node whose worker has it. started_at: epoch
    seconds. process: pid and boot clock. claimed_at: on the monotonic clock.
    """

    job: Job
    need: Need
    placements: tuple[Placement, ...] | None
    node: int = 0
    key: str = ""
    started_at: float | None = None
    process: tuple[int, float] | None = None
    claimed_at: float = field(default_factory=time.monotonic)
    is_recalled: bool = False

    def __post_init__(self) -> None:
        self.key = f"{self.job.job_id}.{self.job.attempt + 1}"


@dataclass
class JobMode(ABC):
    """What the modes share: the account of the nodes, and the jobs in flight (queued: those in a worker's queue)."""

    nodes: Sequence[Node]
    workflow: str

    name = ""

    def __post_init__(self) -> None:
        self.free = [FreeNode(node) for node in self.nodes]
        self.flights: dict[UUID, Flight] = {}
        self.by_key: dict[str, Flight] = {}
        self.queued: dict[UUID, Flight] = {}
        self._first_waiting: UUID | None = None
        self._waits_since = 0.0
        self._is_barred = False

    @abstractmethod
    def page(self) -> int:
        """How many candidates it wants to see now; 0: there is room for none."""

    def wait_seconds(self) -> float:
        """How long no job may be started, by the MPI launcher's own rule."""
        return 0.0

    @abstractmethod
    def task(self, flight: Flight, app: AppSpec, workdir: str, output: str, environ: dict[str, str]) -> Task:
        """The flight as its worker starts it; raises BalsamError when it cannot be started at all."""

    def stop_commands(self, pid: int) -> tuple[Command, Command] | None:
        """What asks the process that was started for a job to end, and what forces it; None: signals do."""
        return None

    def limits(self, seconds_left: float | None) -> Limits:
        """What a claim may choose from."""
        memory = [node.memory_mb for node in self.nodes if node.memory_mb is not None]
        return Limits(
            self.workflow,
            len(self.nodes),
            serial=False,
            minutes_left=None if seconds_left is None else seconds_left / 60,
            most_gpus=max(len(node.gpus) for node in self.nodes),
            most_memory_mb=max(memory) if len(memory) == len(self.nodes) else None,
        )

    def choose(self, candidates: Sequence[Job], seconds_left: float | None, *, from_the_top: bool = True) -> list[UUID]:
        """The candidates that are taken now, in their order; they are in flight from here on.

        from_the_top: no runnable job comes before the first of them.
        """
        candidates = self._not_passing(candidates, from_the_top=from_the_top)
        waiting = {job.job_id: job for job in candidates if job.job_id not in self.flights}
        needs = {job_id: need_of(job, self.nodes[0]) for job_id, job in waiting.items()}
        placed = self._place(needs, seconds_left)
        for job_id, placements in placed.placements.items():
            self._take_off(Flight(waiting[job_id], needs[job_id], placements, self._worker_of(placements)))
        if from_the_top:
            self._watch_first(placed.refused)
        extra = self._queued_too(placed.refused, needs)
        for job_id, number in extra.items():
            self._take_off(Flight(waiting[job_id], needs[job_id], None, number))
        return [*placed.placements, *extra]

    def why_not(self, job: Job, seconds_left: float | None) -> Refusal | None:
        """Why a runnable job is not started even when every node is free; None: nothing is in its way."""
        empty = [FreeNode(node) for node in self.nodes]
        return place(empty, {job.job_id: need_of(job, self.nodes[0])}, seconds_left).refused.get(job.job_id)

    def misplaced(self) -> list[str]:
        """The keys of jobs that wait on a full node while another one has room for them; each is named once."""
        return []

    def started(self, flight: Flight) -> None:
        """A flight has begun."""
        self.queued.pop(flight.job.job_id, None)

    def landed(self, job_id: UUID) -> Flight | None:
        """An attempt is over, or was never started: what it had is free again."""
        flight = self.flights.pop(job_id, None)
        if flight is not None:
            del self.by_key[flight.key]
            self._free(flight)
        return flight

    def _place(self, needs: Mapping[UUID, Need], seconds_left: float | None) -> Placed[UUID]:
        return place(self.free, needs, seconds_left)

    def _free(self, flight: Flight) -> None:
        if flight.placements:
            release(self.free, flight.placements, flight.need)

    def _worker_of(self, placements: Sequence[Placement]) -> int:
        return 0

    def _take_off(self, flight: Flight) -> None:
        self.flights[flight.job.job_id] = self.by_key[flight.key] = flight
        if flight.placements is None:
            self.queued[flight.job.job_id] = flight

    def _queued_too(self, refused: Mapping[UUID, Refusal], needs: Mapping[UUID, Need]) -> dict[UUID, int]:
        return {}

    def _watch_first(self, refused: dict[UUID, Refusal]) -> None:
        first = next((job_id for job_id, refusal in refused.items() if refusal.why is Why.NOT_NOW), None)
        if first != self._first_waiting:
            self._first_waiting, self._waits_since = first, time.monotonic()

    def _not_passing(self, candidates: Sequence[Job], *, from_the_top: bool) -> Sequence[Job]:
        """Those that come no later than the job that has waited for too long, which may stand on an earlier page."""
        if self._is_barred and not from_the_top:
            return ()
        self._is_barred = False
        if self._first_waiting is None or time.monotonic() - self._waits_since < _PATIENCE_SECONDS:
            return candidates
        place = next((n for n, job in enumerate(candidates) if job.job_id == self._first_waiting), None)
        if place is None:
            return candidates
        self._is_barred = True
        return candidates[: place + 1]


@dataclass
class SerialMode(JobMode):
    """Packs jobs of one process on one or many nodes; the worker of each node gives them their cores and GPUs.

    reuses_processes: a call of a function may run in a process that has made others.
    """

    reuses_processes: bool = False

    name = "serial"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._rate = _Rate()
        self._pool: Pool[UUID] = Pool(self.free)

    def page(self) -> int:
        """As many as the workers may have waiting, and at least a good few to choose from while a node has room."""
        missing = self._prefetch() - len(self.queued)
        starving = self._starving()
        self._pool.close(starving)
        if len(starving) == len(self.nodes):
            return 0
        if not self._pool.is_full:
            return min(max(missing, _SMALLEST_PAGE, self._pool.open_nodes), _LARGEST_PAGE)
        # Half empty is soon enough: a claim costs the same for one job as for twenty.
        return max(missing, _SMALLEST_PAGE) if missing * 2 > self._prefetch() else 0

    def limits(self, seconds_left: float | None) -> Limits:
        """Jobs of one process only."""
        return replace(super().limits(seconds_left), max_nodes=1, serial=True)

    def task(self, flight: Flight, app: AppSpec, workdir: str, output: str, environ: dict[str, str]) -> Task:
        """Queued in the worker, which gives it its cores and GPUs when it starts."""
        job = flight.job
        words = job_words(job, app)
        argv = in_envscript(words, app.envscript, redirections(app))
        timeout = job.timeout_seconds
        task = Task(
            flight.key, argv, workdir, output, environ, need=flight.need, timeout_seconds=timeout, node=flight.node
        )
        return task if called_function(words) is None else self._call(task, job, words, app.envscript)

    def _call(self, task: Task, job: Job, words: Sequence[str], envscript: str) -> Task:
        """The task for a worker that keeps processes warm; its `argv` does the same, by an interpreter of its own."""
        result = result_name(job)
        environ = {**task.env, RESULT_VARIABLE: result}
        nursery = in_envscript([words[0], "-m", _NURSERY, words[3]], envscript)
        call = Call(nursery, words[4:], [name for name in _OWN if name in environ], self.reuses_processes)
        return task._replace(env=environ, result=result, call=call)

    def why_not(self, job: Job, seconds_left: float | None) -> Refusal | None:
        """As for any job; and one with several ranks belongs into the other mode."""
        if job.num_ranks > 1:
            return Refusal(
                Why.NEVER, f"has {job.num_ranks} ranks; serial mode runs single processes, use --job-mode mpi"
            )
        return super().why_not(job, seconds_left)

    def landed(self, job_id: UUID) -> Flight | None:
        """Also tells how fast jobs come and go."""
        self._rate.count()
        return super().landed(job_id)

    def misplaced(self) -> list[str]:
        """Those that would find room at once if they were given back and claimed again."""
        if not self.queued or self._pool.is_full or len(self.nodes) == 1:
            return []
        found: list[Flight] = []
        tried: list[tuple[Placement, Need]] = []
        hopeless: set[Need] = set()
        for flight in self.queued.values():
            if flight.is_recalled or flight.need in hopeless:
                continue
            part = self._pool.take(flight.need)
            if part is None:
                hopeless.add(flight.need)
                continue
            tried.append((part, flight.need))
            if self._pool.number_of(part.node) != flight.node:
                flight.is_recalled = True
                found.append(flight)
        for part, need in tried:
            self._pool.release(part, need)
        return [flight.key for flight in found]

    def started(self, flight: Flight) -> None:
        """One that waited in its worker's queue has found room on its node."""
        if flight.job.job_id in self.queued:
            super().started(flight)
            self._pool.leave(flight.job.job_id, flight.node)
            part = self._pool.take(flight.need, only=flight.node)
            flight.placements = (part,) if part else None

    def _place(self, needs: Mapping[UUID, Need], seconds_left: float | None) -> Placed[UUID]:
        return self._pool.place(needs, seconds_left)

    def _free(self, flight: Flight) -> None:
        if self.queued.pop(flight.job.job_id, None):
            self._pool.leave(flight.job.job_id, flight.node)
        for part in flight.placements or ():
            self._pool.release(part, flight.need)

    def _worker_of(self, placements: Sequence[Placement]) -> int:
        return self._pool.number_of(placements[0].node)

    def _queued_too(self, refused: Mapping[UUID, Refusal], needs: Mapping[UUID, Need]) -> dict[UUID, int]:
        room = max(self._prefetch() - len(self.queued), 0)
        queued: dict[UUID, int] = {}
        for job_id, refusal in refused.items():
            if len(queued) == room:
                break
            number = self._pool.wait(job_id, needs[job_id]) if refusal.why is Why.NOT_NOW else None
            if number is not None:
                queued[job_id] = number
        return queued

    def _prefetch(self) -> int:
        return min(int(self._rate.per_second() * _PREFETCH_SECONDS), _LARGEST_PREFETCH * len(self.nodes))

    def _starving(self) -> frozenset[int]:
        """The nodes where a job waits for so long that smaller ones must not pass it any more."""
        since = time.monotonic() - _PATIENCE_SECONDS
        return frozenset(
            flight.node for flight in takewhile(lambda flight: flight.claimed_at < since, self.queued.values())
        )


@dataclass
class MpiMode(JobMode):
    """Starts one MPI command per job from the head node, on nodes that the job has for itself unless it packs."""

    mpi: MpiLauncher | None = None

    name = "mpi"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._last_start = -math.inf

    def page(self) -> int:
        """Nothing while all nodes are busy, or the MPI launcher runs all that it can."""
        if all(node.is_full for node in self.free):
            return 0
        assert self.mpi is not None
        if self.wait_seconds() > 0:
            return 0
        most = len(self.flights) + _SMALLEST_PAGE if self.mpi.max_concurrent is None else self.mpi.max_concurrent
        at_once = 1 if self.mpi.min_interval_seconds else _SMALLEST_PAGE
        return max(min(at_once, most - len(self.flights)), 0)

    def wait_seconds(self) -> float:
        """The rest of the interval that the MPI launcher wants between two starts."""
        assert self.mpi is not None
        return self._last_start + self.mpi.min_interval_seconds - time.monotonic()

    def task(self, flight: Flight, app: AppSpec, workdir: str, output: str, environ: dict[str, str]) -> Task:
        """Started at once, where it was placed."""
        assert self.mpi is not None
        assert flight.placements is not None
        job = flight.job
        words = job_words(job, app)
        result = "" if called_function(words) is None else result_name(job)
        if result:
            environ = {**environ, RESULT_VARIABLE: result}
        launch = Launch(
            argv=tuple(words),
            placements=flight.placements,
            env={**environ, **gpu_variables(flight.placements)},
            ranks_per_node=job.ranks_per_node,
            threads_per_rank=job.threads_per_rank,
            threads_per_core=job.threads_per_core,
            affinity=job.cpu_affinity,
            flags=tuple(job.mpi_flags.split()),
            exclusive=job.node_packing_count == 1,
        )
        command = mpi_command(self.mpi, launch)
        self._last_start = time.monotonic()
        argv = in_envscript(command.argv, app.envscript, redirections(app))
        variables = {**launch.env, **command.env}
        first = flight.placements[0]
        # The MPI command itself goes to the job's cores, where those are this host's.
        bound = Bound(first.cpus) if job.num_nodes == 1 and not first.node.is_remote else Bound()
        timeout = job.timeout_seconds
        return Task(flight.key, argv, workdir, output, variables, bound=bound, timeout_seconds=timeout, result=result)

    def stop_commands(self, pid: int) -> tuple[Command, Command] | None:
        """As the MPI launcher says."""
        assert self.mpi is not None
        request, force = self.mpi.stop_command(pid, force=False), self.mpi.stop_command(pid, force=True)
        return (request, force) if request and force else None


def need_of(job: Job, node: Node) -> Need:
    """What a job asks of each of its nodes, `node` being one of them; ranks share a node only when they are single."""
    packing = job.node_packing_count if job.num_ranks == 1 else 1
    gpus = None if job.gpus_per_rank is None else job.gpus_per_node(node)
    wall_seconds = None if job.wall_time_minutes is None else job.wall_time_minutes * 60.0
    return Need(job.num_nodes, packing, gpus, job.memory_mb, wall_seconds)


def gpu_variables(placements: Sequence[Placement]) -> dict[str, str]:
    """The variable that shows a program the GPUs of its placement and no others; left out when the nodes differ."""
    ids = {placement.gpus for placement in placements}
    if len(ids) == 1 and any(placement.node.gpus for placement in placements):
        return {placements[0].node.gpu_variable: ",".join(*ids)}
    return {}


class _Rate:
    """How many jobs ended per second, lately."""

    _WINDOW_SECONDS = 1.0

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._count = 0
        self._last = 0.0

    def count(self) -> None:
        self._count += 1

    def per_second(self) -> float:
        seconds = time.monotonic() - self._since
        now = self._count / max(seconds, 0.05)
        if seconds > self._WINDOW_SECONDS:
            self._last, self._since, self._count = now, time.monotonic(), 0
        return max(now, self._last)
