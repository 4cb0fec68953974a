"""What the job modes take, place and start, without starting anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from balsam_core.errors import LaunchError
from balsam_core.launcher import modes
from balsam_core.launcher.messages import Bound
from balsam_core.launcher.modes import MpiMode, SerialMode, gpu_variables, need_of
from balsam_core.models.app import AppSpec
from balsam_core.models.job import Job
from balsam_core.models.nodes import Node, Placement
from balsam_core.plugins import Command, Launch, MpiLauncher
from balsam_core.state.claims import Limits
from balsam_core.state.machine import State
from tests.helpers import make_job

NODE = Node("n1", "n1", cpus=(0, 1, 2, 3), gpus=("0", "1"))
APP = AppSpec(name="true", executable="/bin/true")


class ToyRun(MpiLauncher):
    """Starts nothing; shows what it was given."""

    name = "toyrun"

    def __init__(self, max_concurrent: int | None = None) -> None:
        self.max_concurrent = max_concurrent

    def command(self, launch: Launch) -> Command:
        hosts = ",".join(placement.node.hostname for placement in launch.placements)
        return Command(("toyrun", "-n", str(launch.ranks), "-H", hosts, *launch.flags, *launch.argv), {"TOY": "1"})


def nodes(count: int) -> list[Node]:
    return [Node(f"n{number}", f"n{number}", cpus=(0, 1), gpus=("0", "1")) for number in range(count)]


def ready(count: int = 1, **fields: Any) -> list[Job]:
    return [make_job(State.PREPROCESSED, f"job{number}", **fields) for number in range(count)]


def taken(mode: SerialMode | MpiMode, jobs: Sequence[Job], seconds_left: float | None = None) -> list[str]:
    """The names of the jobs that the mode takes now."""
    names = {job.job_id: job.name for job in jobs}
    return [names[job_id] for job_id in mode.choose(jobs, seconds_left)]


def test_a_job_takes_a_whole_node_unless_it_packs() -> None:
    mode = SerialMode([NODE], "")
    assert taken(mode, ready(3)) == ["job0"]
    assert mode.page() == 0
    assert taken(SerialMode([NODE], ""), ready(6, node_packing_count=4)) == ["job0", "job1", "job2", "job3"]


def test_a_job_in_flight_is_not_taken_again_and_one_that_landed_makes_room() -> None:
    mode = SerialMode([NODE], "")
    first, second = ready(2)
    assert taken(mode, [first]) == ["job0"]
    assert taken(mode, [first]) == []
    assert mode.landed(first.job_id) is not None
    assert mode.landed(first.job_id) is None
    assert taken(mode, [second]) == ["job1"]


def test_an_idle_launcher_hoards_nothing() -> None:
    mode = SerialMode([NODE], "")
    taken(mode, ready(50, node_packing_count=4))
    assert len(mode.flights) == 4


def test_serial_mode_leaves_programs_of_several_ranks() -> None:
    refusal = SerialMode([NODE], "").why_not(make_job(ranks_per_node=2), None)
    assert refusal is not None
    assert refusal.text == "has 2 ranks; serial mode runs single processes, use --job-mode mpi"
    assert SerialMode([NODE], "").why_not(make_job(), None) is None


def test_a_claim_is_for_jobs_that_some_node_can_hold() -> None:
    large, unknown = replace(NODE, id="n2", gpus=("0", "1", "2"), memory_mb=8000), replace(NODE, id="n3")
    most = SerialMode([replace(NODE, memory_mb=4000), large], "flow").limits(90)
    assert most == Limits("flow", 1, serial=True, minutes_left=1.5, most_gpus=3, most_memory_mb=8000)
    assert MpiMode([large, unknown], "", mpi=ToyRun()).limits(None) == Limits(max_nodes=2, serial=False, most_gpus=3)


def test_a_job_whose_time_does_not_fit_is_left() -> None:
    assert taken(SerialMode([NODE], ""), ready(1, wall_time_minutes=2), 90) == []
    assert taken(SerialMode([NODE], ""), ready(1, wall_time_minutes=1), 90) == ["job0"]
    assert taken(SerialMode([NODE], ""), ready(1), 1) == ["job0"]


def test_a_serial_task_is_queued_with_its_need_and_its_own_timeout() -> None:
    mode = SerialMode([NODE], "")
    jobs = ready(1, node_packing_count=2, timeout_seconds=5.0, args="-v")
    taken(mode, jobs)
    flight = mode.flights[jobs[0].job_id]
    task = mode.task(flight, APP, "/work", "job0.out", {"A": "1"})
    assert (task.key, task.argv, task.cwd) == (f"{jobs[0].job_id}.1", ["/bin/true", "-v"], "/work")
    assert (task.bound, task.need.packing, task.timeout_seconds) == (None, 2, 5.0)


def test_mpi_mode_starts_a_program_at_once_where_it_was_placed() -> None:
    mode = MpiMode(nodes(3), "", mpi=ToyRun())
    jobs = ready(2, num_nodes=2, ranks_per_node=4, mpi_flags="-x y", args="in")
    assert taken(mode, jobs) == ["job0"]
    task = mode.task(mode.flights[jobs[0].job_id], APP, "/work", "job0.out", {"A": "1"})
    assert task.argv == ["toyrun", "-n", "8", "-H", "n0,n1", "-x", "y", "/bin/true", "in"]
    assert task.env == {"A": "1", "CUDA_VISIBLE_DEVICES": "0,1", "TOY": "1"}
    assert task.bound == Bound()


def test_mpi_mode_packs_single_ranks_only() -> None:
    assert need_of(make_job(node_packing_count=2), NODE).packing == 2
    assert need_of(make_job(node_packing_count=2, ranks_per_node=2), NODE).packing == 1
    mode = MpiMode(nodes(1), "", mpi=ToyRun())
    jobs = ready(3, node_packing_count=2)
    assert taken(mode, jobs) == ["job0", "job1"]
    bounds = [mode.task(flight, APP, "/w", "o", {}).bound for flight in mode.flights.values()]
    assert bounds == [Bound((0,)), Bound((1,))]


def test_the_mpi_command_of_a_node_that_is_not_this_host_is_not_bound_to_its_cores() -> None:
    mode = MpiMode([replace(node, is_remote=True) for node in nodes(1)], "", mpi=ToyRun())
    taken(mode, ready(1, node_packing_count=2))
    (flight,) = mode.flights.values()
    assert mode.task(flight, APP, "/w", "o", {}).bound == Bound()


def test_a_program_is_stopped_by_the_commands_of_its_mpi_launcher_or_by_signals() -> None:
    class ToyKill(ToyRun):
        def stop_command(self, pid: int, force: bool) -> Command | None:
            return Command(("toykill", "-9" if force else "-15", str(pid)))

    stops = MpiMode(nodes(1), "", mpi=ToyKill()).stop_commands(4711)
    assert stops == (Command(("toykill", "-15", "4711")), Command(("toykill", "-9", "4711")))
    assert MpiMode(nodes(1), "", mpi=ToyRun()).stop_commands(4711) is None
    assert SerialMode(nodes(1), "").stop_commands(4711) is None


def test_mpi_mode_runs_no_more_commands_than_its_launcher_can() -> None:
    mode = MpiMode(nodes(8), "", mpi=ToyRun(max_concurrent=3))
    assert mode.page() <= 3
    taken(mode, ready(3))
    assert mode.page() == 0


def test_a_program_that_has_waited_too_long_is_passed_by_none_of_a_later_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "_PATIENCE_SECONDS", 0.0)
    mode = MpiMode(nodes(2), "", mpi=ToyRun())
    assert taken(mode, ready(1)) == ["job0"]
    large, small = ready(1, num_nodes=2), ready(2)
    assert taken(mode, large) == []
    assert taken(mode, [*large, small[0]]) == []
    assert mode.choose(small, None, from_the_top=False) == []
    assert taken(mode, small) == ["job0"]


@pytest.mark.parametrize(
    ("has", "given", "variables"),
    [
        (("0", "1"), [("0", "1")], {"CUDA_VISIBLE_DEVICES": "0,1"}),
        (("0", "1"), [("1",), ("1",)], {"CUDA_VISIBLE_DEVICES": "1"}),
        (("0", "1"), [("0",), ("1",)], {}),
        (("0", "1"), [()], {"CUDA_VISIBLE_DEVICES": ""}),
        ((), [()], {}),
    ],
)
def test_a_program_sees_its_gpus_and_no_others(
    has: tuple[str, ...], given: list[tuple[str, ...]], variables: dict[str, str]
) -> None:
    placements = [Placement(Node("n", "n", gpus=has), gpus=gpus) for gpus in given]
    assert gpu_variables(placements) == variables


def test_an_mpi_launcher_that_breaks_its_contract_fails_the_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_mpi: ToyRun, launch: Launch) -> Command:
        raise KeyError("hosts")

    mode = MpiMode([NODE], "", mpi=ToyRun())
    monkeypatch.setattr(ToyRun, "command", fails)
    assert taken(mode, ready()) == ["job0"]
    (flight,) = mode.flights.values()
    with pytest.raises(LaunchError, match="command of the MPI launcher 'toyrun' failed, tell its author: KeyError"):
        mode.task(flight, APP, "/work", "job.out", {})
    monkeypatch.setattr(ToyRun, "command", lambda _mpi, launch: None)
    with pytest.raises(LaunchError, match="returned None"):
        mode.task(flight, APP, "/work", "job.out", {})
