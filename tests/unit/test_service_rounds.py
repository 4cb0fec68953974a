"""Rounds of the service with a scheduler that the test plays, and its lease."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from balsam_core.errors import ConfigError, LaunchError
from balsam_core.models.batch import LaunchState, Work
from balsam_core.plugins import CommandResult
from balsam_core.service.loop import serve
from balsam_core.service.plan import OVERHEAD_MINUTES, Ask
from balsam_core.service.rounds import Rounds, describe, paused_queues
from balsam_core.settings import QueueSettings, SchedulerSettings, ServiceSettings, Settings
from balsam_core.state.batch_store import SERVICE
from balsam_core.state.hosts import boot_id, process_clock
from balsam_core.state.leases import LauncherInfo
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from tests.batching import LEASE_SECONDS, Played, PlayedScheduler, live_pilot, make_batch_job, played_site
from tests.helpers import MACHINE, make_launcher, put, running, temporary_store

pytestmark = pytest.mark.usefixtures("each_database")

QUEUES = (QueueSettings(name="debug", max_nodes=8, max_minutes=60, max_queued=2),)
SETTINGS = Settings(
    scheduler=SchedulerSettings(name="played"), queues=QUEUES, service=ServiceSettings(max_failures=2, wf_filter="")
)


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    site = played_site(tmp_path, temporary_store(tmp_path), monkeypatch)
    site.settings = SETTINGS
    return site


def rounds(played: Played) -> Rounds:
    return Rounds(played.submission(), played.poller(), played.settings)


def a_round(played: Played, seconds_later: float = 60.0) -> int:
    played.clock += seconds_later
    both = rounds(played)
    return both.act(both.look(), lambda: True)


def test_work_that_may_start_is_counted_alike_jobs_together(played: Played) -> None:
    store = played.store
    for number in range(3):
        put(store, State.PREPROCESSED, f"a{number}", wall_time_minutes=20)
    first = put(store, State.RESTART_READY, "b")
    put(store, State.CREATED, "wide", num_nodes=2, ranks_per_node=4, coschedule_num_nodes=1, node_packing_count=1)
    put(store, State.READY, "packed", node_packing_count=16)
    put(store, State.CREATED, "waits", parents=[first])
    put(store, State.PREPROCESSED, "held", hold=True)
    put(store, State.JOB_FINISHED, "done")
    running(store, make_launcher(store), "runs")
    found = store.batches.backlog("", lambda parallel: "mpi" if parallel else "serial", 10)
    assert sorted(found, key=str) == sorted(
        [
            Work("serial", 1, 1, 20, 3),
            Work("serial", 1, 1, 10, 1),
            Work("mpi", 3, 1, 10, 1),
            Work("serial", 1, 16, 10, 1),
        ],
        key=str,
    )


def test_a_round_submits_what_the_work_needs_and_the_next_one_nothing_more(played: Played) -> None:
    for number in range(4):
        put(played.store, State.PREPROCESSED, f"j{number}", wall_time_minutes=20)
    assert a_round(played) == 1
    job = played.job()
    assert (job.queue, job.nodes, job.time_limit_minutes, job.job_mode) == ("debug", 4, 25, "serial")
    played.shell.answers["playstat"] = "7 QUEUED\n"
    assert (a_round(played), a_round(played)) == (0, 0)


def test_a_job_that_declares_no_minutes_at_all_takes_one(played: Played) -> None:
    put(played.store, State.PREPROCESSED, wall_time_minutes=0)
    assert rounds(played).look().asks == [Ask("debug", None, "serial", 1, 1 + OVERHEAD_MINUTES)]


def test_a_queue_rests_within_a_round_that_asks_it_for_many_batch_jobs(played: Played) -> None:
    small = QueueSettings(name="small", max_nodes=1, max_minutes=60)
    played.settings = SETTINGS.model_copy(update={"queues": (small,)})
    for number in range(5):
        put(played.store, State.PREPROCESSED, f"j{number}", wall_time_minutes=50)
    played.shell.answers["playsub"] = CommandResult(("playsub",), 1, stderr="too many batch jobs of yours")
    assert len(rounds(played).look().asks) == 5
    assert a_round(played) == 0
    assert len(played.store.batches.select(machine_id=MACHINE)) == SETTINGS.service.max_failures


def test_while_the_scheduler_is_silent_nothing_is_asked_for(played: Played) -> None:
    put(played.store, State.PREPROCESSED)
    played.submit(queue="debug", wf_filter=None)
    put(played.store, State.PREPROCESSED, "big", num_nodes=8, ranks_per_node=2)
    played.shell.answers["playstat"] = CommandResult(("playstat",), 2, stderr="cannot connect")
    assert a_round(played) == 0
    played.shell.answers["playstat"] = "7 QUEUED\n"
    played.shell.answers["playsub"] = "8\n"
    assert a_round(played) == 1


def test_a_queue_rests_after_failures_until_it_is_told_to_go_on(played: Played) -> None:
    put(played.store, State.PREPROCESSED)
    played.shell.answers["playsub"] = CommandResult(("playsub",), 1, stderr="no such project")
    assert [a_round(played) for _ in range(3)] == [0, 0, 0]
    records = played.store.batches.select(machine_id=MACHINE)
    assert [job.state for job in records] == [LaunchState.REJECTED] * 2
    said = describe(QUEUES, rounds(played).look())
    assert said[0] == (
        "queue debug rests: the last 2 batch jobs failed before a launcher began: no such project; "
        "`balsam service resume` goes on"
    )
    assert (rounds(played).resume(), rounds(played).resume()) == (["debug"], [])
    played.shell.answers["playsub"] = "8\n"
    assert a_round(played) == 1


def test_an_outlook_says_one_job_of_one_node_and_several_of_several(played: Played) -> None:
    put(played.store, State.PREPROCESSED, "one", wall_time_minutes=20)
    assert describe(QUEUES, rounds(played).look()) == [
        "waiting: 1 job of 1 node, 20 minutes each, for serial mode",
        "asks for 1 node for 25 minutes in debug, serial mode",
    ]
    for number in range(2):
        put(played.store, State.PREPROCESSED, f"wide{number}", wall_time_minutes=20, num_nodes=4)
    said = describe(QUEUES, rounds(played).look())
    assert "waiting: 2 jobs of 4 nodes, 20 minutes each, for mpi mode" in said


def test_walltime_preemption_and_cancelling_are_no_failures() -> None:
    def ended(**fields: object) -> object:
        return make_batch_job(LaunchState.ENDED, queue="debug", **fields)

    failed = [ended(batch_state="FAILED"), ended(batch_state="DONE", exit_code=1)]
    assert list(paused_queues(failed, 2, 0.0)) == ["debug"]  # type: ignore[arg-type]
    for last in (
        ended(batch_state="TIMEOUT"),
        ended(batch_state="PREEMPTED"),
        ended(batch_state="FAILED", pilot=live_pilot()),
        make_batch_job(LaunchState.CANCELLED, queue="debug"),
    ):
        assert paused_queues([*failed, last], 2, 0.0) == {}  # type: ignore[list-item]
    assert paused_queues(failed, 2, resumed_at=2.0) == {}  # type: ignore[arg-type]


def test_a_batch_job_of_another_workflow_takes_room_but_no_work(played: Played) -> None:
    put(played.store, State.PREPROCESSED, wall_time_minutes=20)
    put(played.store, State.PREPROCESSED, "other", workflow="other")
    played.submit(queue="debug", wf_filter="other", nodes=8, time_limit_minutes=60)
    played.settings = SETTINGS.model_copy(update={"service": ServiceSettings(wf_filter="test")})
    outlook = rounds(played).look()
    assert outlook.asks == [Ask("debug", None, "serial", 1, 25)]


def test_without_queues_in_the_settings_the_service_says_what_to_add(played: Played) -> None:
    played.settings = Settings(scheduler=SchedulerSettings(name="played"))
    with pytest.raises(ConfigError, match=r"add a \[\[queues\]\] section"):
        rounds(played).look()


def test_a_service_keeps_its_lease_while_a_slow_scheduler_takes_many_batch_jobs(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = QueueSettings(name="small", max_nodes=1, max_minutes=60)
    played.settings = SETTINGS.model_copy(update={"queues": (small,)})
    for number in range(4):
        put(played.store, State.PREPROCESSED, f"j{number}", wall_time_minutes=50)
    lives: list[bool] = []

    def is_slow(scheduler: PlayedScheduler, result: CommandResult) -> str:
        played.clock += LEASE_SECONDS / 2
        lives.append(Store(played.store.database).expired_launchers(MACHINE) == [])
        if len(lives) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return str(len(lives))

    monkeypatch.setattr(PlayedScheduler, "parse_submit", is_slow)
    serve(rounds(played), played.store, {"BALSAM_MACHINE_ID": MACHINE})
    assert lives == [True] * 4


def test_a_service_that_is_told_to_stop_submits_nothing_more(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    small = QueueSettings(name="small", max_nodes=1, max_minutes=60)
    played.settings = SETTINGS.model_copy(update={"queues": (small,)})
    for number in range(4):
        put(played.store, State.PREPROCESSED, f"j{number}", wall_time_minutes=50)

    def is_told_meanwhile(scheduler: PlayedScheduler, result: CommandResult) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return "7"

    monkeypatch.setattr(PlayedScheduler, "parse_submit", is_told_meanwhile)
    serve(rounds(played), played.store, {"BALSAM_MACHINE_ID": MACHINE})
    assert len(played.store.batches.select(machine_id=MACHINE)) == 1


def test_of_a_site_one_service_lives_and_a_dead_one_gives_way(played: Played) -> None:
    store: Store = played.store
    mine = LauncherInfo(
        uuid4(), MACHINE, boot_id(), "here", os.getpid(), process_clock(os.getpid()) or 0.0, SERVICE, "", 0, 90.0
    )
    store.batches.begin_service(mine)
    with pytest.raises(LaunchError, match=f"runs already, on here with pid {os.getpid()}"):
        store.batches.begin_service(replace(mine, launcher_id=uuid4()))
    played.clock += LEASE_SECONDS + 1
    other = replace(mine, launcher_id=uuid4(), host="there")
    # Another program, which has not watched the first one and goes by the database's clock.
    Store(store.database).batches.begin_service(other)
    assert not store.heartbeat(mine.launcher_id)
    assert store.heartbeat(other.launcher_id)
    row = store.batches.service()
    assert row is not None
    assert row.host == "there"
