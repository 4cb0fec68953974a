"""The plugin `slurm`: the scheduler and the node source `slurm`, the MPI launcher `srun`, and machines with Slurm."""

from __future__ import annotations

from balsam_core.plugins import Machine, MpiLauncher, NodeSource, Scheduler, hookimpl
from balsam_slurm.machines import PERLMUTTER_CPU, PERLMUTTER_GPU
from balsam_slurm.mpi import Srun
from balsam_slurm.nodes import SlurmNodes
from balsam_slurm.scheduler import Slurm
from balsam_slurm.settings import SlurmSettings


@hookimpl
def balsam_settings() -> type[SlurmSettings]:
    return SlurmSettings


@hookimpl
def balsam_schedulers(settings: SlurmSettings) -> list[Scheduler]:
    return [Slurm(settings)]


@hookimpl
def balsam_node_sources() -> list[NodeSource]:
    return [SlurmNodes()]


@hookimpl
def balsam_mpi_launchers(settings: SlurmSettings) -> list[MpiLauncher]:
    return [Srun(settings)]


@hookimpl
def balsam_machines() -> list[Machine]:
    return [PERLMUTTER_CPU, PERLMUTTER_GPU]
