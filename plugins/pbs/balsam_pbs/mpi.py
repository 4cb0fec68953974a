"""The MPI launcher `pals`: mpiexec of HPE Cray's Parallel Application Launch Service."""

from __future__ import annotations

from balsam_core.plugins import Command, Launch, LaunchError, MpiLauncher
from balsam_pbs.settings import PbsSettings


class Pals(MpiLauncher):
    """PALS on Polaris and its like; see its mpiexec(1). MPICH's own mpiexec rejects -d and --cpu-bind."""

    name = "pals"

    def __init__(self, settings: PbsSettings) -> None:
        self._program = settings.pals

    def command(self, launch: Launch) -> Command:
        if any(placement.node.is_virtual for placement in launch.placements):
            raise LaunchError("the MPI launcher 'pals' cannot play virtual nodes; use --mpi mpiexec")
        argv = (
            self._program,
            "-n",
            str(launch.ranks),
            "--ppn",
            str(launch.ranks_per_node),
            "--hosts",
            ",".join(placement.node.hostname for placement in launch.placements),
            # Else the program is copied to the nodes, and a Python without its folder does not find its modules.
            "--no-transfer",
            "--envall",
            *_binding(launch),
            *launch.flags,
            *launch.argv,
        )
        return Command(argv, launch.env)


def _binding(launch: Launch) -> tuple[str, ...]:
    """Where the ranks of a node are bound; the CPUs of a list hold for every node, rank by rank.

    "none" is said, too: PALS has a default of its own, and PALS_CPU_BIND may set one.
    """
    first = launch.placements[0]
    cpus, ranks, depth = first.cpus, launch.ranks_per_node, launch.threads_per_rank
    is_whole = launch.exclusive and all(placement.cpus == placement.node.cpus for placement in launch.placements)
    is_alike = all(placement.cpus == cpus for placement in launch.placements)
    threads_per_core = min(launch.threads_per_core, first.node.threads_per_core)
    if launch.affinity == "depth":
        if is_whole and ranks * depth <= len(cpus) * threads_per_core:
            return ("-d", str(depth), "--cpu-bind", "depth")
        if is_alike and ranks * depth <= len(cpus):
            return _list([cpus[start : start + depth] for start in range(0, ranks * depth, depth)])
    elif cpus and is_alike and not launch.exclusive:
        return _list([cpus] * ranks)
    return ("--cpu-bind", "none")


def _list(cpus_of_ranks: list[tuple[int, ...]]) -> tuple[str, ...]:
    return ("--cpu-bind", "list:" + ":".join(",".join(map(str, cpus)) for cpus in cpus_of_ranks))
