"""The plugin local: its nodes, and the exact commands of its MPI launchers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from balsam_core.commands import HostProbe, parse_cpu_list, parse_gpu_list
from balsam_core.errors import ConfigError, LaunchError
from balsam_core.plugins import (
    Allocation,
    Command,
    CommandResult,
    Hardware,
    Launch,
    Node,
    Placement,
    Probe,
)
from balsam_core.plugins.discovery import discover
from balsam_core.plugins.registry import load_registry
from balsam_core.settings import load_settings
from balsam_local.mpi import HydraMpiexec, OpenMpi
from balsam_local.nodes import LocalNodes
from balsam_local.settings import LocalSettings

HARDWARE = Hardware("here", (0, 1, 2, 3), threads_per_core=2, memory_mb=8000, gpus=("0",), numa=((0, 1), (2, 3)))
HERE = Node("here", "here", (0, 1, 2, 3), 2, ("0",), 8000, ((0, 1), (2, 3)))
N1, N2 = (Node(name, name, (0, 1, 2, 3), is_virtual=True) for name in ("n1", "n2"))
X1, X2 = (Node(name, name, (0, 1, 2, 3)) for name in ("x1", "x2"))


class PlayedHost(Probe):
    def __init__(self, **environ: str) -> None:
        self.environ = environ

    def read_text(self, path: str) -> str | None:
        return None

    def run(self, command: Command) -> CommandResult:
        return CommandResult(command.argv, 127)

    def hardware(self) -> Hardware:
        return HARDWARE


def make_launch(
    *nodes: Node, ranks_per_node: int = 2, affinity: str = "none", exclusive: bool = True, cpus: tuple[int, ...] = ()
) -> Launch:
    placements = tuple(Placement(node, cpus or node.cpus) for node in nodes)
    launch = Launch(("a.out", "-x"), placements, {"A": "1"}, ranks_per_node, flags=("-info",), exclusive=exclusive)
    return launch if affinity == "none" else _deep(launch)


def _deep(launch: Launch) -> Launch:
    given = {**vars(launch), "affinity": "depth", "threads_per_rank": 2}
    return Launch(**given)


def test_the_host_is_the_one_node() -> None:
    assert LocalNodes(LocalSettings()).discover(PlayedHost()) == Allocation((HERE,))


def test_virtual_nodes_all_show_the_hosts_cpus() -> None:
    nodes = LocalNodes(LocalSettings(virtual_nodes=2)).discover(PlayedHost()).nodes
    assert [(node.id, node.hostname, node.is_virtual) for node in nodes] == [("n1", "n1", True), ("n2", "n2", True)]
    assert {(node.cpus, node.gpus, node.memory_mb) for node in nodes} == {(HERE.cpus, HERE.gpus, HERE.memory_mb)}


def test_the_variable_sets_the_number_of_virtual_nodes(tmp_path: Path) -> None:
    registry = load_registry(load_settings(tmp_path, {"BALSAM_LOCAL__VIRTUAL_NODES": "3"}))
    assert [node.id for node in discover(registry, "local", PlayedHost()).nodes] == ["n1", "n2", "n3"]


def test_a_batch_job_of_the_local_queue_has_the_nodes_and_the_time_that_it_was_given() -> None:
    source = LocalNodes(LocalSettings(virtual_nodes=4), clock=lambda: 1000.0)
    host = PlayedHost(BALSAM_LOCAL_JOB_ID="7", BALSAM_LOCAL_NODES="n1,n2", BALSAM_LOCAL_END_TIME="1090")
    assert [node.id for node in source.discover(host).nodes] == ["n1", "n2"]
    assert source.discover(host) == Allocation(source.discover(host).nodes, "7", 90.0)
    late = PlayedHost(BALSAM_LOCAL_JOB_ID="7", BALSAM_LOCAL_NODES="n4", BALSAM_LOCAL_END_TIME="990")
    assert (source.discover(late).nodes[0].id, source.discover(late).seconds_left) == ("n4", 0.0)


def test_a_batch_job_on_a_host_without_virtual_nodes_has_the_host() -> None:
    host = PlayedHost(BALSAM_LOCAL_JOB_ID="7", BALSAM_LOCAL_NODES="n1", BALSAM_LOCAL_END_TIME="soon")
    assert LocalNodes(LocalSettings()).discover(host) == Allocation((HERE,), "7", None)


def test_a_batch_job_that_does_not_say_its_nodes_gets_none() -> None:
    with pytest.raises(LaunchError, match="the batch job 7 of the local queue does not say its nodes"):
        LocalNodes(LocalSettings()).discover(PlayedHost(BALSAM_LOCAL_JOB_ID="7"))


def test_a_wrong_number_of_virtual_nodes_is_refused(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {"BALSAM_LOCAL__VIRTUAL_NODES": "-3"})
    with pytest.raises(ConfigError, match=r"^BALSAM_LOCAL__VIRTUAL_NODES = '?-3'?: should be greater"):
        load_registry(settings)


def test_mpiexec_on_this_host_ignores_the_nodes_of_a_batch_job() -> None:
    assert HydraMpiexec("mpiexec", "here").command(make_launch(HERE)) == Command(
        ("mpiexec", "-n", "2", "-ppn", "2", "-rmk", "user", "-launcher", "fork", "-info", "a.out", "-x"), {"A": "1"}
    )


@pytest.mark.parametrize(
    ("node", "own", "is_here"),
    [("x1", "x1.site.org", True), ("x1.site.org", "x1", True), ("x1", "x10", False), ("10.0.0.1", "10.0.0.2", False)],
)
def test_a_host_is_known_with_and_without_its_domain(node: str, own: str, is_here: bool) -> None:
    argv = HydraMpiexec("mpiexec", own).command(make_launch(Node(node, node))).argv
    assert ("-rmk" in argv, "-hosts" in argv) == (is_here, not is_here)


def test_mpiexec_plays_virtual_nodes_without_ssh() -> None:
    argv = HydraMpiexec("mpiexec", "here").command(make_launch(N1, N2, affinity="depth")).argv
    assert " ".join(argv) == "mpiexec -n 4 -ppn 2 -rmk user -launcher fork -hosts n1,n2 -info a.out -x"


def test_mpiexec_names_other_hosts() -> None:
    argv = HydraMpiexec("mpiexec", "here").command(make_launch(X1, X2)).argv
    assert " ".join(argv) == "mpiexec -n 4 -ppn 2 -hosts x1,x2 -info a.out -x"


def test_mpiexec_binds_each_rank_to_its_jobs_own_cores() -> None:
    node = Node("here", "here", tuple(range(8)))
    argv = HydraMpiexec("mpiexec", "here").command(make_launch(node, affinity="depth", cpus=(4, 5, 6, 7))).argv
    assert argv[argv.index("-bind-to") + 1] == "user:4+5,6+7"


def test_mpiexec_binds_nothing_that_does_not_fit() -> None:
    launch = make_launch(HERE, ranks_per_node=4, affinity="depth")
    assert "-bind-to" not in HydraMpiexec("mpiexec", "here").command(launch).argv


@pytest.mark.parametrize(
    ("launch", "words"),
    [
        (make_launch(HERE), "-n 2 --host localhost:2 --map-by ppr:2:node:OVERSUBSCRIBE --bind-to none"),
        (make_launch(N1, N2), "-n 4 --host localhost:4 --map-by ppr:4:node:OVERSUBSCRIBE --bind-to none"),
        (make_launch(X1, X2), "-n 4 --host x1:2,x2:2 --map-by ppr:2:node:OVERSUBSCRIBE --bind-to none"),
        (make_launch(HERE, affinity="depth"), "-n 2 --host localhost:2 --map-by ppr:2:node:PE=2 --bind-to core"),
        (
            make_launch(HERE, affinity="depth", exclusive=False),
            "-n 2 --host localhost:2 --map-by ppr:2:node:OVERSUBSCRIBE --bind-to none",
        ),
    ],
)
def test_openmpi_maps_ranks_by_node(launch: Launch, words: str) -> None:
    command = OpenMpi("mpirun", "here").command(launch)
    assert " ".join(command.argv) == f"mpirun {words} -x A -info a.out -x"
    assert command.env == {"A": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def make_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_mpiexec_is_taken_from_path_before_the_one_beside_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path, beside = make_program(tmp_path / "bin" / "mpiexec"), make_program(tmp_path / "venv" / "mpiexec")
    monkeypatch.setattr(sys, "executable", str(beside.with_name("python")))
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert HydraMpiexec().command(make_launch(HERE)).argv[0] == str(on_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert HydraMpiexec().command(make_launch(HERE)).argv[0] == str(beside)


def test_a_missing_mpiexec_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match=r"^no mpiexec on PATH or beside \S+; pip install 'balsam-core\[mpi\]'$"):
        HydraMpiexec().command(make_launch(HERE))


def test_the_real_host_has_the_cpus_that_this_process_may_use() -> None:
    hardware = HostProbe({"CUDA_VISIBLE_DEVICES": "GPU-5, 3"}).hardware()
    assert hardware.cpus == tuple(sorted(os.sched_getaffinity(0)))
    assert hardware.threads_per_core >= 1
    assert hardware.memory_mb is not None
    assert hardware.memory_mb > 0
    assert hardware.gpus == ("GPU-5", "3")
    assert set(hardware.numa and hardware.numa[0]) <= set(hardware.cpus)


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles"])
def test_a_batch_job_without_gpus_has_none(visible: str) -> None:
    assert HostProbe({"CUDA_VISIBLE_DEVICES": visible}).hardware().gpus == ()


# Whole GPUs as `nvidia-smi -L` prints them; the MIG lines follow NVIDIA's MIG user guide.
GPUS = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-2222-3333-4444-555555555555)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-66666666-2222-3333-4444-555555555555)
  MIG 3g.40gb     Device  0: (UUID: MIG-aaaaaaaa-0000-0000-0000-000000000000)
  MIG 3g.40gb     Device  1: (UUID: MIG-bbbbbbbb-0000-0000-0000-000000000000)
GPU 2: NVIDIA H100 80GB HBM3 (UUID: GPU-77777777-2222-3333-4444-555555555555)
"""


def test_a_gpu_is_its_index_and_a_cut_gpu_its_slices() -> None:
    mig = ("MIG-aaaaaaaa-0000-0000-0000-000000000000", "MIG-bbbbbbbb-0000-0000-0000-000000000000")
    assert parse_gpu_list(GPUS) == ("0", *mig, "2")
    assert parse_gpu_list("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n") == ()


@pytest.mark.parametrize(("text", "cpus"), [("0-3,8\n", (0, 1, 2, 3, 8)), ("5", (5,)), ("\n", ())])
def test_the_kernels_cpu_lists_are_read(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == cpus
