"""What the real tests run inside a batch job: prints as JSON the nodes that are found, or what programs say."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from balsam_core.commands import HostProbe, run_command
from balsam_core.plugins import CommandResult, Launch, MpiLauncher, Node, Placement
from balsam_local.mpi import HydraMpiexec
from balsam_slurm.mpi import Srun
from balsam_slurm.nodes import SlurmNodes
from balsam_slurm.settings import SlurmSettings

SRUN = Srun(SlurmSettings(mpi_type="pmi2", bind=False))
SIDE_BY_SIDE = 4


def nodes() -> object:
    """The allocation."""
    found = SlurmNodes().discover(HostProbe())
    assert found
    return [[node.hostname for node in found.nodes], found.job_id, found.seconds_left]


def launched() -> object:
    """The ends of programs that want to know what a user of srun would."""
    two = _launch("echo $SLURM_PROCID $SLURMD_NODENAME $A", ranks_per_node=2, env={"A": "x y,B=2 'c'"})
    crowd = _launch("echo $SLURM_PROCID", ranks_per_node=12)
    deep = _launch("echo $SLURM_CPUS_PER_TASK", ranks_per_node=2, threads_per_rank=3, affinity="depth")
    failing = _launch("[ $SLURM_PROCID = 1 ] && exit 3; sleep 200", ranks_per_node=1)
    gpus = _launch("echo $CUDA_VISIBLE_DEVICES", env={"CUDA_VISIBLE_DEVICES": "2,3"})
    return {
        "two": _lines(two),
        "crowd": len(_lines(crowd)),
        "deep": _lines(deep),
        "failing": _timed(lambda: run_command(SRUN.command(failing), 120)),
        "gpus": _lines(gpus),
        "stdin": _fed("1 first\n", _launch("read line && echo $SLURM_PROCID has $line; true")),
        "side_by_side": _side_by_side(SRUN),
    }


def mpi() -> object:
    """The ranks that find each other over both nodes."""
    program = "from mpi4py import MPI; c = MPI.COMM_WORLD; print(c.rank, c.size, c.allreduce(c.rank), flush=True)"
    launch = Launch((sys.executable, "-m", "mpi4py", "-c", program), _placements(), ranks_per_node=2)
    return _lines(launch)


def mpiexec() -> object:
    """The ends of programs that MPICH's mpiexec starts on both nodes at the same time."""
    return _side_by_side(HydraMpiexec())


def _placements() -> tuple[Placement, ...]:
    found = SlurmNodes().discover(HostProbe())
    assert found
    # How many cores Slurm believes that there are, whatever this host has.
    return tuple(Placement(Node(node.id, node.hostname, tuple(range(8)))) for node in found.nodes)


def _launch(script: str, **fields: object) -> Launch:
    return Launch(**{"argv": ("sh", "-c", script), "placements": _placements(), **fields})  # type: ignore[arg-type]


def _lines(launch: Launch) -> list[str]:
    result = run_command(SRUN.command(launch), 30)
    return sorted(result.stdout.splitlines()) if result.returncode == 0 else [str(result)]


def _timed(run: Callable[[], CommandResult]) -> list[object]:
    begun = time.monotonic()
    return [run().returncode, time.monotonic() - begun]


def _fed(text: str, launch: Launch) -> str:
    command = SRUN.command(launch)
    return subprocess.run(command.argv, input=text, capture_output=True, text=True, timeout=30).stdout


def _side_by_side(mpi: MpiLauncher) -> list[object]:
    """How programs end that each wait until all the others are there, too."""
    everybody = (
        f"while [ $(ls met | wc -l) -lt {SIDE_BY_SIDE} ]; do i=$((i+1)); [ $i -lt 100 ] || exit 1; sleep 0.1; done"
    )

    def meet(number: int) -> int:
        command = mpi.command(_launch(f"mkdir -p met; touch met/{number}; i=0; {everybody}"))
        return run_command(command, 30).returncode

    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        return list(threads.map(meet, range(SIDE_BY_SIDE)))


if __name__ == "__main__":
    print(json.dumps({"nodes": nodes, "launched": launched, "mpi": mpi, "mpiexec": mpiexec}[sys.argv[1]]()))
