"""Brings a launcher up and down again: its nodes, its worker, its lease, its loop."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from balsam_core.commands import HostProbe
from balsam_core.errors import ConfigError, DatabaseLocked, LaunchError
from balsam_core.launcher.command import job_environ
from balsam_core.launcher.head import Head
from balsam_core.launcher.loop import Account, Loop, Rules
from balsam_core.launcher.modes import JobMode, MpiMode, SerialMode
from balsam_core.launcher.rank_starter import RankStarter, check_mpi4py
from balsam_core.launcher.timing import DatabasePatience, patience_with
from balsam_core.launcher.worker_client import start_worker
from balsam_core.models.job import Job
from balsam_core.models.nodes import Allocation, Node, Placement
from balsam_core.plugins import JobEvent, Launch
from balsam_core.plugins.discovery import discover
from balsam_core.plugins.guarding import mpi_command
from balsam_core.plugins.registry import Registry
from balsam_core.settings import LauncherSettings, NodesSettings, Settings
from balsam_core.site import Site
from balsam_core.state.database import LOCK_WAIT_SECONDS
from balsam_core.state.hosts import boot_id, hostname, machine_id, process_clock
from balsam_core.state.leases import LauncherInfo
from balsam_core.state.outcomes import RetryPolicy
from balsam_core.state.store import Store
from balsam_core.transitions.persistence import Limits
from balsam_core.transitions.recovery import StartedAttempts, journal_path, recover, remove_files
from balsam_core.transitions.runner import Transitions
from balsam_core.workdirs import Workdirs

_LOCK_SECONDS = 2.0


@dataclass(frozen=True)
class LaunchOptions:
    """What was asked for on the command line; None: as the settings, the allocation or the job mode have it."""

    job_mode: str
    workflow: str = ""
    mpi: str | None = None
    node_source: str | None = None
    time_limit_minutes: float | None = None
    limit_nodes: int | None = None
    offset_nodes: int = 0
    gpus_per_node: int | None = None
    transition_threads: int | None = None
    persistent: bool = False
    launch_id: UUID | None = None


def launch(
    site: Site,
    store: Store,
    settings: Settings,
    registry: Registry,
    options: LaunchOptions,
    *,
    environ: Mapping[str, str],
    show: Callable[[Account], None],
    greet: Callable[[Sequence[Node]], None],
) -> tuple[str, Account]:
    """Run one launcher to its end; why it ended, and its last account.

    Raises LaunchError when it cannot start or must give up, ConfigError, PluginError.
    """
    allocation = discover(registry, options.node_source or settings.nodes.source, HostProbe(environ))
    nodes = chosen_nodes(allocation, options, settings.nodes)
    mode = _mode(nodes, options, settings, registry)
    launcher_id = uuid4()
    rules = _rules(site, settings.launcher, options, allocation, environ, launcher_id=launcher_id)
    workdirs = Workdirs(_usable(site.data))
    worker_environ = {**environ, "BALSAM_DB_PATH": str(site.path)}
    ranks = _ranks(mode, rules, options, settings, registry, worker_environ)
    # A loop over thousands of jobs makes no cycles to speak of; looking for them took 2 % of its time.
    gc.set_threshold(50_000)
    store.database.keep_to_lease(rules.lease_seconds)
    with start_worker(
        nodes[0],
        str(launcher_id),
        worker_environ,
        journal_path=journal_path(rules.journals, launcher_id),
        seconds_left=rules.seconds_for_jobs,
        grace_seconds=rules.stop_grace_seconds,
    ) as worker:
        info = _info(rules, options, len(nodes), allocation.job_id)
        _register(store, rules, info)
        if options.launch_id is not None:
            # From here on there is a lease: a lost server is waited for.
            patience = patience_with(store.database, rules.lease_seconds)
            patience.bear(partial(store.batches.launcher_begins, options.launch_id, allocation.job_id, info.host))
        transitions = Transitions(
            store,
            launcher_id,
            worker,
            workdirs,
            _script_environ(store, site, options, len(nodes)),
            options.workflow,
            options.transition_threads or settings.launcher.num_transition_threads,
            settings.launcher.script_timeout_seconds,
            Limits(**settings.staging.model_dump()),
        )
        runner: Loop | Head
        if ranks is None:
            runner = Loop(store, mode, worker, transitions, workdirs, rules, show, _notifier(registry))
        else:
            on_death = settings.launcher.on_rank_death
            runner = Head(
                store, nodes, options.workflow, worker, transitions, ranks, rules, on_death, show, _notifier(registry)
            )
        greet(nodes)
        why = "it failed"
        try:
            why = runner.run()
        finally:
            worker.close()
            # Where it failed, its workers may have started what nobody has reported any more.
            started = StartedAttempts(rules.journals, launcher_id)
            # Waiting longer helps nobody: without it the lease runs out.
            DatabasePatience(0.0).bear(partial(store.end_launcher, launcher_id, why, runner.tally.done, started))
            # Kept until the database knows of all that was started.
            remove_files(rules.journals, launcher_id)
    return why, runner


def chosen_nodes(allocation: Allocation, options: LaunchOptions, shape: NodesSettings) -> list[Node]:
    """The nodes of an allocation that this launcher is to use; raises LaunchError when none are left."""
    last = None if options.limit_nodes is None else options.offset_nodes + options.limit_nodes
    nodes = list(allocation.nodes[options.offset_nodes : last])
    if not nodes:
        raise LaunchError(
            f"no nodes are left for this launcher: the allocation has {len(allocation.nodes)}, "
            f"--offset-nodes is {options.offset_nodes}; give a smaller offset"
        )
    gpus = shape.gpus if options.gpus_per_node is None else options.gpus_per_node
    return [replace(node, **_shape(node, shape, gpus)) for node in nodes]


def needs_ranks(mode: JobMode) -> bool:
    """Whether ranks run the jobs: in serial mode on several nodes, and on one where this process does not run."""
    return isinstance(mode, SerialMode) and (len(mode.nodes) > 1 or mode.nodes[0].is_remote)


def _shape(node: Node, shape: NodesSettings, gpus: int | None) -> dict[str, Any]:
    """What the site says of its nodes, over what was found."""
    said: dict[str, Any] = {"threads_per_core": shape.threads_per_core, "memory_mb": shape.memory_mb}
    cpus = node.cpus if shape.cpus is None else tuple(range(shape.cpus))
    if cpus != node.cpus:
        said |= {"cpus": cpus, "numa": ()}
    if gpus is not None:
        said["gpus"] = tuple(str(number) for number in range(gpus))
    return {name: value for name, value in said.items() if value is not None}


def _usable(data: Path) -> Path:
    """The folder of the job folders, made if need be; where it cannot be, every job would fail. Raises ConfigError."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the job folders in {data}: {error.strerror}; correct [site] data_path"
        ) from error
    if not os.access(data, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot make the job folders in {data}: you may not write there; correct [site] data_path")
    return data


def _mode(nodes: list[Node], options: LaunchOptions, settings: Settings, registry: Registry) -> JobMode:
    if options.job_mode == "mpi":
        mpi = registry.mpi_launcher(options.mpi or settings.mpi.name)
        # A missing mpiexec is the site's trouble: said once, before a job fails because of it.
        mpi_command(mpi, Launch(("true",), (Placement(nodes[0], nodes[0].cpus),)))
        return MpiMode(nodes, options.workflow, mpi=mpi)
    if options.mpi is not None:
        # A mistyped name is told also where nothing starts through it.
        registry.mpi_launcher(options.mpi)
    return SerialMode(nodes, options.workflow, settings.launcher.function_processes == "reused")


def _ranks(
    mode: JobMode,
    rules: Rules,
    options: LaunchOptions,
    settings: Settings,
    registry: Registry,
    environ: Mapping[str, str],
) -> RankStarter | None:
    """What starts the ranks that run the jobs; None: this process runs them itself."""
    if not needs_ranks(mode):
        return None
    check_mpi4py(mode.nodes)
    mpi = registry.mpi_launcher(options.mpi or settings.mpi.name)
    return RankStarter(mpi, rules, options.workflow, environ, registry.has_job_observers)


def _rules(
    site: Site,
    settings: LauncherSettings,
    options: LaunchOptions,
    allocation: Allocation,
    environ: Mapping[str, str],
    *,
    launcher_id: Any,
) -> Rules:
    limits = [allocation.seconds_left] if allocation.seconds_left is not None else []
    if options.time_limit_minutes is not None:
        limits.append(options.time_limit_minutes * 60)
    return Rules(
        launcher_id=launcher_id,
        machine_id=machine_id(environ),
        site=site.path,
        journals=site.log,
        lease_seconds=settings.lease_seconds,
        stop_grace_seconds=settings.stop_grace_seconds,
        policy=RetryPolicy(
            frozenset(settings.retry_codes),
            settings.retry_window_seconds,
            settings.max_retries,
            settings.timeout_retries,
        ),
        persistent=options.persistent,
        deadline=time.monotonic() + min(limits) if limits else None,
        reuses_processes=settings.function_processes == "reused",
    )


def _info(rules: Rules, options: LaunchOptions, nodes: int, batch_job_id: str | None) -> LauncherInfo:
    return LauncherInfo(
        launcher_id=rules.launcher_id,
        machine_id=rules.machine_id,
        boot_id=boot_id(),
        host=hostname(),
        pid=os.getpid(),
        process_clock=process_clock(os.getpid()) or 0.0,
        job_mode=options.job_mode,
        wf_filter=options.workflow,
        nodes=nodes,
        lease_seconds=rules.lease_seconds,
        batch_job_id=batch_job_id,
        launch_id=options.launch_id,
    )


def _register(store: Store, rules: Rules, info: LauncherInfo) -> None:
    """Bring back the jobs of dead launchers, then begin the lease."""

    def register() -> None:
        recover(store, rules.journals, rules.machine_id)
        store.register_launcher(info)

    store.database.wait_for_locks(_LOCK_SECONDS)
    # A launcher that hangs inside a transaction keeps us out until its lease is over, and not longer.
    DatabasePatience(max(rules.lease_seconds, LOCK_WAIT_SECONDS)).bear(register, DatabaseLocked)


def _script_environ(store: Store, site: Site, options: LaunchOptions, nodes: int) -> Callable[[Job], Mapping[str, str]]:
    def environ(job: Job) -> Mapping[str, str]:
        parents = store.parents(job.job_id)
        return job_environ(job, site=site.path, parents=parents, job_mode=options.job_mode, launcher_nodes=nodes)

    return environ


def _notifier(registry: Registry) -> Callable[[Sequence[Mapping[str, Any]]], None]:
    def ignore(_rows: Sequence[Mapping[str, Any]]) -> None:
        """Nobody listens: no event is built."""

    def notify(rows: Sequence[Mapping[str, Any]]) -> None:
        registry.notify_job_events(
            [
                JobEvent(
                    str(row["job_id"]),
                    row["attempt"],
                    row["from_state"],
                    row["to_state"],
                    datetime.fromtimestamp(row["at"], timezone.utc),
                    row["message"],
                )
                for row in rows
            ]
        )

    return notify if registry.has_job_observers else ignore
