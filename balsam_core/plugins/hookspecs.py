"""The hooks that a plugin may implement.

A plugin is a module named by an entry point of the group `balsam.plugins`. Provider hooks return typed objects, of
which the site's settings pick one by name; observer hooks are told what happened. A hook may leave out arguments
that it does not need. Every example below is run by the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pluggy

from balsam_core.plugins.contracts import (
    BatchEvent,
    JobEvent,
    Machine,
    MpiLauncher,
    NodeSource,
    Scheduler,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

hookspec = pluggy.HookspecMarker("balsam")
hookimpl = pluggy.HookimplMarker("balsam")


@hookspec
def balsam_settings() -> type[BaseModel]:  # type: ignore[empty-body]
    """The model of the plugin's own section [plugins.NAME] in settings.toml, NAME being its entry point.

    Called once, before the other hooks, which get the validated section as `settings`. Every field needs a
    default; unknown keys are refused when the model is a `PluginSettings`.

    >>> from balsam_core.plugins import PluginSettings, hookimpl
    >>> class ToySettings(PluginSettings):
    ...     nodes: int = 2
    >>> @hookimpl
    ... def balsam_settings() -> type[ToySettings]:
    ...     return ToySettings
    >>> balsam_settings()(nodes=4).nodes
    4
    """


@hookspec
def balsam_schedulers(settings: object) -> Iterable[Scheduler]:  # type: ignore[empty-body]
    """The batch schedulers that the plugin knows.

    Called once per command that loads plugins. settings: the plugin's section, an instance of what its
    `balsam_settings` returned; None: it has no such hook.

    >>> from balsam_core.plugins import (
    ...     BatchState, BatchStatus, Command, Scheduler, SchedulerRejected, StatusReport, hookimpl)
    >>> class Toy(Scheduler):
    ...     name = "toy"
    ...     template = "balsam_templates:local.sh.j2"
    ...     job_id_variable = "TOY_JOB_ID"
    ...     def submit_command(self, request, script, dry_run):
    ...         return None if dry_run else Command(("toysub", "--name", request.tag, script))
    ...     def parse_submit(self, result):
    ...         if result.returncode != 0:
    ...             raise SchedulerRejected(result.stderr.strip())
    ...         return result.stdout.strip()
    ...     def status_command(self, ids, user):
    ...         return Command(("toystat", *ids))
    ...     def parse_status(self, ids, result):
    ...         rows = [line.split() for line in result.stdout.splitlines()]
    ...         return StatusReport({id: BatchStatus(BatchState(word), word) for id, word in rows if id in ids})
    ...     def cancel_command(self, ids):
    ...         return Command(("toydel", *ids))
    ...     def parse_cancel(self, ids, result):
    ...         return frozenset(ids)
    >>> @hookimpl
    ... def balsam_schedulers() -> list[Scheduler]:
    ...     return [Toy()]
    >>> balsam_schedulers()[0].status_command(["7", "8"], user="ada").argv
    ('toystat', '7', '8')
    """


@hookspec
def balsam_mpi_launchers(settings: object) -> Iterable[MpiLauncher]:  # type: ignore[empty-body]
    """The ways to start a parallel program that the plugin knows; arguments as for `balsam_schedulers`.

    >>> from balsam_core.plugins import Command, Launch, MpiLauncher, Node, Placement, hookimpl
    >>> class ToyRun(MpiLauncher):
    ...     name = "toyrun"
    ...     def command(self, launch: Launch) -> Command:
    ...         return Command(("toyrun", "-n", str(launch.ranks), *launch.argv), launch.env)
    >>> @hookimpl
    ... def balsam_mpi_launchers() -> list[MpiLauncher]:
    ...     return [ToyRun()]
    >>> launch = Launch(("hello",), (Placement(Node("n1", "n1")), Placement(Node("n2", "n2"))), ranks_per_node=4)
    >>> balsam_mpi_launchers()[0].command(launch).argv
    ('toyrun', '-n', '8', 'hello')
    """


@hookspec
def balsam_node_sources(settings: object) -> Iterable[NodeSource]:  # type: ignore[empty-body]
    """The ways to find the nodes of an allocation that the plugin knows; arguments as for `balsam_schedulers`.

    >>> from balsam_core.plugins import Allocation, Node, NodeSource, Probe, hookimpl
    >>> class ToyNodes(NodeSource):
    ...     name = "toy"
    ...     def discover(self, probe: Probe) -> Allocation | None:
    ...         names = probe.environ.get("TOY_NODES")
    ...         return Allocation(tuple(Node(name, name) for name in names.split(","))) if names else None
    >>> @hookimpl
    ... def balsam_node_sources() -> list[NodeSource]:
    ...     return [ToyNodes()]
    >>> from types import SimpleNamespace
    >>> probe = SimpleNamespace(environ={"TOY_NODES": "n1,n2"})
    >>> [node.id for node in balsam_node_sources()[0].discover(probe).nodes]
    ['n1', 'n2']
    """


@hookspec
def balsam_machines(settings: object) -> Iterable[Machine]:  # type: ignore[empty-body]
    """The machines that the plugin has presets for; arguments as for `balsam_schedulers`.

    >>> from balsam_core.plugins import Machine, NodeShape, Queue, hookimpl
    >>> @hookimpl
    ... def balsam_machines() -> list[Machine]:
    ...     shape = NodeShape(cpus=64, threads_per_core=4)
    ...     queues = (Queue("debug", max_nodes=8, max_minutes=60),)
    ...     return [Machine("toybox", scheduler="toy", mpi="toyrun", nodes="toy", node=shape, queues=queues)]
    >>> balsam_machines()[0].queues[0].max_minutes
    60
    """


@hookspec
def balsam_job_events(events: Sequence[JobEvent], settings: object) -> None:
    """Tells how attempts of jobs began and ended, after it is in the database; in batches, in order.

    Called in the launcher that ran them, with the moves that follow at once from an end. What staging, scripts, users
    and other programs do to jobs is in the database only: ask it (`balsam_core.Site`) for what must be complete.
    An observer that raises is logged and stops neither the run nor the next observer; a slow one slows the launcher,
    so hand long work to a thread. settings: as for `balsam_schedulers`.

    >>> from collections.abc import Sequence
    >>> from datetime import datetime, timezone
    >>> from balsam_core.plugins import JobEvent, hookimpl
    >>> @hookimpl
    ... def balsam_job_events(events: Sequence[JobEvent]) -> None:
    ...     for event in events:
    ...         if event.to_state == "FAILED":
    ...             print(event.job_id, event.message)
    >>> now = datetime.now(timezone.utc)
    >>> balsam_job_events([JobEvent("5b1f", 1, "RUN_ERROR", "FAILED", now, "nonzero return 1")])
    5b1f nonzero return 1
    """


@hookspec
def balsam_batch_events(events: Sequence[BatchEvent], settings: object) -> None:
    """Tells what the scheduler said of batch jobs, when that was news; arguments as for `balsam_job_events`.

    Called in the process that asked the scheduler: `balsam service`, `balsam ls queues` and others.

    >>> from collections.abc import Sequence
    >>> from datetime import datetime, timezone
    >>> from balsam_core.plugins import BatchEvent, hookimpl
    >>> @hookimpl
    ... def balsam_batch_events(events: Sequence[BatchEvent]) -> None:
    ...     for event in events:
    ...         print(event.scheduler, event.batch_job_id, event.to_state)
    >>> now = datetime.now(timezone.utc)
    >>> balsam_batch_events([BatchEvent("42", "qlaunch1", "toy", "QUEUED", "RUNNING", now)])
    toy 42 RUNNING
    """
