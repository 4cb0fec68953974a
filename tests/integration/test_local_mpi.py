"""The MPI launchers of the plugin local, with a real mpiexec."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from balsam_core.commands import HostProbe, run_command
from balsam_core.errors import LaunchError
from balsam_core.plugins import Launch, Node, Placement
from balsam_local.mpi import HydraMpiexec
from balsam_local.nodes import LocalNodes
from balsam_local.settings import LocalSettings

RANK = """
import os, sys
from mpi4py import MPI
comm = MPI.COMM_WORLD
rows = comm.gather((comm.rank, sorted(os.sched_getaffinity(0)), os.environ["A"]))
if comm.rank == 0:
    print(rows)
"""

pytestmark = pytest.mark.mpi


@pytest.fixture
def mpiexec() -> HydraMpiexec:
    launcher = HydraMpiexec()
    try:
        launcher.command(Launch(("true",), (Placement(Node("localhost", "localhost")),)))
    except LaunchError as error:
        pytest.skip(str(error))
    return launcher


def run_ranks(launcher: HydraMpiexec, launch: Launch) -> list[tuple[int, list[int], str]]:
    result = run_command(launcher.command(launch), 60)
    assert (result.returncode, result.stderr) == (0, "")
    rows: list[tuple[int, list[int], str]] = eval(result.stdout)
    return rows


def make_launch(virtual_nodes: int, **fields: object) -> Launch:
    nodes = LocalNodes(LocalSettings(virtual_nodes=virtual_nodes)).discover(HostProbe()).nodes
    placements = tuple(Placement(node, node.cpus) for node in nodes)
    argv = (sys.executable, "-m", "mpi4py", "-c", RANK)
    return Launch(**{"argv": argv, "placements": placements, "env": {"A": "x y"}, **fields})  # type: ignore[arg-type]


def test_ranks_of_one_host_form_one_program(mpiexec: HydraMpiexec) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    assert run_ranks(mpiexec, make_launch(0, ranks_per_node=3)) == [(rank, cpus, "x y") for rank in range(3)]


def test_ranks_of_virtual_nodes_form_one_program(mpiexec: HydraMpiexec) -> None:
    rows = run_ranks(mpiexec, make_launch(2, ranks_per_node=2))
    assert [(rank, variable) for rank, _, variable in rows] == [(rank, "x y") for rank in range(4)]


def test_depth_gives_each_rank_cores_of_its_own(mpiexec: HydraMpiexec) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    launch = make_launch(0, ranks_per_node=len(cpus), affinity="depth")
    assert [bound for _, bound, _ in run_ranks(mpiexec, launch)] == [[cpu] for cpu in cpus]


def test_the_nodes_of_a_batch_job_do_not_mislead_a_program_of_this_host(
    mpiexec: HydraMpiexec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nodes").write_text("elsewhere1\nelsewhere2\n")
    for name in ("PBS_NODEFILE", "PBS_JOBID", "PBS_ENVIRONMENT"):
        monkeypatch.setenv(name, str(tmp_path / "nodes"))
    assert len(run_ranks(mpiexec, make_launch(0, ranks_per_node=2))) == 2
