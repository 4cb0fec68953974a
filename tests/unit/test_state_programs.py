"""What programs do to jobs through the store: fields and state as one change, jobs that they hold themselves."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest

from balsam_core.errors import AppNotFound, InvalidState
from balsam_core.models.job import Job
from balsam_core.state.claims import Limits
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from balsam_core.state.tables import jobs
from tests.helpers import (
    claim,
    events_of,
    make_launcher,
    make_spec,
    move,
    only,
    put,
    running,
    state_of,
    temporary_store,
)

pytestmark = pytest.mark.usefixtures("each_database")


def held_by(store: Store, job_id: UUID) -> UUID | None:
    """Who holds a job."""
    return store.job(job_id).launcher_id


def test_fields_and_state_change_together_and_leave_one_event(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    first, second = put(store), put(store)
    changed = store.update_jobs(only(first, second), {"num_nodes": jobs.c.num_nodes + 4}, State.READY, "by a program")
    assert changed == 2
    assert [(job.num_nodes, job.state) for job in store.jobs()] == [(5, State.READY)] * 2
    assert events_of(store, first)[1:] == [("CREATED", "READY", "by hand: by a program")]


def test_a_killed_job_is_left_alone_when_a_state_is_asked_for(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    killed, other = put(store, State.USER_KILLED), put(store)
    assert store.update_jobs(only(killed, other), {"args": "x"}, State.READY) == 1
    assert [(job.state, job.args) for job in store.jobs()] == [(State.USER_KILLED, ""), (State.READY, "x")]
    assert store.update_jobs(only(killed), {"args": "y"}) == 1
    assert store.job(killed).args == "y"
    with pytest.raises(InvalidState):
        move(store, killed, State.READY)


def test_children_hear_of_ends_in_a_change_of_many(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    parents = [put(store, State.RUNNING), put(store, State.RUNNING)]
    child = put(store, parents=tuple(parents))
    store.advance()
    store.update_jobs(only(*parents), {}, State.JOB_FINISHED)
    assert state_of(store, child) is State.READY


def test_a_job_may_name_an_application_that_comes_later(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    early = make_spec(application="later")
    with pytest.raises(AppNotFound):
        store.add_jobs([early])
    store.add_jobs([early], known_apps_only=False)
    assert store.update_jobs(only(early.job_id), {"application": "later still"}) == 1
    assert store.job(early.job_id).application == "later still"
    with pytest.raises(AppNotFound):
        store.change_jobs(only(early.job_id), {"application": "nobody's"})


def test_a_job_may_begin_in_any_state(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    plain, ready = make_spec("plain"), make_spec("ready")
    store.add_jobs([plain, ready], "new", begun={ready.job_id: (State.RUN_DONE, "ran elsewhere")})
    assert events_of(store, plain.job_id) == [("", "CREATED", "new")]
    assert events_of(store, ready.job_id)[1:] == [("CREATED", "RUN_DONE", "by hand: ran elsewhere")]


def test_only_free_jobs_are_acquired_and_only_own_ones_released(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    program, launcher = make_launcher(store), make_launcher(store)
    free, claimed = put(store, State.PREPROCESSED), put(store, State.PREPROCESSED)
    store.claim(launcher, Limits(), lambda candidates: [claimed])
    assert store.acquire(program, [free, claimed]) == [free]
    assert store.acquire(launcher, [free, claimed]) == []
    assert claim(store, launcher) == [], "what a program holds is not claimed"
    assert (store.release(program), held_by(store, free), held_by(store, claimed)) == (1, None, launcher)
    assert store.release(program, only(claimed)) == 0


def test_what_a_program_holds_stays_with_it_wherever_it_is_moved(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    program = make_launcher(store)
    job_id = put(store, State.PREPROCESSED)
    store.acquire(program, [job_id])
    for target in (State.RUNNING, State.RUN_DONE, State.JOB_FINISHED, State.RESTART_READY):
        store.update_jobs(only(job_id), {"args": target.value}, target, holder=program)
        assert held_by(store, job_id) == program, target
    store.update_jobs(only(job_id), {"args": "by another"})
    assert held_by(store, job_id) is None, "a job that had not started is given back when another program changes it"


def test_a_change_by_a_program_leaves_a_launchers_jobs_with_it(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    launcher = make_launcher(store)
    job: Job = running(store, launcher)
    store.update_jobs(only(job.job_id), {"data": {"objective": 1.0}}, holder=None)
    assert (held_by(store, job.job_id), state_of(store, job.job_id)) == (launcher, State.RUNNING)


def test_the_running_jobs_of_a_program_that_is_gone_can_run_again(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    gone = make_launcher(store, pid=os.getpid(), process_clock=-1.0)
    job_id = put(store, State.PREPROCESSED)
    store.acquire(gone, [job_id])
    store.update_jobs(only(job_id), {}, State.RUNNING, holder=gone)
    (dead,) = store.expired_launchers("this-machine")
    assert store.take_back(dead, []) == 1
    assert (held_by(store, job_id), state_of(store, job_id)) == (None, State.RESTART_READY)


def test_rows_are_read_by_one_statement(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store, name="a")
    assert [row.name for row in store.rows(jobs.select())] == ["a"]
