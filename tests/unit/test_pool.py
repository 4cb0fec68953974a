"""How jobs of one node spread over many, and where they wait when all are full."""

from __future__ import annotations

import time

import pytest

from balsam_core.launcher.master import ranks_of
from balsam_core.launcher.messages import Need
from balsam_core.launcher.modes import SerialMode
from balsam_core.launcher.placement import FreeNode, Why
from balsam_core.launcher.pool import Pool
from balsam_core.models.job import Job
from balsam_core.models.nodes import Node
from balsam_core.state.machine import State
from tests.helpers import make_job

HALF = Need(packing=2)


def nodes(count: int, memory_mb: int | None = None) -> list[Node]:
    return [Node(f"n{number}", f"n{number}.cluster", cpus=(0, 1), memory_mb=memory_mb) for number in range(count)]


def pool(count: int) -> Pool[str]:
    return Pool([FreeNode(node) for node in nodes(count)])


def ready(count: int) -> list[Job]:
    return [make_job(State.PREPROCESSED, f"job{number}") for number in range(count)]


def mode_with_waiting(monkeypatch: pytest.MonkeyPatch, count: int) -> tuple[SerialMode, list[Job]]:
    """Two full nodes that had ten jobs a second lately, and `count` jobs that wait there."""
    mode = SerialMode(nodes(2), "")
    now = time.monotonic()
    jobs = ready(22 + count)
    for job in jobs[:20]:
        mode.choose([job], None)
        mode.landed(job.job_id)
    monkeypatch.setattr(time, "monotonic", lambda: now + 0.5)
    mode.choose(jobs[20:], None)
    return mode, jobs[20:]


def test_jobs_go_to_one_node_after_the_other() -> None:
    three = pool(3)
    placed = three.place({f"j{number}": HALF for number in range(7)}, None)
    assert [parts[0].node.id for parts in placed.placements.values()] == ["n0", "n1", "n2", "n0", "n1", "n2"]
    assert placed.refused["j6"].why is Why.NOT_NOW
    three.release(placed.placements["j4"][0], HALF)
    assert [parts[0].node.id for parts in three.place({"j6": HALF}, None).placements.values()] == ["n1"]


def test_a_job_that_no_node_can_ever_hold_is_refused_for_good() -> None:
    assert pool(2).place({"j": Need(gpus=1)}, None).refused["j"].why is Why.NEVER
    assert pool(2).place({"j": Need(wall_seconds=120)}, 60).refused["j"].why is Why.NO_TIME
    assert pool(2).wait("j", Need(gpus=1)) is None


def test_jobs_wait_where_the_fewest_wait() -> None:
    three = pool(3)
    assert [three.wait(f"j{number}", HALF) for number in range(4)] == [0, 1, 2, 0]
    three.leave("j1", 1)
    assert [three.wait(f"k{number}", HALF) for number in range(3)] == [1, 2, 1]


def test_a_node_where_somebody_waits_too_long_gets_nothing_new() -> None:
    two = pool(2)
    two.close(frozenset({0}))
    placed = two.place({f"j{number}": HALF for number in range(3)}, None)
    assert [parts[0].node.id for parts in placed.placements.values()] == ["n1", "n1"]
    assert two.wait("j2", HALF) == 1


def test_jobs_that_wait_on_a_full_node_are_named_once_when_another_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    mode, jobs = mode_with_waiting(monkeypatch, 4)
    assert sorted(flight.node for flight in mode.queued.values()) == [0, 0, 1, 1]
    assert mode.misplaced() == []
    on_second = next(job for job in jobs if mode.flights[job.job_id].node == 1)
    mode.landed(on_second.job_id)
    moving = mode.misplaced()
    assert [mode.by_key[key].node for key in moving] == [0]
    assert mode.misplaced() == []


def test_a_job_that_waited_takes_its_room_when_it_starts_and_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    mode, jobs = mode_with_waiting(monkeypatch, 2)
    waiting = mode.flights[jobs[2].job_id]
    mode.landed(next(job.job_id for job in jobs if mode.flights[job.job_id].node == waiting.node))
    mode.started(waiting)
    assert [part.node.id for part in waiting.placements or ()] == [f"n{waiting.node}"]
    for job in jobs:
        mode.landed(job.job_id)
    assert (mode.flights, mode.queued) == ({}, {})
    assert len(mode.choose(ready(3), None)) >= 2


def test_ranks_are_found_by_the_names_of_their_nodes_and_else_count_as_the_nodes_do() -> None:
    three = nodes(3)
    assert ranks_of(three, {0: ("n2",), 1: ("n0.other",), 2: ("n1",)}) == [1, 2, 0]
    assert ranks_of(three, {0: ("one-host",), 1: ("one-host",), 2: ("one-host",)}) == [0, 1, 2]
    assert ranks_of(three, {0: ("n0",), 1: ("n0",), 2: ("n1",)}) == [0, 1, 2]
