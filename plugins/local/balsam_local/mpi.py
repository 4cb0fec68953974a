"""The MPI launchers `mpiexec` (MPICH's hydra) and `openmpi`: one command each."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from balsam_core.plugins import Command, Launch, LaunchError, MpiLauncher, Placement

# Hydra finds the nodes of a batch job by itself, reading PBS_NODEFILE and the like, and then tries ssh or srun (seen
# with MPICH 5.0.2, 2026-11-23); on this host neither is wanted.
_ON_THIS_HOST = ("-rmk", "user", "-launcher", "fork")


class HydraMpiexec(MpiLauncher):
    """MPICH's mpiexec; see `mpiexec --help`. It rejects the -d, --depth and --cpu-bind of Cray's mpiexec.

    program: an executable instead of the one on PATH or in the virtual environment.
    """

    name = "mpiexec"

    def __init__(self, program: str | None = None, hostname: str | None = None) -> None:
        self._program = program
        self._hostname = hostname

    def command(self, launch: Launch) -> Command:
        argv = (
            self._program or _find("mpiexec"),
            "-n",
            str(launch.ranks),
            "-ppn",
            str(launch.ranks_per_node),
            *self._nodes(launch.placements),
            *_hydra_binding(launch),
            *launch.flags,
            *launch.argv,
        )
        # The ranks inherit the environment of mpiexec (-genvall is the default).
        return Command(argv, launch.env)

    def _nodes(self, placements: Sequence[Placement]) -> tuple[str, ...]:
        hosts = ",".join(placement.node.hostname for placement in placements)
        if any(placement.node.is_virtual for placement in placements):
            return (*_ON_THIS_HOST, "-hosts", hosts)
        if len(placements) == 1 and _is_here(hosts, self._hostname):
            return _ON_THIS_HOST
        return ("-hosts", hosts)


class OpenMpi(MpiLauncher):
    """Open MPI's mpirun 4 and 5; see mpirun(1)."""

    name = "openmpi"

    def __init__(self, program: str | None = None, hostname: str | None = None) -> None:
        self._program = program
        self._hostname = hostname

    def command(self, launch: Launch) -> Command:
        exported = [word for name in sorted(launch.env) for word in ("-x", name)]
        argv = (
            self._program or _find("mpirun"),
            "-n",
            str(launch.ranks),
            *self._mapping(launch),
            *exported,
            *launch.flags,
            *launch.argv,
        )
        # Containers run as root; mpirun refuses that without both variables.
        allow_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        return Command(argv, {**launch.env, **allow_root})

    def _mapping(self, launch: Launch) -> tuple[str, ...]:
        virtual = any(placement.node.is_virtual for placement in launch.placements)
        hosts = [placement.node.hostname for placement in launch.placements]
        if virtual or (len(hosts) == 1 and _is_here(hosts[0], self._hostname)):
            # Open MPI cannot play several hosts on one: all ranks are this host's.
            hosts, per_node = ["localhost"], launch.ranks
        else:
            per_node = launch.ranks_per_node
        slots = ("--host", ",".join(f"{host}:{per_node}" for host in hosts))
        # Cores are counted from the node's first one, so a program that shares its node is not bound.
        if _binds(launch) and launch.exclusive:
            return (*slots, "--map-by", f"ppr:{per_node}:node:PE={launch.threads_per_rank}", "--bind-to", "core")
        return (*slots, "--map-by", f"ppr:{per_node}:node:OVERSUBSCRIBE", "--bind-to", "none")


def _hydra_binding(launch: Launch) -> tuple[str, ...]:
    """`-bind-to user:0+1,2+3`: each rank of a node gets its own cores; the same list holds for every node."""
    cpus = launch.placements[0].cpus
    if not _binds(launch) or any(placement.cpus != cpus for placement in launch.placements):
        return ()
    depth = launch.threads_per_rank
    slices = [cpus[start : start + depth] for start in range(0, depth * launch.ranks_per_node, depth)]
    return ("-bind-to", "user:" + ",".join("+".join(map(str, part)) for part in slices))


def _binds(launch: Launch) -> bool:
    """Whether every rank can have cores of its own; on virtual nodes the cores are shared, so nothing is bound."""
    wanted = launch.ranks_per_node * launch.threads_per_rank
    return launch.affinity == "depth" and all(
        len(placement.cpus) >= wanted and not placement.node.is_virtual for placement in launch.placements
    )


def _is_here(hostname: str, own: str | None) -> bool:
    """Whether it is this host's name; batch schedulers leave its domain out, or this host does."""
    own = own or platform.node()
    return hostname in ("localhost", own) or own.startswith(f"{hostname}.") or hostname.startswith(f"{own}.")


def _find(program: str) -> str:
    """The program on PATH, else next to this Python, where the wheel `mpich` puts it."""
    found = shutil.which(program)
    beside = Path(sys.executable).with_name(program)
    if found is None and os.access(beside, os.X_OK):
        found = str(beside)
    if found is None:
        raise LaunchError(f"no {program} on PATH or beside {sys.executable}; pip install 'balsam-core[mpi]'")
    return found
