"""MPI command lines, made by the site's MPI launcher: an object that is called gives one command as text."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from balsam.core.site import current_site
from balsam.launcher.allocation import allocation, registry

if TYPE_CHECKING:
    from balsam_core.models.nodes import Placement

__all__ = [
    "COOLEYMPICommand",
    "DEFAULTMPICommand",
    "MPICHCommand",
    "MPICommand",
    "OPENMPICommand",
    "SLURMMPICommand",
    "THETAMPICommand",
]


class MPICommand:
    """The site's MPI launcher, or the one that `name` names; raises PluginError when there is none of that name."""

    name: str | None = None

    def __init__(self) -> None:
        self._mpi = registry().mpi_launcher(self.name or current_site().settings.mpi.name)

    def __call__(
        self,
        workers: Sequence[Any],
        *,
        app_cmd: str,
        num_ranks: int,
        ranks_per_node: int,
        envs: Mapping[str, str] | None = None,
        cpu_affinity: str = "none",
        threads_per_rank: int = 1,
        threads_per_core: int = 1,
        mpi_flags: str = "",
    ) -> str:
        """The command that runs `app_cmd` on the workers; without workers, on nodes of this allocation."""
        from balsam_core.plugins import Launch

        variables = {str(name): str(value) for name, value in (envs or {}).items()}
        launch = Launch(
            argv=tuple(shlex.split(app_cmd)),
            placements=_placements(workers, nodes=-(-int(num_ranks) // int(ranks_per_node))),
            env=variables,
            ranks_per_node=int(ranks_per_node),
            threads_per_rank=int(threads_per_rank),
            threads_per_core=int(threads_per_core),
            affinity="depth" if cpu_affinity == "depth" else "none",
            flags=tuple(shlex.split(mpi_flags or "")),
        )
        command = self._mpi.command(launch)
        # Whoever runs the text may do so in an environment of its own: what differs from this one is said in it.
        new = [f"{name}={value}" for name, value in command.env.items() if os.environ.get(name) != value]
        return shlex.join([*(["env", *new] if new else []), *command.argv])


class DEFAULTMPICommand(MPICommand):
    """The site's MPI launcher."""


class MPICHCommand(MPICommand):
    """MPICH's."""

    name = "mpiexec"


class COOLEYMPICommand(MPICHCommand):
    """MPICH's."""


class OPENMPICommand(MPICommand):
    """Open MPI's."""

    name = "openmpi"


class SLURMMPICommand(MPICommand):
    """Slurm's; its plugin must be installed."""

    name = "srun"


class THETAMPICommand(MPICommand):
    """ALPS's; its plugin must be installed."""

    name = "aprun"


def _placements(workers: Sequence[Any], nodes: int) -> tuple[Placement, ...]:
    from balsam_core.plugins import Placement

    found = [worker.node for worker in workers or ()] or list(allocation().nodes)
    return tuple(Placement(node, node.cpus, node.gpus) for node in found[: max(1, nodes)])
