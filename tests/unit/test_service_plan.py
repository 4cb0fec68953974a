"""What the service asks for: enough for the work, never over a limit, never twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balsam_core.models.batch import Work
from balsam_core.plugins import IdleNodes
from balsam_core.service.plan import OVERHEAD_MINUTES, Ask, Supply, plan, uncovered
from balsam_core.settings import QueueSettings

DEBUG = QueueSettings(name="debug", max_nodes=8, max_minutes=60, max_queued=1)
SMALL = QueueSettings(name="default", min_nodes=128, max_nodes=255, max_minutes=180, max_total_nodes=400)
LARGE = QueueSettings(name="default", min_nodes=256, max_nodes=4392, max_minutes=360, max_total_nodes=400)
QUEUES = (DEBUG, SMALL, LARGE)


def serial(count: int, minutes: int = 10, packing: int = 1) -> Work:
    return Work("serial", 1, packing, minutes, count)


def mpi(nodes: int, count: int = 1, minutes: int = 30) -> Work:
    return Work("mpi", nodes, 1, minutes, count)


def ask(queue: str, nodes: int, minutes: int, job_mode: str = "serial") -> Ask:
    return Ask(queue, None, job_mode, nodes, minutes)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        ([], []),
        ([serial(4)], [ask("debug", 4, 10 + OVERHEAD_MINUTES)]),
        ([serial(64, packing=64)], [ask("debug", 1, 15)]),
        ([serial(16)], [ask("debug", 8, 25)]),
        ([mpi(2)], [ask("debug", 2, 35, "mpi")]),
        ([mpi(200)], [ask("default", 200, 35, "mpi")]),
        ([mpi(300)], [ask("default", 300, 35, "mpi")]),
        ([mpi(5000)], []),
        ([serial(1, minutes=300)], [ask("default", 256, 305)]),
        ([serial(1, minutes=400)], []),
        # The job that fits no queue keeps nothing else from being asked for.
        ([mpi(5000), serial(4)], [ask("debug", 4, 15)]),
        # The one batch job of the debug queue is taken; the other queue has a smallest size.
        ([serial(4), mpi(2)], [ask("debug", 2, 35, "mpi"), ask("default", 128, 15)]),
    ],
)
def test_enough_is_asked_for_with_the_least_waste(work: list[Work], expected: list[Ask]) -> None:
    assert plan(work, QUEUES, []) == expected


def test_nothing_is_asked_for_that_a_queued_batch_job_will_take() -> None:
    queued = Supply("debug", "serial", 8, 60)
    assert plan([serial(8 * 5)], QUEUES, [queued]) == []
    assert plan([serial(2, minutes=58)], QUEUES, [queued]) != []
    assert uncovered([serial(50)], [queued]) == [serial(50 - 44)]
    assert uncovered([mpi(2)], [queued]) == [mpi(2)]


@pytest.mark.parametrize(
    ("idle", "expected"),
    [
        # As many as are idle, for as long as they are; the rest waits for its turn.
        ([IdleNodes("open", 3)], [ask("open", 3, 59)]),
        ([IdleNodes("open", 2)], [ask("open", 2, 60), ask("open", 5, 15)]),
        ([IdleNodes("open", 16, 3600.0)], [ask("open", 16, 15)]),
        # Too short for one job and a launcher's beginning and end.
        ([IdleNodes("open", 16, 14 * 60.0)], [ask("open", 16, 15)]),
        # The nodes that stay idle for longer are there for as long as the others, too.
        ([IdleNodes("open", 4, 26 * 60.0), IdleNodes("open", 4)], [ask("open", 4, 45)]),
        ([IdleNodes("another", 3)], [ask("open", 16, 15)]),
    ],
)
def test_idle_nodes_are_asked_for_in_their_own_measure(idle: list[IdleNodes], expected: list[Ask]) -> None:
    asks = plan([serial(16)], [QueueSettings(name="open", max_nodes=16, max_minutes=60)], [], idle)
    assert asks == expected


def test_the_only_place_of_a_queue_is_not_given_for_a_part_of_the_work() -> None:
    assert plan([serial(16)], [DEBUG], [], [IdleNodes("debug", 3)]) == plan([serial(16)], [DEBUG], [])


@pytest.mark.parametrize("is_running", [True, False])
def test_idle_nodes_are_of_no_use_to_a_queue_that_lets_no_more_run(is_running: bool) -> None:
    other = Supply("open", "mpi", 1, 60, is_running=is_running)
    idle = [IdleNodes("open", 4)]
    queue = QueueSettings(name="open", max_nodes=16, max_minutes=60)
    assert plan([serial(16)], [queue], [other], idle)[0].nodes < 16
    assert plan([serial(16)], [queue.model_copy(update={"max_running": 1})], [other], idle) == [ask("open", 16, 15)]


def test_idle_nodes_that_a_queued_batch_job_will_take_are_not_counted_again() -> None:
    queued = Supply("open", "mpi", 3, 60)
    queue = QueueSettings(name="open", max_nodes=16, max_minutes=60)
    assert plan([serial(16)], [queue], [queued], [IdleNodes("open", 3)]) == [ask("open", 16, 15)]


def test_a_batch_job_that_has_just_begun_still_takes_the_work_that_it_was_asked_for() -> None:
    (asked,) = plan([serial(4)], QUEUES, [])
    assert uncovered([serial(4)], [Supply("debug", "serial", asked.nodes, asked.minutes - 2.5, is_running=True)]) == []
    assert uncovered([serial(4)], [Supply("debug", "serial", asked.nodes, asked.minutes - 4.5, is_running=True)]) != []


def test_small_jobs_leave_the_large_batch_job_to_large_jobs() -> None:
    there = [Supply(None, "mpi", 4, 35), Supply(None, "mpi", 1, 35)]
    assert uncovered([mpi(1), mpi(4)], there) == []


_QUEUES = st.lists(
    st.builds(
        lambda name, low, more, minutes, queued, running, total: QueueSettings(
            name=name,
            min_nodes=low,
            max_nodes=None if more is None else low + more,
            max_minutes=minutes,
            max_queued=queued,
            max_running=running,
            max_total_nodes=total,
        ),
        st.sampled_from(["a", "b"]),
        st.integers(1, 8),
        st.none() | st.integers(0, 50),
        st.none() | st.integers(1, 400),
        st.none() | st.integers(1, 3),
        st.none() | st.integers(1, 2),
        st.none() | st.integers(1, 60),
    ),
    max_size=4,
)
_MODES = st.sampled_from(["serial", "mpi"])
_WORK = st.lists(
    st.builds(Work, _MODES, st.integers(1, 60), st.integers(1, 4), st.integers(1, 500), st.integers(1, 300)), max_size=5
)
_SUPPLY = st.lists(
    st.builds(Supply, st.sampled_from(["a", "b", None]), _MODES, st.integers(1, 60), st.integers(0, 300)), max_size=4
)


_IDLE = st.lists(
    st.builds(IdleNodes, st.sampled_from(["a", "b"]), st.integers(1, 60), st.none() | st.floats(0, 20_000)), max_size=4
)


@given(_WORK, _QUEUES, _SUPPLY, _IDLE)
def test_limits_hold_and_a_second_plan_asks_for_nothing_more(
    work: list[Work], queues: list[QueueSettings], supply: list[Supply], idle: list[IdleNodes]
) -> None:
    asks = plan(work, queues, supply, idle)
    assert len(asks) < 10_000
    there = list(supply)
    for one in asks:
        rows = [row for row in queues if row.name == one.queue]
        mine = [other for other in there if other.queue == one.queue]
        assert any(_allows(row, one) for row in rows)
        for row in rows:
            assert row.max_queued is None or len(mine) < row.max_queued
            total = one.nodes + sum(other.nodes for other in mine)
            assert row.max_total_nodes is None or total <= row.max_total_nodes
        there.append(Supply(one.queue, one.job_mode, one.nodes, one.minutes))
    assert plan(work, queues, there) == plan(work, queues, there, idle) == []


def _allows(row: Any, one: Ask) -> bool:
    enough = row.min_nodes <= one.nodes and (row.max_nodes is None or one.nodes <= row.max_nodes)
    return enough and (row.max_minutes is None or one.minutes <= row.max_minutes)
