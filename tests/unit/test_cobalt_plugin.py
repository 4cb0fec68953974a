"""The plugin cobalt: its nodes, the exact commands of aprun, its scripts, settings and machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

import balsam_cobalt
from balsam_cobalt.mpi import Aprun
from balsam_cobalt.nodes import NodeFileNodes, ThetaNodes
from balsam_cobalt.scheduler import Cobalt
from balsam_cobalt.settings import CobaltSettings
from balsam_core.batch.script import render_script
from balsam_core.errors import LaunchError
from balsam_core.plugins import Allocation, Command, CommandResult, Hardware, Launch, Node, Placement, Probe, Queue
from balsam_core.plugins.validation import checked, machine
from balsam_core.settings import TemplateSettings
from balsam_core.site import Site
from tests.helpers import make_request

DATA = Path(__file__).parents[1] / "data" / "cobalt"
HARDWARE = Hardware("cc001", tuple(range(12)), memory_mb=384_000, gpus=("0", "1"), numa=(tuple(range(12)),))
NOW = 1_795_406_500.0
# What Cobalt 1.0.33 with Theta's ALPS component set in a batch job of two nodes (recorded 2026-11-23).
ENVIRON = {
    "COBALT_ENDTIME": "1795407076",
    "COBALT_JOBID": "4",
    "COBALT_JOBSIZE": "2",
    "COBALT_PARTCORES": "64",
    "COBALT_PARTNAME": "1,3",
    "COBALT_PARTSIZE": "2",
    "COBALT_STARTTIME": "1795406476",
}


class PlayedHost(Probe):
    """A head node; qstat: what its command prints, None: it fails."""

    def __init__(
        self, environ: Mapping[str, str], qstat: str | None = None, files: Mapping[str, str] | None = None
    ) -> None:
        self.environ = dict(environ)
        self._qstat = qstat
        self._files = dict(files or {})
        self.asked: list[tuple[str, ...]] = []

    def read_text(self, path: str) -> str | None:
        return self._files.get(path)

    def run(self, command: Command) -> CommandResult:
        self.asked.append(command.argv)
        return CommandResult(command.argv, 1 if self._qstat is None else 0, self._qstat or "")

    def hardware(self) -> Hardware:
        return HARDWARE


def qstat(**changes: str) -> str:
    """The recorded answer of `qstat -fl 4`, with other values of some of its lines."""
    text = (DATA / "qstat_fl.txt").read_text().partition("\n")[2]
    for name, value in changes.items():
        begin = next(line for line in text.splitlines() if line.strip().startswith(name))
        text = text.replace(begin, f"{begin.partition(':')[0]}: {value}")
    return text


def theta(probe: PlayedHost) -> Allocation | None:
    return ThetaNodes(clock=lambda: NOW).discover(probe)


def knl(name: str) -> Node:
    return Node(name, name, tuple(range(64)), threads_per_core=4, memory_mb=192 * 1024, is_remote=True)


# ---- nodes ----


def test_theta_names_its_nodes_by_numbers_and_has_the_time_left_from_the_environment() -> None:
    probe = PlayedHost(ENVIRON, qstat())
    assert theta(probe) == Allocation((knl("nid00001"), knl("nid00003")), "4", 576.0)
    assert probe.asked == [("qstat", "-fl", "4")]


def test_ranges_of_nodes_are_counted_out() -> None:
    allocation = theta(PlayedHost({**ENVIRON, "COBALT_PARTNAME": "2,4-5,7,4000"}))
    assert allocation
    assert [node.id for node in allocation.nodes] == ["nid00002", "nid00004", "nid00005", "nid00007", "nid04000"]


def test_an_interactive_batch_job_has_no_end_in_its_environment_so_qstat_is_asked() -> None:
    interactive = {"COBALT_JOBID": "4", "COBALT_PARTNAME": "8", "COBALT_NODEFILE": "/var/tmp/cobalt.4"}
    left = [
        allocation and allocation.seconds_left
        for allocation in (
            theta(PlayedHost(interactive, qstat(TimeRemaining="1d 00:00:10"))),
            theta(PlayedHost(interactive)),
        )
    ]
    assert left == [86_410.0, None]


@pytest.mark.parametrize(
    ("attrs", "domains", "memory_mb"),
    [
        ("{'numa': 'quad', 'mcdram': 'cache'}", 0, 192 * 1024),
        ("{u'mcdram': u'flat', u'numa': u'snc4'}", 4, 208 * 1024),
        ("{'mcdram': 'equal', 'numa': 'snc2'}", 2, 200 * 1024),
        ("{'mcdram': '25', 'ssds': 'required'}", 0, 204 * 1024),
        ("None", 0, 192 * 1024),
    ],
)
def test_the_modes_of_the_memory_are_those_that_the_batch_job_asked_for(
    attrs: str, domains: int, memory_mb: int
) -> None:
    allocation = theta(PlayedHost(ENVIRON, qstat(attrs=attrs)))
    assert allocation
    (node, _) = allocation.nodes
    assert (len(node.numa), node.memory_mb) == (domains, memory_mb)
    assert [cpu for domain in node.numa for cpu in domain] == (list(range(64)) if domains else [])


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("COBALT_PARTNAME", "", "node numbers like 2,4-5,7"),
        ("COBALT_PARTNAME", "5-4", "node numbers like 2,4-5,7"),
        ("COBALT_PARTNAME", "1,,2", "node numbers like 2,4-5,7"),
        ("COBALT_PARTNAME", "cc001", "node numbers like 2,4-5,7"),
        ("COBALT_PARTNAME", "1-99999999999", "node numbers like 2,4-5,7"),
        ("COBALT_PARTCORES", "0", "a number of cores"),
        ("COBALT_PARTCORES", "many", "a number of cores"),
        ("COBALT_ENDTIME", "soon", "seconds since 1970"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named_with_the_way_out(variable: str, value: str, wanted: str) -> None:
    with pytest.raises(LaunchError) as caught:
        theta(PlayedHost({**ENVIRON, variable: value}))
    way_out = "correct it, or name the nodes by another --node-source"
    assert str(caught.value) == f"{variable} is {value!r}, not {wanted}; {way_out}"


def test_a_batch_job_that_is_over_its_time_has_none_left() -> None:
    allocation = theta(PlayedHost({**ENVIRON, "COBALT_ENDTIME": "1795406476"}))
    assert allocation
    assert allocation.seconds_left == 0


def test_neither_source_takes_another_machine_for_its_own() -> None:
    cooley = PlayedHost({**ENVIRON, "COBALT_NODEFILE": "/nodes"}, files={"/nodes": "cc001\n"})
    assert theta(PlayedHost({})) is None
    assert theta(cooley) is None
    assert NodeFileNodes().discover(PlayedHost({})) is None
    assert NodeFileNodes().discover(PlayedHost({**ENVIRON, "COBALT_NODEFILE": "/var/tmp/cobalt.4"})) is None


def test_every_host_of_the_node_file_is_like_the_one_that_runs_the_launcher() -> None:
    environ = {"COBALT_JOBID": "4", "COBALT_NODEFILE": "/nodes", "COBALT_ENDTIME": "1795407076"}
    probe = PlayedHost(environ, files={"/nodes": "cc001\ncc001\n\ncc002\n"})
    nodes = [
        Node(name, name, HARDWARE.cpus, gpus=("0", "1"), memory_mb=384_000, numa=HARDWARE.numa)
        for name in ("cc001", "cc002")
    ]
    assert NodeFileNodes(clock=lambda: NOW).discover(probe) == Allocation(tuple(nodes), "4", 576.0)
    assert probe.asked == []


def test_without_an_end_in_the_environment_the_node_file_s_batch_job_is_asked_for() -> None:
    probe = PlayedHost(
        {"COBALT_JOBID": "4", "COBALT_NODEFILE": "/nodes"},
        qstat(TimeRemaining="120:00:00"),
        {"/nodes": "cc001\n"},
    )
    allocation = NodeFileNodes().discover(probe)
    assert allocation
    assert allocation.seconds_left == 432_000


@pytest.mark.parametrize(("files", "why"), [({}, "which cannot be read"), ({"/nodes": "\n"}, "which names no node")])
def test_a_node_file_without_nodes_is_named(files: dict[str, str], why: str) -> None:
    with pytest.raises(LaunchError) as caught:
        NodeFileNodes().discover(PlayedHost({"COBALT_NODEFILE": "/nodes"}, files=files))
    assert str(caught.value) == f"COBALT_NODEFILE is '/nodes', {why}; start the launcher on the first node"


# ---- aprun ----

ONE, TWO = knl("nid00012"), knl("nid00013")


def launch(*nodes: Node, **fields: object) -> Launch:
    given = Launch(("a.out", "-x"), tuple(Placement(node) for node in nodes))
    return replace(given, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("launch", "words"),
    [
        (launch(ONE, ranks_per_node=64), "-n 64 -N 64 -d 1 -j 1 -cc none -L 12 a.out -x"),
        (
            launch(ONE, TWO, ranks_per_node=32, threads_per_rank=2, affinity="depth"),
            "-n 64 -N 32 -d 2 -j 1 -cc depth -L 12,13 a.out -x",
        ),
        (
            launch(ONE, ranks_per_node=64, threads_per_rank=4, threads_per_core=4, affinity="depth"),
            "-n 64 -N 64 -d 4 -j 4 -cc depth -L 12 a.out -x",
        ),
        # Serial mode: a rank of its own on every node, which binds what it starts.
        (launch(ONE, TWO, threads_per_rank=64), "-n 2 -N 1 -d 64 -j 1 -cc none -L 12,13 a.out -x"),
        (launch(ONE, flags=("-S", "4")), "-n 1 -N 1 -d 1 -j 1 -cc none -L 12 -S 4 a.out -x"),
    ],
)
def test_aprun_for_the_shapes_of_a_knl_node(launch: Launch, words: str) -> None:
    assert Aprun().command(launch) == Command(("aprun", *words.split()))


@pytest.mark.parametrize(
    ("cpus", "ranks", "binding"),
    [
        ((16, 17, 18, 19, 40), 1, "16-19,40"),
        ((16, 17, 18, 19), 2, "16-17:18-19"),
        ((), 1, "depth"),
        ((3,), 2, "depth"),
    ],
)
def test_a_program_that_shares_its_node_is_bound_to_its_own_cores(
    cpus: tuple[int, ...], ranks: int, binding: str
) -> None:
    packed = launch(placements=(Placement(ONE, cpus, ("0",)),), ranks_per_node=ranks, affinity="depth", exclusive=False)
    argv = Aprun().command(packed).argv
    assert argv[argv.index("-cc") + 1] == binding


def test_every_variable_is_one_word_however_awkward_its_value() -> None:
    env = {"C": "a,b:c", "A": 'it\'s = "quoted"', "B": "two words", "CUDA_VISIBLE_DEVICES": "0,1"}
    command = Aprun().command(launch(ONE, env=env))
    words = ("-e", 'A=it\'s = "quoted"', "-e", "B=two words", "-e", "C=a,b:c", "-e", "CUDA_VISIBLE_DEVICES=0,1")
    assert command == Command(
        ("aprun", *"-n 1 -N 1 -d 1 -j 1 -cc none -L 12".split(), *words, "a.out", "-x"),  # noqa: SIM905 - reads as typed
        env,
    )


def test_a_node_without_a_number_is_refused_with_the_way_out() -> None:
    with pytest.raises(LaunchError, match=r"^aprun has no number for the node 'cc001'; use --node-source theta, or"):
        Aprun().command(launch(replace(ONE, hostname="cc001")))


def test_aprun_is_not_asked_for_more_than_it_bears() -> None:
    assert (Aprun().max_concurrent, Aprun().min_interval_seconds) == (1000, 0.1)


# ---- scripts and settings ----

SHAPES = CobaltSettings(attrs={"mcdram": "flat", "numa": "quad"}, filesystems=("home", "theta-fs0"))
THETA = {"nodes": 4, "time_limit_minutes": 60, "job_mode": "serial", "wf_filter": "TEST"}


@pytest.mark.parametrize(
    ("golden", "settings", "fields"),
    [
        ("theta", CobaltSettings(), {**THETA, "queue": "debug-cache-quad", "project": "datascience"}),
        ("defaults", CobaltSettings(), {}),
        ("gpus", CobaltSettings(), {"queue": "full-node", "gpus_per_node": 8, "mpi": "openmpi"}),
        ("attrs", SHAPES, {"node_source": "theta"}),
        ("own_attrs", SHAPES, {"sched_flags": ("--attrs", "mcdram=cache")}),
    ],
)
def test_a_script_is_the_golden_one(golden: str, settings: CobaltSettings, fields: dict[str, object]) -> None:
    script = render_script(
        Cobalt(settings),
        make_request(**fields),
        Site(Path("/home/ada/site")),
        TemplateSettings(),
        environ={},
        python="/opt/balsam/bin/python",
    )
    assert script == (DATA / "golden" / f"{golden}.sh").read_text()


def test_attrs_are_words_and_numbers() -> None:
    settings = CobaltSettings.model_validate({"attrs": {"ssds": "required", "ssd_size": 128, "pubnet": True}})
    assert settings.attrs_word == "ssds=required:ssd_size=128:pubnet=true"


@pytest.mark.parametrize(
    "given",
    [
        {"attrs": {"mcdram": "a b"}},
        {"attrs": {"mcdram": "a:b"}},
        {"attrs": {"mcdram": "a=b"}},
        {"attrs": {"mcdram": ""}},
        {"attrs": {"mcdram": "a\n#COBALT -q other"}},
        {"attrs": {"a b": "c"}},
        {"filesystems": ["home,theta-fs0"]},
        {"attrs": {"filesystems": "home"}, "filesystems": ["home"]},
        {"attr": {}},
    ],
)
def test_attrs_that_would_break_out_of_their_word_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CobaltSettings.model_validate(given)


# ---- machines ----


def test_the_machines_keep_their_contract_and_name_what_is_there() -> None:
    machines = {one.name: one for one in checked("balsam_machines", balsam_cobalt.balsam_machines(), machine)}
    sources = {source.name for source in balsam_cobalt.balsam_node_sources()}
    mpi = {one.name for one in balsam_cobalt.balsam_mpi_launchers()} | {"mpiexec", "openmpi"}
    assert sorted(machines) == ["cooley", "theta", "thetagpu"]
    assert {one.scheduler for one in machines.values()} == {"cobalt"}
    assert {one.nodes for one in machines.values()} == sources
    assert {one.mpi for one in machines.values()} <= mpi
    for one in machines.values():
        CobaltSettings.model_validate(one.plugin_settings["cobalt"])


def test_theta_lets_larger_batch_jobs_run_longer() -> None:
    (theta,) = (one for one in balsam_cobalt.balsam_machines() if one.name == "theta")
    steps = [(queue.min_nodes, queue.max_nodes, queue.max_minutes) for queue in theta.queues if queue.name == "default"]
    assert steps == [(128, 255, 180), (256, 383, 360), (384, 639, 540), (640, 801, 720), (802, 4392, 1440)]
    assert Queue("debug-cache-quad", max_nodes=8, max_minutes=60, max_queued=1) in theta.queues
