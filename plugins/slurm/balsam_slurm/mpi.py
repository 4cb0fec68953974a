"""The MPI launcher `srun`: one step of the batch job per program."""

from __future__ import annotations

import math

from balsam_core.plugins import Command, Launch, MpiLauncher
from balsam_slurm.settings import SlurmSettings

# Linux takes words of 128 KiB; see MAX_ARG_STRLEN in execve(2).
_LONGEST_WORD = 100_000


class Srun(MpiLauncher):
    """Slurm's srun; see srun(1).

    Cores and GPUs are given out by the launcher and not by Slurm, which makes steps wait for each other: they overlap,
    take no memory of their own, and are bound here. SIGTERM ends the ranks at once: srun does not pass it on.
    """

    name = "srun"

    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings

    def command(self, launch: Launch) -> Command:
        argv = (
            "srun",
            f"--nodes={len(launch.placements)}",
            f"--ntasks={launch.ranks}",
            f"--ntasks-per-node={launch.ranks_per_node}",
            f"--nodelist={_names(launch)}",
            *self._sharing(launch),
            # A batch job that was submitted with --export=NONE says so to srun, too.
            "--export=ALL",
            # As with mpiexec: the first rank reads our standard input, and a rank that fails ends the others.
            "--input=0",
            "--kill-on-bad-exit=1",
            *((f"--mpi={self._settings.mpi_type}",) if self._settings.mpi_type else ()),
            *launch.flags,
            *_showing_gpus(launch),
            *launch.argv,
        )
        return Command(argv, launch.env)

    def _sharing(self, launch: Launch) -> tuple[str, ...]:
        return (
            *(("--overlap",) if self._settings.overlap else ()),
            "--mem=0",
            # Asked for CPUs per rank a step gets exactly these, which Slurm chooses; else all that the node has.
            *((f"--cpus-per-task={_cpus_per_rank(launch)}",) if _is_deep(launch) else _room(launch)),
            *((f"--cpu-bind={_binding(launch)}",) if self._settings.bind else ()),
        )


def _names(launch: Launch) -> str:
    """All nodes one by one, or in Slurm's short form where that would be too long for a command's word."""
    names = ",".join(placement.node.hostname for placement in launch.placements)
    if len(names) <= _LONGEST_WORD:
        return names
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet

    return str(NodeSet(names, resolver=RESOLVER_NOGROUP))


def _cores_per_rank(launch: Launch) -> int:
    return math.ceil(launch.threads_per_rank / max(launch.threads_per_core, 1))


def _cpus_per_rank(launch: Launch) -> int:
    """Slurm's CPUs are hardware threads; a rank gets whole cores, of which it uses `threads_per_core` threads each."""
    return _cores_per_rank(launch) * max(launch.placements[0].node.threads_per_core, 1)


def _is_deep(launch: Launch) -> bool:
    """Whether Slurm is to give each rank cores of its own: the nodes are the program's alone, and have enough."""
    wanted = launch.ranks_per_node * _cores_per_rank(launch)
    fits = all(not placement.node.cpus or wanted <= len(placement.node.cpus) for placement in launch.placements)
    return launch.exclusive and launch.affinity == "depth" and fits


def _room(launch: Launch) -> tuple[str, ...]:
    """srun refuses more ranks than a node has CPUs, unless it is told to."""
    fits = all(launch.ranks_per_node <= len(placement.node.cpus) for placement in launch.placements)
    return () if fits else ("--overcommit",)


def _binding(launch: Launch) -> str:
    """A program that shares its node is bound to exactly the cores that it owns there."""
    if _is_deep(launch):
        return "cores"
    owned = {placement.cpus for placement in launch.placements}
    if launch.exclusive or len(owned) > 1 or () in owned:
        return "none"
    return f"mask_cpu:{sum(1 << cpu for cpu in owned.pop()):#x}"


def _showing_gpus(launch: Launch) -> tuple[str, ...]:
    """A step shows its ranks all GPUs of the batch job, whatever our environment says: each rank sets it again."""
    variable = launch.placements[0].node.gpu_variable
    return ("env", f"{variable}={launch.env[variable]}") if variable in launch.env else ()
