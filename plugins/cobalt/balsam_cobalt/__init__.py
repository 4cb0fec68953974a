"""The plugin `cobalt`: Argonne's scheduler, the nodes that it gives, aprun, and the machines that ran it."""

from __future__ import annotations

from balsam_cobalt.machines import MACHINES
from balsam_cobalt.mpi import Aprun
from balsam_cobalt.nodes import NodeFileNodes, ThetaNodes
from balsam_cobalt.scheduler import Cobalt
from balsam_cobalt.settings import CobaltSettings
from balsam_core.plugins import Machine, MpiLauncher, NodeSource, Scheduler, hookimpl


@hookimpl
def balsam_settings() -> type[CobaltSettings]:
    return CobaltSettings


@hookimpl
def balsam_schedulers(settings: CobaltSettings) -> list[Scheduler]:
    return [Cobalt(settings)]


@hookimpl
def balsam_mpi_launchers() -> list[MpiLauncher]:
    return [Aprun()]


@hookimpl
def balsam_node_sources() -> list[NodeSource]:
    return [ThetaNodes(), NodeFileNodes()]


@hookimpl
def balsam_machines() -> list[Machine]:
    return list(MACHINES)
