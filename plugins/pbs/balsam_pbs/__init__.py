"""The plugin `pbs`: OpenPBS and PBS Pro, the MPI launcher `pals` of HPE Cray machines, and the machine `polaris`."""

from __future__ import annotations

from balsam_core.plugins import Machine, MpiLauncher, NodeSource, Scheduler, hookimpl
from balsam_pbs.machines import MACHINES
from balsam_pbs.mpi import Pals
from balsam_pbs.nodes import PbsNodes
from balsam_pbs.scheduler import PbsScheduler
from balsam_pbs.settings import PbsSettings


@hookimpl
def balsam_settings() -> type[PbsSettings]:
    return PbsSettings


@hookimpl
def balsam_schedulers(settings: PbsSettings) -> list[Scheduler]:
    return [PbsScheduler(settings)]


@hookimpl
def balsam_node_sources() -> list[NodeSource]:
    return [PbsNodes()]


@hookimpl
def balsam_mpi_launchers(settings: PbsSettings) -> list[MpiLauncher]:
    return [Pals(settings)]


@hookimpl
def balsam_machines() -> list[Machine]:
    return list(MACHINES)
