"""`balsam launcher`: runs the jobs of the current site on the nodes at hand."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from balsam_core.cli.options import Amount, Whole, command
from balsam_core.errors import DatabaseError

if TYPE_CHECKING:
    from balsam_core.launcher.loop import Account
    from balsam_core.launcher.start import LaunchOptions
    from balsam_core.models.nodes import Node
    from balsam_core.state.store import Store

_log = logging.getLogger("balsam.launcher")
_LEFT_SHOWN = 10_000


@command("launcher")
@click.option("--consume-all", is_flag=True, help="Run jobs of all workflows.")
@click.option("--wf-filter", default="", metavar="WF", help="Run only jobs of this workflow; `*` stands for anything.")
@click.option("--job-mode", type=click.Choice(["serial", "mpi"]), help="Pack single processes, or start MPI programs.")
@click.option("--time-limit-minutes", "-t", type=Amount(min=0, min_open=True), help="End after so long.")
@click.option("--num-transition-threads", type=Whole(min=1), help="Scripts and stagings at a time.")
@click.option("--gpus-per-node", type=Whole(min=0), help="Instead of what the node source finds.")
@click.option("--limit-nodes", type=Whole(min=1), help="Use only so many of the allocation's nodes.")
@click.option("--offset-nodes", type=Whole(min=0), default=0, help="Leave out so many nodes at the start.")
@click.option("--persistent", is_flag=True, help="Wait for new jobs when there is nothing to run.")
@click.option("--mpi", metavar="NAME", help="MPI launcher, instead of the one in the settings.")
@click.option("--node-source", metavar="NAME", help="Where nodes come from, instead of the settings.")
@click.option("--launch-id", type=click.UUID, hidden=True, help="The batch job that this launcher is of.")
def launcher(
    consume_all: bool,
    wf_filter: str,
    job_mode: str | None,
    time_limit_minutes: float | None,
    num_transition_threads: int | None,
    gpus_per_node: int | None,
    limit_nodes: int | None,
    offset_nodes: int,
    persistent: bool,
    mpi: str | None,
    node_source: str | None,
    launch_id: UUID | None,
) -> None:
    """Run the jobs of the current site on the nodes at hand, until nothing more can run.

    SIGTERM, SIGINT and the time limit end it gracefully: what runs is stopped, marked RUN_TIMEOUT and can be restarted.
    """
    if consume_all == bool(wf_filter):
        raise click.UsageError("give one of --consume-all and --wf-filter WF")
    from balsam_core.cli.context import opened
    from balsam_core.cli.workflow import workflow_meant
    from balsam_core.disk import DiskWatch
    from balsam_core.launcher.progress import Progress
    from balsam_core.launcher.start import LaunchOptions, launch
    from balsam_core.plugins.registry import load_registry

    with opened() as here, Progress() as progress:
        # A batch job may begin long after its jobs were there.
        if not persistent and launch_id is None:
            wf_filter = workflow_meant(here.store, wf_filter)
        _log_to(here.site.log)
        disk = DiskWatch(here.site.data, here.settings.site.min_free_mb)

        def show(account: Account) -> None:
            disk.look()
            progress(account)

        options = LaunchOptions(
            job_mode=job_mode or here.settings.launcher.default_job_mode,
            workflow=wf_filter,
            mpi=mpi,
            node_source=node_source,
            time_limit_minutes=time_limit_minutes,
            limit_nodes=limit_nodes,
            offset_nodes=offset_nodes,
            gpus_per_node=gpus_per_node,
            transition_threads=num_transition_threads,
            persistent=persistent,
            launch_id=launch_id,
        )
        why, loop = launch(
            here.site,
            here.store,
            here.settings,
            load_registry(here.settings),
            options,
            environ=os.environ,
            show=show,
            greet=lambda nodes: _greet(here.store, nodes, options),
        )
        _log.info("%s", progress.line(loop))
        _log.info("launcher ended: %s", why)
        _explain(here.store, loop)


def _log_to(folder: Path) -> None:
    from balsam_core import logs

    folder.mkdir(parents=True, exist_ok=True)
    logs.remove_old(folder, "launcher-*.log*")
    name = f"launcher-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    handlers: list[logging.Handler] = [logs.rotating_handler(folder / name), logging.StreamHandler(sys.stderr)]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _greet(store: Store, nodes: Sequence[Node], options: LaunchOptions) -> None:
    from balsam_core.counting import counted
    from balsam_core.launcher.hints import idle_cores

    cores = len(nodes[0].cpus)
    each = f" of {cores} cores" if cores else ""
    _log.info("launcher started: %s mode, %s%s: %s", options.job_mode, counted(len(nodes), "node"), each, _names(nodes))
    if not cores:
        _log.info("which cores the nodes have is not known here: jobs are not bound to cores")
    if options.job_mode == "serial":
        # No hint is worth a launcher: a database that is gone for a moment is waited for later.
        with suppress(DatabaseError):
            hint = idle_cores(store, options.workflow, cores)
            if hint:
                _log.info("%s", hint)


def _names(nodes: Sequence[Node]) -> str:
    shown = ", ".join(node.hostname for node in nodes[:4])
    return shown if len(nodes) <= 4 else f"{shown}, ..."


def _explain(store: Store, loop: Account) -> None:
    from balsam_core.launcher.hints import UNFINISHED
    from balsam_core.launcher.leftovers import why_left
    from balsam_core.state.filters import JobFilter

    # The launcher has ended well, whether or not the database tells what it left.
    with suppress(DatabaseError):
        left = store.jobs(JobFilter(workflow=loop.mode.workflow, states=UNFINISHED), limit=_LEFT_SHOWN)
        for line in why_left(left, loop.mode, loop.seconds_left):
            _log.info("left: %s", line)
