"""The plugin pbs: the nodes of a batch job, the exact commands of the MPI launcher pals, and the machine polaris."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from balsam_core.plugins import (
    Allocation,
    Command,
    CommandResult,
    Hardware,
    Launch,
    LaunchError,
    Node,
    Placement,
    Probe,
)
from balsam_core.plugins.validation import checked, machine, mpi_launcher, node_source, scheduler
from balsam_pbs import (
    balsam_machines,
    balsam_mpi_launchers,
    balsam_node_sources,
    balsam_schedulers,
    balsam_settings,
)
from balsam_pbs.mpi import Pals
from balsam_pbs.nodes import PbsNodes
from balsam_pbs.settings import PbsSettings

RUNNING = (Path(__file__).parents[1] / "data" / "pbs" / "running.txt").read_text().partition("\n")[2]
INSIDE = {"PBS_JOBID": "0.vm", "PBS_NODEFILE": "/aux/0.vm", "PATH": "/bin", "PBS_O_PATH": "/opt/pbs/bin:/bin"}
HARDWARE = Hardware("node1", (0, 1, 2, 3), threads_per_core=2, memory_mb=8000, gpus=("0",), numa=((0, 1), (2, 3)))


class PlayedJob(Probe):
    """A process in a batch job whose node file has the text `nodes`."""

    def __init__(
        self,
        nodes: str | None,
        environ: Mapping[str, str] = INSIDE,
        answer: str = "",
        gpus: tuple[str, ...] = HARDWARE.gpus,
    ) -> None:
        self.environ = environ
        self._nodes = nodes
        self._answer = answer
        self._gpus = gpus
        self.asked: list[Command] = []

    def read_text(self, path: str) -> str | None:
        return self._nodes if path == "/aux/0.vm" else None

    def run(self, command: Command) -> CommandResult:
        self.asked.append(command)
        return CommandResult(command.argv, 0 if self._answer else 127, self._answer)

    def hardware(self) -> Hardware:
        return Hardware(**{**vars(HARDWARE), "gpus": self._gpus})


# ---- nodes ----


def test_each_host_of_the_node_file_is_one_node_like_the_head_node() -> None:
    probe = PlayedJob("node2\nnode2\nnode1\nnode2\n", answer=RUNNING)
    nodes = tuple(Node(name, name, (0, 1, 2, 3), 2, ("0",), 8000, ((0, 1), (2, 3))) for name in ("node2", "node1"))
    assert PbsNodes().discover(probe) == Allocation(nodes, job_id="0.vm", seconds_left=120.0)
    assert probe.asked == [Command(("qstat", "-f", "-F", "json", "0.vm"), {"PATH": "/bin:/opt/pbs/bin:/bin"})]


def test_outside_a_batch_job_it_is_not_this_machine() -> None:
    assert PbsNodes().discover(PlayedJob(None, {})) is None


@pytest.mark.parametrize("answer", ["", "nonsense", '{"pbs_server": "vm"}', RUNNING.replace('"walltime"', '"other"')])
def test_a_server_that_does_not_say_leaves_the_time_unknown(answer: str) -> None:
    allocation = PbsNodes().discover(PlayedJob("node1\n", answer=answer))
    assert allocation is not None
    assert allocation.seconds_left is None


@pytest.mark.parametrize(
    ("environ", "nodes", "said"),
    [
        ({"PBS_JOBID": "0.vm"}, None, "PBS_JOBID is '0.vm' and PBS_NODEFILE is not set; start the launcher in the"),
        (
            INSIDE,
            None,
            "PBS_NODEFILE is '/aux/0.vm', which cannot be read; start the launcher on the batch job's first",
        ),
        (INSIDE, " \n", "PBS_NODEFILE is '/aux/0.vm', which names no node; start"),
    ],
)
def test_nodes_that_cannot_be_told_name_the_variable_and_the_way_out(
    environ: dict[str, str], nodes: str | None, said: str
) -> None:
    with pytest.raises(LaunchError) as caught:
        PbsNodes().discover(PlayedJob(nodes, environ))
    assert str(caught.value).startswith(said)


def test_gpu_ids_that_only_one_node_has_are_not_taken_for_those_of_others() -> None:
    for nodes, gpus in (("a\n", ("GPU-1", "GPU-2")), ("a\nb\n", ("0", "1"))):
        allocation = PbsNodes().discover(PlayedJob(nodes, gpus=("GPU-1", "GPU-2")))
        assert allocation is not None
        assert {node.gpus for node in allocation.nodes} == {gpus}


# ---- pals ----

KNL, KNL2 = (Node(name, name, tuple(range(64)), threads_per_core=4) for name in ("x1", "x2"))


def pals(*nodes: Node, cpus: tuple[int, ...] | None = None, **fields: object) -> str:
    """The words of the command line, of a program `a.out -x` on whole nodes or on some cores of them."""
    placements = tuple(Placement(node, node.cpus if cpus is None else cpus) for node in nodes)
    launch = Launch(**{"argv": ("a.out", "-x"), "placements": placements, **fields})  # type: ignore[arg-type]
    return " ".join(Pals(PbsSettings()).command(launch).argv)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            pals(KNL, ranks_per_node=64),
            "mpiexec -n 64 --ppn 64 --hosts x1 --no-transfer --envall --cpu-bind none a.out -x",
        ),
        (
            pals(KNL, KNL2, ranks_per_node=32, threads_per_rank=2, affinity="depth"),
            "mpiexec -n 64 --ppn 32 --hosts x1,x2 --no-transfer --envall -d 2 --cpu-bind depth a.out -x",
        ),
        (
            pals(KNL, ranks_per_node=64, threads_per_rank=4, threads_per_core=4, affinity="depth"),
            "mpiexec -n 64 --ppn 64 --hosts x1 --no-transfer --envall -d 4 --cpu-bind depth a.out -x",
        ),
        (
            pals(KNL, ranks_per_node=64, threads_per_rank=4, affinity="depth"),
            "mpiexec -n 64 --ppn 64 --hosts x1 --no-transfer --envall --cpu-bind none a.out -x",
        ),
        (
            pals(KNL, cpus=(8, 9, 10, 11), threads_per_rank=2, affinity="depth", exclusive=False),
            "mpiexec -n 1 --ppn 1 --hosts x1 --no-transfer --envall --cpu-bind list:8,9 a.out -x",
        ),
        (
            pals(KNL, cpus=(8, 9, 10, 11), exclusive=False),
            "mpiexec -n 1 --ppn 1 --hosts x1 --no-transfer --envall --cpu-bind list:8,9,10,11 a.out -x",
        ),
        (
            pals(KNL, cpus=(4, 5, 6, 7), ranks_per_node=2, threads_per_rank=2, affinity="depth"),
            "mpiexec -n 2 --ppn 2 --hosts x1 --no-transfer --envall --cpu-bind list:4,5:6,7 a.out -x",
        ),
        (
            pals(KNL, cpus=(), ranks_per_node=2, affinity="depth"),
            "mpiexec -n 2 --ppn 2 --hosts x1 --no-transfer --envall --cpu-bind none a.out -x",
        ),
        (
            pals(KNL, KNL2, threads_per_rank=64, flags=("--pmi=pmix",)),
            "mpiexec -n 2 --ppn 1 --hosts x1,x2 --no-transfer --envall --cpu-bind none --pmi=pmix a.out -x",
        ),
    ],
)
def test_pals_is_told_ranks_hosts_and_binding(words: str, expected: str) -> None:
    assert words == expected


def test_variables_reach_the_ranks_as_they_are() -> None:
    env = {"A": "two words", "B": "a,b=c", "C": 'it\'s "quoted"', "CUDA_VISIBLE_DEVICES": "0,3"}
    launch = Launch(("a.out",), (Placement(KNL, (0,), ("0", "3")),), env)
    command = Pals(PbsSettings(pals="/opt/cray/pe/pals/1.2/bin/mpiexec")).command(launch)
    assert command.env == env
    assert command.argv[0] == "/opt/cray/pe/pals/1.2/bin/mpiexec"


def test_pals_plays_no_virtual_nodes() -> None:
    with pytest.raises(LaunchError, match="'pals' cannot play virtual nodes; use --mpi mpiexec"):
        pals(Node("n1", "n1", is_virtual=True))


# ---- what is offered ----


def test_what_the_hooks_return_keeps_the_contracts_and_its_names_fit_together() -> None:
    settings = balsam_settings()()
    schedulers = {offer.name for offer in checked("balsam_schedulers", balsam_schedulers(settings), scheduler)}
    launchers = {offer.name for offer in checked("balsam_mpi_launchers", balsam_mpi_launchers(settings), mpi_launcher)}
    sources = {offer.name for offer in checked("balsam_node_sources", balsam_node_sources(), node_source)}
    (polaris,) = checked("balsam_machines", balsam_machines(), machine)
    assert ({polaris.scheduler}, {polaris.mpi}, {polaris.nodes}) == (schedulers, launchers, sources)
    assert PbsSettings.model_validate(polaris.plugin_settings["pbs"]).filesystems == "home:eagle"
