"""The MPI launcher `flux-run`: flux-run(1) inside the batch job's own Flux instance."""

from __future__ import annotations

from balsam_core.plugins import Command, Launch, MpiLauncher


class FluxRun(MpiLauncher):
    """`flux run`: one task per rank, on the named hosts; the instance hands out cores and GPUs by itself."""

    name = "flux-run"

    def command(self, launch: Launch) -> Command:
        """Cores and GPUs are counted, not named: Flux chooses which of a host's."""
        hosts = ",".join(placement.node.hostname for placement in launch.placements)
        gpus = len(launch.placements[0].gpus) // launch.ranks_per_node
        argv = (
            "flux",
            "run",
            f"--nodes={len(launch.placements)}",
            f"--ntasks={launch.ranks}",
            f"--cores-per-task={launch.threads_per_rank}",
            *((f"--gpus-per-task={gpus}",) if gpus else ()),
            f"--requires=host:{hosts}",
            f"--setopt=cpu-affinity={'per-task' if launch.affinity == 'depth' else 'off'}",
            *launch.flags,
            *launch.argv,
        )
        # flux-run(1): the environment of the command is the tasks'.
        return Command(argv, launch.env)
