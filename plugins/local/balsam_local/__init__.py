"""The plugin `local`: this very host with its node source, its queue of batch jobs, and the MPI launchers on it.

The hooks import what they return when they are called: `python -m balsam_local.queue` passes through here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from balsam_core.plugins import MpiLauncher, NodeSource, Scheduler, hookimpl

if TYPE_CHECKING:
    from balsam_local.settings import LocalSettings


@hookimpl
def balsam_settings() -> type[LocalSettings]:
    from balsam_local.settings import LocalSettings

    return LocalSettings


@hookimpl
def balsam_schedulers(settings: LocalSettings) -> list[Scheduler]:
    from balsam_local.scheduler import LocalScheduler

    return [LocalScheduler(settings)]


@hookimpl
def balsam_node_sources(settings: LocalSettings) -> list[NodeSource]:
    from balsam_local.nodes import LocalNodes

    return [LocalNodes(settings)]


@hookimpl
def balsam_mpi_launchers() -> list[MpiLauncher]:
    from balsam_local.mpi import HydraMpiexec, OpenMpi

    return [HydraMpiexec(), OpenMpi()]
