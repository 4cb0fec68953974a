"""A plugin as a third party writes it: every role, typed, importing from balsam_core.plugins only."""

from __future__ import annotations

from collections.abc import Sequence

from balsam_core.plugins import (
    Allocation,
    BatchEvent,
    BatchRequest,
    BatchState,
    BatchStatus,
    Command,
    CommandResult,
    JobEvent,
    Launch,
    Machine,
    MpiLauncher,
    Node,
    NodeShape,
    NodeSource,
    PluginSettings,
    Probe,
    Queue,
    Scheduler,
    SchedulerRejected,
    StatusReport,
    hookimpl,
)


class ToySettings(PluginSettings):
    partition: str = "all"


class ToyScheduler(Scheduler):
    name = "toy"
    template = "balsam_toy:toy.sh.j2"
    job_id_variable = "TOY_JOB_ID"
    min_poll_seconds = 5.0

    def __init__(self, partition: str) -> None:
        self.partition = partition

    def submit_command(self, request: BatchRequest, script: str, dry_run: bool) -> Command | None:
        if dry_run:
            return None
        return Command(("toysub", "-p", self.partition, "-N", str(request.nodes), "--name", request.tag, script))

    def parse_submit(self, result: CommandResult) -> str:
        if result.returncode != 0:
            raise SchedulerRejected(result.stderr.strip())
        return result.stdout.strip()

    def status_command(self, ids: Sequence[str], user: str) -> Command:
        return Command(("toystat", *ids))

    def parse_status(self, ids: Sequence[str], result: CommandResult) -> StatusReport:
        rows = [line.split() for line in result.stdout.splitlines()]
        return StatusReport({id: BatchStatus(BatchState.RUNNING, raw_state=word) for id, word in rows if id in ids})

    def cancel_command(self, ids: Sequence[str]) -> Command:
        return Command(("toydel", *ids))

    def parse_cancel(self, ids: Sequence[str], result: CommandResult) -> frozenset[str]:
        return frozenset(ids)


class ToyRun(MpiLauncher):
    name = "toyrun"
    max_concurrent = 1000
    min_interval_seconds = 0.1

    def command(self, launch: Launch) -> Command:
        hosts = ",".join(placement.node.hostname for placement in launch.placements)
        return Command(("toyrun", "-n", str(launch.ranks), "-H", hosts, *launch.argv), launch.env)

    def stop_command(self, pid: int, force: bool) -> Command | None:
        return Command(("toykill", "-9" if force else "-15", str(pid)))


class ToyNodes(NodeSource):
    name = "toy"

    def discover(self, probe: Probe) -> Allocation | None:
        names = probe.environ.get("TOY_NODES")
        if names is None:
            return None
        return Allocation(tuple(Node(name, name) for name in names.split(",")), job_id=probe.environ.get("TOY_JOB_ID"))


@hookimpl
def balsam_settings() -> type[ToySettings]:
    return ToySettings


@hookimpl
def balsam_schedulers(settings: ToySettings) -> list[Scheduler]:
    return [ToyScheduler(settings.partition)]


@hookimpl
def balsam_mpi_launchers() -> list[MpiLauncher]:
    return [ToyRun()]


@hookimpl
def balsam_node_sources() -> list[NodeSource]:
    return [ToyNodes()]


@hookimpl
def balsam_machines() -> list[Machine]:
    shape = NodeShape(cpus=64, threads_per_core=4)
    return [Machine("toybox", "toy", "toyrun", "toy", shape, queues=(Queue("debug", max_nodes=8, max_minutes=60),))]


@hookimpl
def balsam_job_events(events: Sequence[JobEvent]) -> None:
    for event in events:
        print(event.job_id, event.to_state)


@hookimpl
def balsam_batch_events(events: Sequence[BatchEvent]) -> None:
    for event in events:
        print(event.tag, event.to_state)
