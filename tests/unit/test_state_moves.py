"""Moves of jobs: guarded, one event each, by hand or by the program."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from balsam_core.errors import InvalidState, JobNotFound
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import END, State, may_move
from balsam_core.state.moves import move as move_jobs
from balsam_core.state.tables import jobs
from tests.helpers import (
    claim,
    events_of,
    finish,
    make_launcher,
    make_spec,
    move,
    only,
    put,
    running,
    start,
    state_of,
    states_passed,
    temporary_store,
)

pytestmark = pytest.mark.usefixtures("each_database")


def test_a_new_job_has_one_event(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    (job_id,) = store.add_jobs([make_spec()], message="spawned by [parent | 12345678]")
    assert events_of(store, job_id) == [("", "CREATED", "spawned by [parent | 12345678]")]


def test_the_first_event_of_each_job_may_be_worded_by_a_function(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    (job_id,) = store.add_jobs([make_spec("a")], message=lambda spec: f"made for {spec.name}")
    assert events_of(store, job_id) == [("", "CREATED", "made for a")]


def test_each_move_of_the_table_happens_with_one_event_and_each_other_not_at_all(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    for origin, target in product(State, State):
        job_id = put(store, origin)
        if state_of(store, job_id) is not origin:
            continue  # AWAITING_PARENTS without parents goes on at once.
        before = events_of(store, job_id)
        with store.database.write() as tx:
            moved = move_jobs(tx, jobs.c.job_id == job_id, target, now=5.0, message="why")
        assert moved == may_move(origin, target), (origin, target)
        new = [(origin.value, target.value, "why")] if moved else []
        assert events_of(store, job_id) == before + new
        assert state_of(store, job_id) is (target if moved else origin)


def test_by_hand_a_job_goes_from_any_state_to_any_other_but_not_out_of_user_killed(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    for origin, target in product(State, State):
        job_id = put(store, origin)
        if State.AWAITING_PARENTS in (origin, target):
            continue
        before = events_of(store, job_id)
        if origin is State.USER_KILLED and target is not State.USER_KILLED:
            with pytest.raises(InvalidState):
                move(store, job_id, target)
            assert events_of(store, job_id) == before
        elif origin is not State.USER_KILLED:
            assert move(store, job_id, target, "because") == 1
            assert events_of(store, job_id) == [*before, (origin.value, target.value, "by hand: because")]
            assert state_of(store, job_id) is target


def test_a_bulk_move_by_hand_leaves_the_killed_alone(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    killed, failed = put(store, State.USER_KILLED), put(store, State.FAILED)
    assert store.move_by_hand(JobFilter(), State.RESTART_READY) == 1
    assert (state_of(store, killed), state_of(store, failed)) == (State.USER_KILLED, State.RESTART_READY)


def test_a_filter_by_state_still_means_the_same_jobs_after_the_move(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    job_id = put(store)
    assert store.move_by_hand(JobFilter(states=[State.CREATED]), State.AWAITING_PARENTS) == 1
    assert state_of(store, job_id) is State.READY


def test_by_hand_nothing_is_moved_when_nothing_fits(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    assert store.move_by_hand(JobFilter(name="nobody"), State.READY) == 0


def test_a_move_by_hand_starts_the_count_of_reruns_anew_and_the_launcher_lets_go_when_the_job_has_stopped(
    tmp_path: Path,
) -> None:
    store = temporary_store(tmp_path)
    launcher = make_launcher(store)
    job = running(store, launcher)
    move(store, job.job_id, State.RESTART_READY)
    found = store.job(job.job_id)
    assert (found.retries, found.launcher_id, found.attempt) == (0, launcher, 1)
    assert finish(store, launcher, job) == {job.job_id}
    assert (state_of(store, job.job_id), store.held(launcher)) == (State.RESTART_READY, {})


@pytest.mark.parametrize("target", [State.RESTART_READY, State.FAILED, State.AWAITING_PARENTS])
@pytest.mark.parametrize("then", ["changed", "moved", "killed"])
def test_a_job_that_was_moved_by_hand_while_it_ran_is_its_launchers_until_it_has_stopped(
    tmp_path: Path, target: State, then: str
) -> None:
    store = temporary_store(tmp_path)
    launcher = make_launcher(store)
    job = running(store, launcher)
    move(store, job.job_id, target)
    if then == "changed":
        store.change_jobs(only(job.job_id), {"args": "new"})
    elif then == "moved":
        move(store, job.job_id, State.RESTART_READY)
    else:
        store.kill(only(job.job_id))
    assert list(store.held(launcher)) == [job.job_id]
    assert finish(store, launcher, job) == {job.job_id}
    assert store.held(launcher) == {}


@pytest.mark.parametrize("state", sorted(set(State) - END - {State.AWAITING_PARENTS}))
def test_every_job_that_has_not_ended_can_be_killed(tmp_path: Path, state: State) -> None:
    store = temporary_store(tmp_path)
    job_id = put(store, state)
    assert [job.state for job in store.kill(only(job_id), message="enough")] == [state]
    assert events_of(store, job_id)[-1] == (state.value, "USER_KILLED", "enough")


@pytest.mark.parametrize("state", sorted(END))
def test_a_job_that_has_ended_cannot_be_killed(tmp_path: Path, state: State) -> None:
    store = temporary_store(tmp_path)
    job_id = put(store, state)
    assert store.kill(only(job_id)) == []
    assert state_of(store, job_id) is state


def test_a_job_killed_while_it_runs_stays_with_its_launcher(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    launcher = make_launcher(store)
    job = running(store, launcher)
    store.kill(only(job.job_id))
    assert store.held(launcher) == {job.job_id: State.USER_KILLED}
    assert states_passed(store, job.job_id) == ["CREATED", "PREPROCESSED", "RUNNING", "USER_KILLED"]


def test_a_job_killed_by_hand_while_it_runs_stays_with_its_launcher(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    launcher = make_launcher(store)
    job = running(store, launcher)
    move(store, job.job_id, State.USER_KILLED)
    assert store.held(launcher) == {job.job_id: State.USER_KILLED}


def test_a_job_killed_while_it_is_only_claimed_is_nobodys(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    launcher = make_launcher(store)
    job_id = put(store, State.PREPROCESSED)
    (job,) = claim(store, launcher)
    store.kill(only(job_id))
    assert store.held(launcher) == {}
    assert start(store, launcher, job) == {job_id}
    assert states_passed(store, job_id) == ["CREATED", "PREPROCESSED", "USER_KILLED"]


def test_a_recursive_kill_reaches_all_descendants_and_none_of_them_fails(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    top = put(store)
    left, right = put(store, parents=(top,)), put(store, parents=(top,))
    # The edge from left to right makes any order of "children first" by levels wrong.
    bottom = put(store, parents=(left, right))
    store.add_dependency(left, right)
    store.advance()
    killed = store.kill(only(top), recursive=True)
    assert {job.job_id for job in killed} == {top, left, right, bottom}
    assert store.count_by_state() == {State.USER_KILLED: 4}


def test_a_kill_that_is_not_recursive_fails_the_waiting_children(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    top = put(store)
    child = put(store, parents=(top,))
    assert len(store.kill(only(top))) == 1
    assert state_of(store, child) is State.FAILED


def test_finished_work_moves_a_job_only_while_it_is_as_it_was(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    launcher = make_launcher(store)
    put(store, State.STAGED_IN, "good", application="scripted")
    put(store, State.STAGED_IN, "moved", application="scripted")
    good, moved = store.claim_work(launcher, "", 10)
    move(store, moved.job_id, State.FAILED)
    assert store.finish_work(launcher, good, State.PREPROCESSED, "rc 0")
    assert not store.finish_work(launcher, moved, State.PREPROCESSED)
    assert events_of(store, good.job_id)[-1] == ("STAGED_IN", "PREPROCESSED", "rc 0")
    # Its script may still run: the launcher lets go of it after that.
    assert store.held(launcher) == {moved.job_id: State.FAILED}


def test_deleted_jobs_leave_no_rows(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    parent = put(store)
    child = put(store, parents=(parent,))
    assert store.delete_jobs([parent, child]) == 2
    with store.database.read() as tx:
        for table in ("jobs", "events", "dependencies"):
            assert tx.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0
    with pytest.raises(JobNotFound, match="it may have been deleted"):
        store.job(parent)
