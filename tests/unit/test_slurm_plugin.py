"""The plugin slurm: the nodes that it finds, the exact commands of srun, and its machines."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from balsam_core.errors import LaunchError
from balsam_core.plugins import (
    Allocation,
    Command,
    CommandResult,
    Hardware,
    Launch,
    Node,
    Placement,
    Probe,
    Queue,
    validation,
)
from balsam_slurm.machines import PERLMUTTER_CPU, PERLMUTTER_GPU
from balsam_slurm.mpi import Srun
from balsam_slurm.nodes import SlurmNodes
from balsam_slurm.settings import SlurmSettings

# The environment of a batch job of Slurm 22.05.8 on 2 nodes, 2026-11-25.
BATCH_JOB = {
    "SLURMD_NODENAME": "node1",
    "SLURM_CPUS_ON_NODE": "8",
    "SLURM_JOB_CPUS_PER_NODE": "8(x2)",
    "SLURM_JOB_ID": "45",
    "SLURM_JOB_NODELIST": "node[1-2]",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_TASKS_PER_NODE": "8(x2)",
}
# salloc sets no SLURMD_NODENAME: the shell is not on a node.
SALLOC = {name: value for name, value in BATCH_JOB.items() if name not in ("SLURMD_NODENAME", "SLURM_CPUS_ON_NODE")}
CPUS = tuple(range(8))
NUMA = (CPUS[:4], CPUS[4:])


class PlayedNode(Probe):
    """A node with 8 cores, on which squeue gives `answer`."""

    def __init__(self, environ: Mapping[str, str], answer: str = "", cpus: tuple[int, ...] = CPUS) -> None:
        self.environ = environ
        self.commands: list[tuple[str, ...]] = []
        self._answer = answer
        self._hardware = Hardware("node1", cpus, 2, 16000, gpus=("0", "1"), numa=NUMA)

    def read_text(self, path: str) -> str | None:
        return None

    def run(self, command: Command) -> CommandResult:
        self.commands.append(command.argv)
        return CommandResult(command.argv, 0 if self._answer else 1, self._answer)

    def hardware(self) -> Hardware:
        return self._hardware


def found(environ: Mapping[str, str], **fields: object) -> Allocation:
    """The allocation that the variables tell of."""
    allocation = SlurmNodes().discover(PlayedNode({**BATCH_JOB, **environ}))
    assert allocation
    return allocation


# --- nodes


def test_a_host_without_a_batch_job_is_not_slurms() -> None:
    assert SlurmNodes().discover(PlayedNode({})) is None
    assert SlurmNodes().discover(PlayedNode({"SLURM_JOB_ID": ""})) is None


def test_the_nodes_of_a_batch_job_are_as_the_one_that_we_are_on() -> None:
    probe = PlayedNode(BATCH_JOB, "5:00\n")
    nodes = tuple(Node(name, name, CPUS, gpus=("0", "1"), memory_mb=16000, numa=NUMA) for name in ("node1", "node2"))
    assert SlurmNodes().discover(probe) == Allocation(nodes, "45", 300.0)
    assert probe.commands == [("squeue", "--noheader", "--format=%L", "--jobs=45")]


def test_nothing_is_bound_where_our_own_host_tells_nothing_of_the_nodes() -> None:
    salloc = SlurmNodes().discover(PlayedNode(SALLOC))
    assert salloc == Allocation((Node("node1", "node1"), Node("node2", "node2")), "45")
    several_on_one_host = SlurmNodes().discover(PlayedNode(BATCH_JOB, cpus=(0, 1)))
    assert several_on_one_host
    assert [node.cpus for node in several_on_one_host.nodes] == [(), ()]


def test_a_node_with_another_number_of_cores_is_not_bound() -> None:
    nodes = found({"SLURM_JOB_NODELIST": "node[1-3]", "SLURM_JOB_CPUS_PER_NODE": "8(x2),16"}).nodes
    assert [len(node.cpus) for node in nodes] == [8, 8, 0]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("node7", ["node7"]),
        ("nid[001234-001235,001240]", ["nid001234", "nid001235", "nid001240"]),
        ("b[2,1],a1", ["b1", "b2", "a1"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("gpu-a.site.org,cpu[9-10]-ib", ["gpu-a.site.org", "cpu9-ib", "cpu10-ib"]),
    ],
)
def test_lists_of_nodes_are_unfolded_in_slurms_order(text: str, names: list[str]) -> None:
    nodes = found({"SLURM_JOB_NODELIST": text, "SLURM_JOB_CPUS_PER_NODE": f"8(x{len(names)})"}).nodes
    assert [node.hostname for node in nodes] == names


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        *(
            ("SLURM_JOB_NODELIST", value, "a list of nodes, as in node[1-4,7]")
            for value in ("", "node[1-2", "node]1[", "node[2-1]", "@all", "a b", "a,,b", "node[1-x]", "n[1-2]!n1", "*")
        ),
        *(
            ("SLURM_JOB_NODELIST", value, "a list of at most 100000 nodes")
            for value in ("n[1-99999999999]", "n[3,1-60000],m[1-60000]")
        ),
        *(
            ("SLURM_JOB_CPUS_PER_NODE", value, "counts, as in 8(x2),16")
            for value in ("", "8(x2", "eight", "8,,8", "-8(x2)")
        ),
        ("SLURM_JOB_CPUS_PER_NODE", "8(x3)", "one count for each of 2 nodes"),
        ("SLURM_GPUS_ON_NODE", "many", "a number of GPUs, as in 4 or a100:4"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named_with_its_value(variable: str, value: str, wanted: str) -> None:
    with pytest.raises(LaunchError) as caught:
        found({variable: value})
    way_out = "start the launcher inside a batch job, or use --node-source local"
    assert str(caught.value) == f"{variable} is {value!r}, not {wanted}; {way_out}"


def test_a_batch_job_without_its_nodes_is_refused_and_an_old_name_of_the_variable_is_known() -> None:
    without = {name: value for name, value in BATCH_JOB.items() if name != "SLURM_JOB_NODELIST"}
    with pytest.raises(LaunchError, match=r"^SLURM_NODELIST is ''"):
        SlurmNodes().discover(PlayedNode(without))
    old = SlurmNodes().discover(PlayedNode({**without, "SLURM_NODELIST": "node[1-2]"}))
    assert old
    assert [node.id for node in old.nodes] == ["node1", "node2"]


@pytest.mark.parametrize(
    ("environ", "variable", "gpus"),
    [
        ({"CUDA_VISIBLE_DEVICES": "2, 3", "SLURM_JOB_GPUS": "6,7"}, "CUDA_VISIBLE_DEVICES", ("2", "3")),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles", "SLURM_GPUS_ON_NODE": "2"}, "CUDA_VISIBLE_DEVICES", ()),
        ({"ROCR_VISIBLE_DEVICES": "0,1,2,3", "SLURM_GPUS_ON_NODE": "4"}, "ROCR_VISIBLE_DEVICES", ("0", "1", "2", "3")),
        ({"SLURM_JOB_GPUS": "6,7", "SLURM_GPUS_ON_NODE": "2"}, "CUDA_VISIBLE_DEVICES", ("6", "7")),
        ({"SLURM_GPUS_ON_NODE": "2"}, "CUDA_VISIBLE_DEVICES", ("0", "1")),
        ({"SLURM_GPUS_PER_NODE": "a100:2,v100:1"}, "CUDA_VISIBLE_DEVICES", ("0", "1", "2")),
        ({}, "CUDA_VISIBLE_DEVICES", ("0", "1")),
    ],
)
def test_the_gpus_are_those_that_slurm_gives(environ: dict[str, str], variable: str, gpus: tuple[str, ...]) -> None:
    assert {(node.gpu_variable, node.gpus) for node in found(environ).nodes} == {(variable, gpus)}


@pytest.mark.parametrize(
    ("environ", "memory_mb"),
    [
        ({"SLURM_MEM_PER_NODE": "4000"}, 4000),
        ({"SLURM_MEM_PER_CPU": "500"}, 4000),
        ({"SLURM_MEM_PER_NODE": "0"}, 16000),
        ({}, 16000),
    ],
)
def test_the_memory_is_what_slurm_gives_or_else_the_nodes(environ: dict[str, str], memory_mb: int) -> None:
    assert found(environ).nodes[0].memory_mb == memory_mb


@pytest.mark.parametrize(
    ("environ", "answer", "seconds"),
    [
        ({"SLURM_JOB_END_TIME": "1030"}, "", 30.0),
        ({"SLURM_JOB_END_TIME": "900"}, "", 0.0),
        ({"SLURM_JOB_END_TIME": "soon"}, "Welcome!\n1-02:00:00\n", 93600.0),
        ({}, "UNLIMITED\n", None),
        ({}, "", None),
    ],
)
def test_the_time_left_comes_from_the_environment_or_from_one_question(
    environ: dict[str, str], answer: str, seconds: float | None
) -> None:
    allocation = SlurmNodes(now=lambda: 1000.0).discover(PlayedNode({**BATCH_JOB, **environ}, answer))
    assert allocation
    assert allocation.seconds_left == seconds


# --- srun

KNL1, KNL2 = (Node(f"nid0000{number}", f"nid0000{number}", tuple(range(64)), threads_per_core=4) for number in (1, 2))
ENDS = ("--export=ALL", "--input=0", "--kill-on-bad-exit=1")


def srun(launch: Launch, **settings: object) -> tuple[str, ...]:
    """The words of the command."""
    return Srun(SlurmSettings.model_validate(settings)).command(launch).argv


def make_launch(*nodes: Node, **fields: object) -> Launch:
    """A program that has its nodes to itself."""
    placements = tuple(Placement(node, node.cpus, node.gpus) for node in nodes)
    return Launch(**{"argv": ("a.out", "-x"), "placements": placements, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("launch", "sizes", "sharing"),
    [
        (
            make_launch(KNL1, ranks_per_node=64),
            ("--nodes=1", "--ntasks=64", "--ntasks-per-node=64", "--nodelist=nid00001"),
            ("--cpu-bind=none",),
        ),
        (
            make_launch(KNL1, ranks_per_node=64, affinity="depth"),
            ("--nodes=1", "--ntasks=64", "--ntasks-per-node=64", "--nodelist=nid00001"),
            ("--cpus-per-task=4", "--cpu-bind=cores"),
        ),
        (
            make_launch(KNL1, KNL2, ranks_per_node=32, threads_per_rank=2, affinity="depth"),
            ("--nodes=2", "--ntasks=64", "--ntasks-per-node=32", "--nodelist=nid00001,nid00002"),
            ("--cpus-per-task=8", "--cpu-bind=cores"),
        ),
        (
            make_launch(KNL1, ranks_per_node=64, threads_per_rank=4, threads_per_core=4, affinity="depth"),
            ("--nodes=1", "--ntasks=64", "--ntasks-per-node=64", "--nodelist=nid00001"),
            ("--cpus-per-task=4", "--cpu-bind=cores"),
        ),
        (
            make_launch(KNL1, ranks_per_node=256, threads_per_core=4),
            ("--nodes=1", "--ntasks=256", "--ntasks-per-node=256", "--nodelist=nid00001"),
            ("--overcommit", "--cpu-bind=none"),
        ),
        (
            # Two threads on each of 64 ranks' own cores: more than there are.
            make_launch(KNL1, ranks_per_node=64, threads_per_rank=2, affinity="depth"),
            ("--nodes=1", "--ntasks=64", "--ntasks-per-node=64", "--nodelist=nid00001"),
            ("--cpu-bind=none",),
        ),
        (
            # One rank per node starts the workers in serial mode: all cores are its own.
            make_launch(KNL1, KNL2, threads_per_rank=64),
            ("--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--nodelist=nid00001,nid00002"),
            ("--cpu-bind=none",),
        ),
        (
            make_launch(Node("n1", "n1"), Node("n2", "n2"), ranks_per_node=2, affinity="depth", threads_per_core=0),
            ("--nodes=2", "--ntasks=4", "--ntasks-per-node=2", "--nodelist=n1,n2"),
            ("--cpus-per-task=1", "--cpu-bind=cores"),
        ),
        (
            make_launch(Node("n1", "n1")),
            ("--nodes=1", "--ntasks=1", "--ntasks-per-node=1", "--nodelist=n1"),
            ("--overcommit", "--cpu-bind=none"),
        ),
    ],
)
def test_srun_places_and_binds_ranks(launch: Launch, sizes: tuple[str, ...], sharing: tuple[str, ...]) -> None:
    assert srun(launch) == ("srun", *sizes, "--overlap", "--mem=0", *sharing, *ENDS, "a.out", "-x")


def test_a_program_that_shares_its_node_keeps_to_its_own_cores_and_gpus() -> None:
    node = Node("n1", "n1", tuple(range(64)), gpus=("0", "1", "2", "3"))
    env = {"CUDA_VISIBLE_DEVICES": "2,3", "A": "1"}
    launch = Launch(("a.out",), (Placement(node, (8, 9, 10, 11, 36), ("2", "3")),), env, exclusive=False)
    command = Srun(SlurmSettings()).command(launch)
    assert command == Command(
        (
            *("srun", "--nodes=1", "--ntasks=1", "--ntasks-per-node=1", "--nodelist=n1", "--overlap", "--mem=0"),
            *("--cpu-bind=mask_cpu:0x1000000f00", *ENDS, "env", "CUDA_VISIBLE_DEVICES=2,3", "a.out"),
        ),
        env,
    )
    unknown = Launch(("a.out",), (Placement(Node("n1", "n1")),), exclusive=False)
    assert "--cpu-bind=none" in srun(unknown)


def test_values_of_the_environment_never_stand_in_a_list() -> None:
    env = {"A": "x y,B=2 'c' \"d\"", "EMPTY": "", "C": "a\nb"}
    command = Srun(SlurmSettings()).command(make_launch(KNL1, env=env))
    assert command.env == env
    assert not any("x y" in word for word in command.argv)


def test_what_the_site_says_of_its_slurm_and_the_flags_of_a_job_come_before_the_program() -> None:
    launch = make_launch(KNL1, affinity="depth", flags=("--label", "-K0"))
    assert srun(launch, overlap=False, bind=False, mpi_type="pmi2") == (
        *("srun", "--nodes=1", "--ntasks=1", "--ntasks-per-node=1", "--nodelist=nid00001", "--mem=0"),
        *("--cpus-per-task=4", *ENDS, "--mpi=pmi2", "--label", "-K0", "a.out", "-x"),
    )


# --- machines


@pytest.mark.parametrize(("machine", "constraint"), [(PERLMUTTER_CPU, "cpu"), (PERLMUTTER_GPU, "gpu")])
def test_a_machines_settings_are_those_of_the_plugin(machine: object, constraint: str) -> None:
    checked = validation.machine(machine)
    settings = SlurmSettings.model_validate(checked.plugin_settings["slurm"])
    assert (settings.queue_is, settings.constraint) == ("qos", constraint)
    assert (checked.scheduler, checked.mpi, checked.nodes, checked.database) == ("slurm", "srun", "slurm", "postgresql")
    assert Queue("debug", max_nodes=8, max_minutes=30, max_queued=5, max_running=2) in checked.queues


def test_the_names_of_all_nodes_of_the_largest_machines_fit_into_one_word() -> None:
    nodes = [Node(f"frontier{number:05}", f"frontier{number:05}") for number in range(1, 9409)]
    launch = Launch(("a.out",), tuple(map(Placement, nodes)))
    assert "--nodelist=frontier[00001-09408]" in Srun(SlurmSettings()).command(launch).argv
