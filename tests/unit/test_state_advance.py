"""Jobs that need no work of their own go as far as they can; the others stop where their work is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from balsam_core.models.app import AppSpec
from balsam_core.state.advance import advance
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from tests.helpers import (
    events_of,
    make_launcher,
    make_spec,
    move,
    only,
    put,
    state_of,
    states_passed,
    temporary_store,
)

pytestmark = pytest.mark.usefixtures("each_database")

PRE: dict[str, Any] = {"application": "pre"}
POST: dict[str, Any] = {"application": "post"}
STAGE_IN: dict[str, Any] = {"stage_in_url": "local:/data/*"}
STAGE_OUT: dict[str, Any] = {"stage_out_url": "local:/out", "stage_out_files": "*.txt"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with the applications `pre` and `post`, which have one script each."""
    store = temporary_store(tmp_path)
    store.add_app(AppSpec(name="pre", executable="/bin/true", preprocess="/pre"))
    store.add_app(AppSpec(name="post", executable="/bin/true", postprocess="/post"))
    return store


@pytest.mark.parametrize(
    ("origin", "fields", "target", "has_work"),
    [
        (State.CREATED, {}, State.PREPROCESSED, False),
        (State.CREATED, PRE, State.STAGED_IN, True),
        (State.CREATED, STAGE_IN, State.READY, True),
        (State.CREATED, {**PRE, **STAGE_IN}, State.READY, True),
        (State.READY, {}, State.PREPROCESSED, False),
        (State.READY, PRE, State.STAGED_IN, True),
        (State.READY, STAGE_IN, State.READY, True),
        (State.STAGED_IN, STAGE_IN, State.PREPROCESSED, False),
        (State.STAGED_IN, PRE, State.STAGED_IN, True),
        (State.PREPROCESSED, PRE, State.PREPROCESSED, False),
        (State.RUNNING, {}, State.RUNNING, False),
        (State.RESTART_READY, PRE, State.RESTART_READY, False),
        (State.RUN_DONE, {}, State.JOB_FINISHED, False),
        (State.RUN_DONE, POST, State.RUN_DONE, True),
        (State.RUN_DONE, STAGE_OUT, State.POSTPROCESSED, True),
        (State.RUN_DONE, {"stage_out_url": "local:/out"}, State.JOB_FINISHED, False),
        (State.RUN_DONE, {"stage_out_files": "*"}, State.JOB_FINISHED, False),
        (State.POSTPROCESSED, POST, State.JOB_FINISHED, False),
        (State.POSTPROCESSED, STAGE_OUT, State.POSTPROCESSED, True),
        (State.RUN_TIMEOUT, {}, State.RESTART_READY, False),
        (State.RUN_TIMEOUT, {"auto_timeout_retry": False}, State.FAILED, False),
        (State.RUN_TIMEOUT, {"post_timeout_handler": True}, State.FAILED, False),
        (State.RUN_TIMEOUT, {**POST, "post_timeout_handler": True}, State.RUN_TIMEOUT, True),
        (State.RUN_TIMEOUT, {**POST, "post_error_handler": True}, State.RESTART_READY, False),
        (State.RUN_ERROR, {}, State.FAILED, False),
        (State.RUN_ERROR, POST, State.FAILED, False),
        (State.RUN_ERROR, {"post_error_handler": True}, State.FAILED, False),
        (State.RUN_ERROR, {**POST, "post_error_handler": True}, State.RUN_ERROR, True),
        (State.JOB_FINISHED, {}, State.JOB_FINISHED, False),
        (State.FAILED, {}, State.FAILED, False),
        (State.USER_KILLED, {}, State.USER_KILLED, False),
    ],
)
def test_a_job_goes_as_far_as_it_can(
    store: Store, origin: State, fields: dict[str, Any], target: State, has_work: bool
) -> None:
    job_id = put(store, origin, **fields)
    store.advance()
    assert state_of(store, job_id) is target
    work = store.claim_work(make_launcher(store), "", 10)
    assert [job.job_id for job in work] == ([job_id] if has_work else [])


def test_nothing_moves_twice(store: Store) -> None:
    put(store)
    put(store, **PRE)
    put(store, **STAGE_IN)
    assert (store.advance(), store.advance()) == (3, 0)


def test_a_child_goes_on_in_the_same_call_in_which_its_parent_ends(store: Store) -> None:
    parent = put(store)
    child = put(store, parents=(parent,), input_files="")
    store.advance()
    move(store, parent, State.RUN_DONE)
    store.advance()
    assert state_of(store, child) is State.PREPROCESSED


def test_a_plain_job_shows_no_state_in_which_it_did_not_stop(store: Store) -> None:
    job_id = put(store)
    store.advance()
    assert states_passed(store, job_id) == ["CREATED", "PREPROCESSED"]


def test_files_of_parents_are_work_unless_none_are_wanted(store: Store) -> None:
    parent = put(store, State.JOB_FINISHED)
    linked, bare = put(store, parents=(parent,)), put(store, parents=(parent,), input_files="")
    store.advance()
    assert (state_of(store, linked), state_of(store, bare)) == (State.READY, State.PREPROCESSED)


def test_only_the_jobs_of_the_workflow_advance(store: Store) -> None:
    here, there = put(store, workflow="here"), put(store, workflow="there")
    store.advance("h*")
    assert (state_of(store, here), state_of(store, there)) == (State.PREPROCESSED, State.CREATED)


def test_a_job_without_an_application_fails_alone_and_says_so(store: Store) -> None:
    nameless, homeless, good = put(store, application=""), put(store, application="pre"), put(store)
    store.delete_apps(["pre"])
    store.advance()
    assert "it names no application" in events_of(store, nameless)[-1][2]
    assert events_of(store, homeless)[-1] == ("CREATED", "FAILED", "no application named pre")
    assert state_of(store, good) is State.PREPROCESSED


def test_a_child_of_a_job_without_an_application_fails_too(store: Store) -> None:
    child = put(store, parents=(put(store, application=""),))
    store.advance()
    assert state_of(store, child) is State.FAILED


def test_held_work_is_not_claimed_and_urgent_work_comes_first(store: Store) -> None:
    put(store, name="later", **STAGE_IN)
    put(store, name="urgent", priority=5, **STAGE_IN)
    put(store, name="held", hold=True, **STAGE_IN)
    store.advance()
    launcher = make_launcher(store)
    assert [job.name for job in store.claim_work(launcher, "", 10)] == ["urgent", "later"]
    assert store.claim_work(launcher, "", 10) == []


def test_claimed_work_does_not_advance_under_its_launcher(store: Store) -> None:
    job_id = put(store, State.READY, **STAGE_IN)
    store.claim_work(make_launcher(store), "", 1)
    with store.database.write() as tx:
        tx.exec_driver_sql("UPDATE jobs SET stage_in_url = ''")
    store.advance()
    assert state_of(store, job_id) is State.READY


def test_a_launcher_whose_lease_is_over_gets_no_work(store: Store) -> None:
    put(store, State.READY, **STAGE_IN)
    launcher = make_launcher(store)
    store.end_launcher(launcher, "done")
    assert store.claim_work(launcher, "", 1) == []


def test_ten_thousand_plain_jobs_advance_in_a_handful_of_statements(store: Store) -> None:
    store.add_jobs([make_spec(f"j{place}") for place in range(10_000)])
    statements: list[str] = []
    event.listen(store.database.engine, "before_cursor_execute", lambda *what: statements.append(what[2]))
    with store.database.write() as tx:
        assert advance(tx, "", now=1.0, page=10_001) == 10_000
    assert len(statements) < 20


def test_of_many_new_jobs_a_page_moves_at_a_time_the_oldest_first(store: Store) -> None:
    ids = store.add_jobs([make_spec(f"j{place}") for place in range(10)])
    moved = []
    for _ in range(3):
        with store.database.write() as tx:
            moved.append(advance(tx, "", now=1.0, page=4))
        assert {state_of(store, job_id) for job_id in ids[: sum(moved)]} == {State.PREPROCESSED}
    assert moved == [4, 4, 2]


def test_a_script_that_moved_its_own_job_keeps_its_word(store: Store) -> None:
    job_id = put(store, State.RUN_ERROR, post_error_handler=True, **POST)
    launcher = make_launcher(store)
    (job,) = store.claim_work(launcher, "", 1)
    move(store, job_id, State.RESTART_READY, "handled")
    assert not store.finish_work(launcher, job, State.FAILED, "did not move it")
    assert state_of(store, job_id) is State.RESTART_READY


def test_a_kill_during_a_script_stands(store: Store) -> None:
    job_id = put(store, State.STAGED_IN, **PRE)
    launcher = make_launcher(store)
    (job,) = store.claim_work(launcher, "", 1)
    store.kill(only(job_id))
    assert not store.finish_work(launcher, job, State.PREPROCESSED)
    assert (state_of(store, job_id), store.held(launcher)) == (State.USER_KILLED, {})
