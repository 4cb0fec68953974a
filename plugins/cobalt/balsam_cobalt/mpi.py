"""The MPI launcher `aprun` of Cray XC: one command per program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from balsam_core.plugins import Command, Launch, LaunchError, MpiLauncher

_NID = re.compile(r"nid0*(\d+)\Z")


class Aprun(MpiLauncher):
    """ALPS's aprun; see aprun(1). It hands on signals, and ALPS kills the ranks of an aprun that is gone."""

    name = "aprun"
    # ALPS bears no more, and no faster, from one head node.
    max_concurrent = 1000
    min_interval_seconds = 0.1

    def command(self, launch: Launch) -> Command:
        argv = (
            *("aprun", "-n", str(launch.ranks), "-N", str(launch.ranks_per_node)),
            *("-d", str(launch.threads_per_rank), "-j", str(launch.threads_per_core)),
            *("-cc", _binding(launch)),
            *("-L", ",".join(_nid(placement.node.hostname) for placement in launch.placements)),
            *(word for name in sorted(launch.env) for word in ("-e", f"{name}={launch.env[name]}")),
            *launch.flags,
            *launch.argv,
        )
        return Command(argv, launch.env)


def _nid(hostname: str) -> str:
    found = _NID.match(hostname)
    if found is None:
        raise LaunchError(
            f"aprun has no number for the node {hostname!r}; use --node-source theta, or another MPI launcher by --mpi"
        )
    return found[1]


def _binding(launch: Launch) -> str:
    """`depth` or `none`; on a node that is shared, the cores that the program owns, a part of them for each rank."""
    cpus = launch.placements[0].cpus
    width = len(cpus) // launch.ranks_per_node
    if launch.exclusive or width == 0 or any(placement.cpus != cpus for placement in launch.placements):
        return launch.affinity
    parts = (cpus[start : start + width] for start in range(0, width * launch.ranks_per_node, width))
    return ":".join(",".join(_ranges(part)) for part in parts)


def _ranges(cpus: Sequence[int]) -> Iterator[str]:
    """`0-3`, `8` for 0, 1, 2, 3, 8."""
    for _, group in groupby(enumerate(sorted(cpus)), key=lambda pair: pair[1] - pair[0]):
        run = [cpu for _, cpu in group]
        yield f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}"
