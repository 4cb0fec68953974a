"""Leases: heartbeats, claims, starts, results, launchers that vanish, reports that come late or twice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from balsam_core.models.job import Job
from balsam_core.state.claims import Limits
from balsam_core.state.machine import State
from balsam_core.state.outcomes import End, RetryPolicy
from balsam_core.state.store import Store
from tests.helpers import (
    MACHINE,
    NO_RERUNS,
    claim,
    events_of,
    expired_after,
    finish,
    first,
    make_launcher,
    make_spec,
    move,
    only,
    put,
    result_of,
    running,
    start,
    start_of,
    state_of,
    states_passed,
    temporary_store,
)

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return temporary_store(tmp_path)


def take_back_all(store: Store, started: Sequence[tuple[UUID, int]] = ()) -> int:
    """Take back what expired launchers held."""
    return sum(store.take_back(dead, started) for dead in store.expired_launchers(MACHINE))


# --- expiry


def test_a_launcher_that_lives_and_beats_is_not_expired(store: Store) -> None:
    launcher = make_launcher(store)
    assert store.heartbeat(launcher)
    assert store.expired_launchers(MACHINE) == []


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"pid": 2**22 + 1, "process_clock": 1.0}, "its process is gone"),
        ({"process_clock": 1.0}, "its process is gone"),
        ({"boot_id": "an earlier one"}, "the machine was booted anew"),
    ],
)
def test_a_process_of_this_machine_that_is_gone_expires_at_once(store: Store, fields: dict[str, Any], why: str) -> None:
    launcher = make_launcher(store, **fields)
    (dead,) = store.expired_launchers(MACHINE)
    assert (dead.launcher_id, dead.why) == (launcher, why)


def test_a_launcher_that_is_silent_for_its_lease_expires(store: Store) -> None:
    make_launcher(store, lease_seconds=30.0)
    assert expired_after(store, 29) == []
    assert [dead.why for dead in expired_after(store, 31)] == ["no heartbeat for 31 s"]


def test_of_another_machine_only_the_silence_counts(store: Store) -> None:
    elsewhere: dict[str, Any] = {"machine_id": "elsewhere", "pid": 2**22 + 1, "boot_id": "theirs", "process_clock": 1.0}
    beats, silent = make_launcher(store, **elsewhere), make_launcher(store, **elsewhere)
    assert [dead.launcher_id for dead in expired_after(store, 91, [beats])] == [silent]


def test_the_processes_of_an_expired_launcher_are_known_for_the_sweep(store: Store) -> None:
    launcher = make_launcher(store)
    running(store, launcher)
    killed = running(store, launcher)
    store.kill(only(killed.job_id))
    put(store, State.PREPROCESSED)
    claim(store, launcher)
    assert [dead.processes for dead in expired_after(store, 91)] == [((4711, 1.5), (4711, 1.5))]


def test_jobs_of_a_dead_launcher_are_runnable_again_with_an_event_that_says_whose_lease_expired(store: Store) -> None:
    launcher = make_launcher(store, process_clock=1.0)
    job = running(store, launcher)
    waiting = put(store, State.PREPROCESSED, "claimed")
    claim(store, launcher)
    assert take_back_all(store) == 1
    message = f"the lease of launcher {str(launcher)[:8]} on here (pid {os.getpid()}) expired: its process is gone"
    assert events_of(store, job.job_id)[-1] == ("RUNNING", "RESTART_READY", message)
    assert (store.job(job.job_id).attempt, store.job(waiting).attempt) == (1, 0)
    assert states_passed(store, waiting) == ["CREATED", "PREPROCESSED"]
    assert [again.attempt for again in claim(store, make_launcher(store))] == [1, 0]


def test_a_lease_is_taken_back_once(store: Store) -> None:
    launcher = make_launcher(store, process_clock=1.0)
    running(store, launcher)
    (dead,) = store.expired_launchers(MACHINE)
    assert (store.take_back(dead, ()), store.take_back(dead, ())) == (1, 0)
    assert store.expired_launchers(MACHINE) == []
    assert not store.heartbeat(launcher)


def test_starts_that_only_the_journal_saw_are_recorded_as_attempts(store: Store) -> None:
    launcher = make_launcher(store, process_clock=1.0)
    put(store, State.PREPROCESSED, "seen")
    put(store, State.PREPROCESSED, "unseen")
    put(store, State.PREPROCESSED, "never")
    seen, unseen, never = claim(store, launcher)
    start(store, launcher, seen)
    started = [(seen.job_id, 1), (unseen.job_id, 1), (never.job_id, 7), (uuid4(), 1)]
    assert take_back_all(store, started) == 2
    assert [store.job(job.job_id).attempt for job in (seen, unseen, never)] == [1, 1, 0]
    assert states_passed(store, unseen.job_id) == ["CREATED", "PREPROCESSED", "RUNNING", "RESTART_READY"]
    assert states_passed(store, seen.job_id).count("RUNNING") == 1
    assert states_passed(store, never.job_id) == ["CREATED", "PREPROCESSED"]


def test_a_killed_job_of_a_dead_launcher_stays_killed_and_is_let_go(store: Store) -> None:
    launcher = make_launcher(store, process_clock=1.0)
    job = running(store, launcher)
    store.kill(only(job.job_id))
    assert take_back_all(store, [(job.job_id, 1)]) == 0
    assert (state_of(store, job.job_id), store.held(launcher)) == (State.USER_KILLED, {})


def test_a_launcher_that_ends_in_order_gives_back_what_it_held(store: Store) -> None:
    launcher = make_launcher(store)
    put(store, State.PREPROCESSED, "claimed")
    (claimed,) = claim(store, launcher)
    job = running(store, launcher)
    store.end_launcher(launcher, "the time limit")
    assert store.held(launcher) == {}
    assert states_passed(store, claimed.job_id) == ["CREATED", "PREPROCESSED"]
    assert events_of(store, job.job_id)[-1] == (
        "RUNNING",
        "RESTART_READY",
        "its launcher ended before it: the time limit",
    )
    assert not store.heartbeat(launcher)


def test_a_launcher_that_fails_leaves_no_start_unrecorded(store: Store) -> None:
    launcher = make_launcher(store)
    put(store, State.PREPROCESSED, "unseen")
    put(store, State.PREPROCESSED, "never")
    unseen, never = claim(store, launcher)
    store.end_launcher(launcher, "it failed", 0, iter([(unseen.job_id, 1)]))
    assert states_passed(store, unseen.job_id) == ["CREATED", "PREPROCESSED", "RUNNING", "RESTART_READY"]
    assert (store.job(unseen.job_id).attempt, store.job(never.job_id).attempt) == (1, 0)


def test_the_journal_of_a_launcher_that_holds_nothing_is_not_read(store: Store) -> None:
    def read() -> Iterator[tuple[UUID, int]]:
        raise AssertionError("it may hold a million starts")
        yield

    store.end_launcher(make_launcher(store), "nothing more can run", 0, read())


def test_a_launcher_that_was_declared_dead_takes_nothing_from_its_heirs_when_it_ends(store: Store) -> None:
    dead = make_launcher(store, process_clock=1.0)
    running(store, dead)
    take_back_all(store)
    heir = make_launcher(store)
    (job,) = claim(store, heir)
    start(store, heir, job)
    store.end_launcher(dead, "woke up")
    assert store.held(heir) == {job.job_id: State.RUNNING}


# --- what a lost lease means


def test_reports_of_a_lost_lease_change_nothing_and_name_the_jobs(store: Store) -> None:
    dead = make_launcher(store, process_clock=1.0)
    put(store, State.PREPROCESSED, "claimed")
    (claimed,) = claim(store, dead)
    ran = running(store, dead)
    take_back_all(store)
    before = {job.job_id: store.job(job.job_id) for job in (claimed, ran)}
    lost, written, *_ = store.report(dead, [start_of(claimed)], [result_of(ran)], NO_RERUNS)
    assert (lost, written) == ({claimed.job_id, ran.job_id}, [])
    assert {job.job_id: store.job(job.job_id) for job in (claimed, ran)} == before


def test_a_launcher_whose_lease_is_over_claims_nothing(store: Store) -> None:
    put(store, State.PREPROCESSED)
    dead = make_launcher(store, process_clock=1.0)
    take_back_all(store)
    assert claim(store, dead) == []
    assert claim(store, uuid4()) == []


def test_a_job_that_another_attempt_runs_is_lost_to_the_first(store: Store) -> None:
    dead, heir = make_launcher(store, process_clock=1.0), make_launcher(store)
    ran = running(store, dead)
    take_back_all(store)
    (again,) = claim(store, heir)
    start(store, heir, again)
    assert finish(store, dead, ran) == {ran.job_id}
    assert store.held(heir) == {ran.job_id: State.RUNNING}
    assert finish(store, heir, again) == set()
    assert states_passed(store, ran.job_id)[-3:] == ["RUNNING", "RUN_DONE", "JOB_FINISHED"]


def test_a_job_killed_while_it_runs_is_lost_and_let_go_with_its_result(store: Store) -> None:
    launcher = make_launcher(store)
    job = running(store, launcher)
    store.kill(only(job.job_id))
    assert finish(store, launcher, job) == {job.job_id}
    assert (state_of(store, job.job_id), store.held(launcher)) == (State.USER_KILLED, {})
    assert states_passed(store, job.job_id) == ["CREATED", "PREPROCESSED", "RUNNING", "USER_KILLED"]


def test_a_job_moved_by_hand_while_it_runs_is_lost_to_its_launcher(store: Store) -> None:
    launcher = make_launcher(store)
    job = running(store, launcher)
    move(store, job.job_id, State.JOB_FINISHED)
    assert finish(store, launcher, job, End.ERROR) == {job.job_id}
    assert state_of(store, job.job_id) is State.JOB_FINISHED


def test_a_deleted_job_is_lost_to_its_launcher(store: Store) -> None:
    launcher = make_launcher(store)
    job = running(store, launcher)
    store.delete_jobs([job.job_id])
    assert finish(store, launcher, job) == {job.job_id}


def test_a_repeated_report_changes_nothing_and_loses_nothing(store: Store) -> None:
    launcher = make_launcher(store)
    job = running(store, launcher)
    assert start(store, launcher, job) == set()
    assert states_passed(store, job.job_id) == ["CREATED", "PREPROCESSED", "RUNNING"]
    lost, written, *_ = store.report(launcher, [], [result_of(job), result_of(job)], NO_RERUNS)
    assert lost == set()
    assert [event["to_state"] for event in written] == ["RUN_DONE", "JOB_FINISHED"]


def test_a_late_report_of_an_earlier_attempt_leaves_the_present_one_alone(store: Store) -> None:
    launcher = make_launcher(store)
    old = running(store, launcher)
    finish(store, launcher, old, End.STOPPED)
    (again,) = claim(store, launcher)
    assert (start(store, launcher, old), finish(store, launcher, old)) == (set(), set())
    assert store.held(launcher) == {old.job_id: State.RESTART_READY}
    start(store, launcher, again)
    assert finish(store, launcher, old) == set()
    assert store.held(launcher) == {old.job_id: State.RUNNING}


def test_a_result_without_its_start_is_refused_and_the_job_given_back(store: Store) -> None:
    launcher = make_launcher(store)
    put(store, State.PREPROCESSED)
    (job,) = claim(store, launcher)
    assert finish(store, launcher, job) == {job.job_id}
    assert (state_of(store, job.job_id), store.held(launcher)) == (State.PREPROCESSED, {})


# --- what is recorded


def test_a_start_and_a_result_in_one_report_are_one_attempt(store: Store) -> None:
    launcher = make_launcher(store)
    put(store, State.PREPROCESSED)
    (job,) = claim(store, launcher)
    lost, written, *_ = store.report(launcher, [start_of(job)], [result_of(job)], NO_RERUNS)
    assert lost == set()
    assert [(event["attempt"], event["from_state"], event["to_state"], event["at"]) for event in written] == [
        (1, "PREPROCESSED", "RUNNING", 1.0),
        (1, "RUNNING", "RUN_DONE", 2.0),
        (1, "RUN_DONE", "JOB_FINISHED", 2.0),
    ]
    found = store.job(job.job_id)
    assert (found.state, found.attempt, found.exit_code, found.launcher_id, found.pid, found.node, found.state_at) == (
        State.JOB_FINISHED, 1, 0, None, None, "n1", 2.0
    )  # fmt: skip
    assert events_of(store, job.job_id)[2] == ("PREPROCESSED", "RUNNING", "on n1, pid 4711")


def test_an_error_keeps_its_exit_code_and_its_tail(store: Store) -> None:
    launcher = make_launcher(store)
    job = running(store, launcher)
    finish(store, launcher, job, End.ERROR, exit_code=3, message="nonzero return 3: no such file")
    assert store.job(job.job_id).exit_code == 3
    assert events_of(store, job.job_id)[-2:] == [
        ("RUNNING", "RUN_ERROR", "nonzero return 3: no such file"),
        ("RUN_ERROR", "FAILED", ""),
    ]


def test_a_program_that_could_not_be_started_is_an_attempt_without_a_process(store: Store) -> None:
    launcher = make_launcher(store)
    put(store, State.PREPROCESSED)
    (job,) = claim(store, launcher)
    ended = result_of(job, End.ERROR, exit_code=None, message="no such file")
    store.report(launcher, [start_of(job, pid=None)], [ended], NO_RERUNS)
    assert events_of(store, job.job_id)[2] == ("PREPROCESSED", "RUNNING", "on n1, could not be started")
    assert state_of(store, job.job_id) is State.FAILED


def test_reruns_are_counted_until_the_limit(store: Store) -> None:
    launcher = make_launcher(store)
    job_id = put(store, State.PREPROCESSED)
    policy = RetryPolicy(retry_codes=frozenset({1}), max_retries=2)
    for retries in (1, 2):
        (job,) = claim(store, launcher)
        store.report(launcher, [start_of(job)], [result_of(job, End.ERROR, exit_code=1)], policy)
        assert (state_of(store, job_id), store.job(job_id).retries) == (State.RESTART_READY, retries)
    (job,) = claim(store, launcher)
    store.report(launcher, [start_of(job)], [result_of(job, End.ERROR, exit_code=1)], policy)
    assert (state_of(store, job_id), store.job(job_id).attempt) == (State.FAILED, 3)


def test_a_failed_job_fails_its_waiting_children_with_its_report(store: Store) -> None:
    launcher = make_launcher(store)
    job = running(store, launcher)
    child = put(store, parents=(job.job_id,))
    finish(store, launcher, job, End.ERROR, exit_code=1)
    assert state_of(store, child) is State.FAILED


@pytest.mark.parametrize("count", [1, 3, 20, 130, 700])
def test_reports_of_any_size_are_recorded(store: Store, count: int) -> None:
    launcher = make_launcher(store)
    store.add_jobs([make_spec(f"j{place}") for place in range(count)])
    store.advance()
    held = claim(store, launcher, most=count) if count <= 200 else []
    while len(held) < count:
        held += claim(store, launcher)
    store.report(launcher, [start_of(job) for job in held], [result_of(job) for job in held], NO_RERUNS)
    assert store.count_by_state() == {State.JOB_FINISHED: count}


def test_an_empty_report_is_nothing(store: Store) -> None:
    assert store.report(make_launcher(store), [], [], NO_RERUNS) == (set(), [], False, False)


def test_jobs_given_back_change_no_attempt_and_running_ones_stay(store: Store) -> None:
    launcher = make_launcher(store)
    put(store, State.PREPROCESSED, "claimed")
    (claimed,) = claim(store, launcher)
    ran = running(store, launcher)
    store.give_back(launcher, [claimed.job_id, ran.job_id])
    assert store.held(launcher) == {ran.job_id: State.RUNNING}
    assert (store.job(claimed.job_id).attempt, len(store.history([claimed.job_id]))) == (0, 2)


def test_nobody_gives_back_what_another_holds(store: Store) -> None:
    launcher = make_launcher(store)
    put(store, State.PREPROCESSED)
    (job,) = claim(store, launcher)
    store.give_back(make_launcher(store), [job.job_id])
    assert store.held(launcher) == {job.job_id: State.PREPROCESSED}


# --- claims


def test_urgent_jobs_come_first_then_large_ones_then_old_ones(store: Store) -> None:
    for name, priority, num_nodes in (("old", 0, 1), ("young", 0, 1), ("large", 0, 4), ("urgent", 1, 1)):
        put(store, State.PREPROCESSED, name, priority=priority, num_nodes=num_nodes)
    claimed = claim(store, make_launcher(store), Limits(max_nodes=4, serial=False))
    assert [job.name for job in claimed] == ["urgent", "large", "old", "young"]


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        (Limits(max_nodes=8), ["undeclared", "short", "hour", "flow_2"]),
        (Limits(max_nodes=8, serial=False), ["wide", "undeclared", "ranks", "short", "hour", "flow_2"]),
        (Limits(max_nodes=2, serial=False), ["undeclared", "ranks", "short", "hour", "flow_2"]),
        (Limits(minutes_left=59.9), ["undeclared", "short", "flow_2"]),
        (Limits(minutes_left=60.0), ["undeclared", "short", "hour", "flow_2"]),
        (Limits(workflow="flow_2"), ["flow_2"]),
        (Limits(workflow="flow*"), ["flow_2"]),
        (Limits(workflow="FLOW*"), []),
        (Limits(workflow="nobody"), []),
    ],
)
def test_a_claim_keeps_to_its_limits(store: Store, limits: Limits, names: list[str]) -> None:
    put(store, State.PREPROCESSED, "undeclared")
    put(store, State.PREPROCESSED, "wide", num_nodes=4)
    put(store, State.PREPROCESSED, "ranks", ranks_per_node=2)
    put(store, State.RESTART_READY, "short", wall_time_minutes=5)
    put(store, State.PREPROCESSED, "hour", wall_time_minutes=60)
    put(store, State.PREPROCESSED, "held", hold=True)
    put(store, State.READY, "not yet")
    put(store, State.PREPROCESSED, "flow_2", workflow="flow_2")
    claimed = claim(store, make_launcher(store), limits)
    assert [job.name for job in claimed] == names
    assert all(store.job(job.job_id).launcher_id for job in claimed)


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        (Limits(most_gpus=0), ["plain", "no gpu", "big"]),
        (Limits(most_gpus=4, most_memory_mb=100), ["plain", "no gpu", "4 gpus"]),
        (Limits(most_gpus=4, max_nodes=1, serial=False), ["plain", "no gpu", "4 gpus", "2 by 2 gpus", "big"]),
    ],
)
def test_a_claim_looks_at_no_job_that_is_too_big_for_any_node(store: Store, limits: Limits, names: list[str]) -> None:
    put(store, State.PREPROCESSED, "plain")
    put(store, State.PREPROCESSED, "no gpu", gpus_per_rank=0)
    put(store, State.PREPROCESSED, "4 gpus", gpus_per_rank=4)
    put(store, State.PREPROCESSED, "2 by 2 gpus", gpus_per_rank=2, ranks_per_node=2)
    put(store, State.PREPROCESSED, "3 by 2 gpus", gpus_per_rank=3, ranks_per_node=2)
    put(store, State.PREPROCESSED, "far too many", gpus_per_rank=2_000_000_000, ranks_per_node=10_000_000)
    put(store, State.PREPROCESSED, "big", memory_mb=200)
    assert [job.name for job in claim(store, make_launcher(store), limits)] == names


def test_two_launchers_never_claim_the_same_job(store: Store) -> None:
    store.add_jobs([make_spec(f"j{place}") for place in range(10)])
    store.advance()
    one, two = make_launcher(store), make_launcher(store)
    taken = [job.job_id for launcher in (one, two, one) for job in claim(store, launcher, most=4)]
    assert len(taken) == len(set(taken)) == 10


def test_jobs_that_do_not_fit_hide_nothing_behind_them(store: Store) -> None:
    store.add_jobs([make_spec(f"j{place}") for place in range(25)])
    store.advance()
    pages: list[int] = []

    def choose(candidates: Sequence[Job]) -> list[UUID]:
        pages.append(len(candidates))
        return [job.job_id for job in candidates if job.name == "j24"]

    claimed = store.claim(make_launcher(store), Limits(), choose, page=10)
    assert ([job.name for job in claimed], pages) == (["j24"], [10, 10, 5])


def test_a_claim_that_chooses_nothing_holds_nothing(store: Store) -> None:
    put(store, State.PREPROCESSED)
    launcher = make_launcher(store)
    assert store.claim(launcher, Limits(), first(0)) == []
    assert store.held(launcher) == {}


def test_held_jobs_can_be_claimed_after_their_release(store: Store) -> None:
    job_id = put(store, State.PREPROCESSED, hold=True)
    launcher = make_launcher(store)
    assert claim(store, launcher) == []
    store.change_jobs(only(job_id), {"hold": False})
    assert [job.job_id for job in claim(store, launcher)] == [job_id]


def test_a_claimed_job_that_is_held_goes_back(store: Store) -> None:
    job_id = put(store, State.PREPROCESSED)
    launcher = make_launcher(store)
    (job,) = claim(store, launcher)
    store.change_jobs(only(job_id), {"hold": True})
    assert store.held(launcher) == {}
    assert start(store, launcher, job) == {job_id}


def test_a_launcher_knows_whether_another_may_release_waiting_jobs(store: Store) -> None:
    me, other, unrelated = make_launcher(store), make_launcher(store), make_launcher(store)
    parent = running(store, other)
    running(store, unrelated)
    put(store, parents=(parent.job_id,))
    store.advance()
    assert store.others_may_release(me, "")
    assert not store.others_may_release(other, "")
    assert not store.others_may_release(me, "elsewhere")


def test_the_list_of_launchers_counts_what_each_holds(store: Store) -> None:
    launcher, ended = make_launcher(store), make_launcher(store)
    running(store, launcher)
    store.end_launcher(ended, "done")
    assert [(row.launcher_id, held) for row, held in store.launchers()] == [(launcher, 1)]
    assert [row.end_reason for row, _ in store.launchers(ended=True)] == ["", "done"]
