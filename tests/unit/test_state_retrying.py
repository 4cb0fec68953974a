"""Retrying: where a failed job goes back to, with those that failed because of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from balsam_core.state.machine import State
from balsam_core.state.outcomes import End
from balsam_core.state.retrying import Retries, target_of
from balsam_core.state.store import Store
from tests.helpers import (
    events_of,
    finish,
    make_launcher,
    move,
    only,
    put,
    running,
    state_of,
    temporary_store,
)

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return temporary_store(tmp_path)


def failed_run(store: Store, name: str = "job", **fields: Any) -> UUID:
    """A job that ran and failed."""
    launcher = make_launcher(store)
    job = running(store, launcher, name, **fields)
    finish(store, launcher, job, End.ERROR, exit_code=3, message="nonzero return 3")
    return job.job_id


def failed_work(store: Store, state: State, **fields: Any) -> UUID:
    """A job whose script or staging failed in `state`."""
    job_id = put(store, state, **fields)
    launcher = make_launcher(store)
    (job,) = store.claim_work(launcher, "", 1)
    assert store.finish_work(launcher, job, State.FAILED, "it failed")
    return job_id


@pytest.mark.parametrize(
    ("state", "attempt", "failed_from", "target"),
    [
        (State.RUN_ERROR, 1, None, State.RESTART_READY),
        (State.RUN_TIMEOUT, 2, None, State.RESTART_READY),
        (State.FAILED, 1, "RUN_ERROR", State.RESTART_READY),
        (State.FAILED, 1, "RUN_TIMEOUT", State.RESTART_READY),
        (State.FAILED, 0, "READY", State.READY),
        (State.FAILED, 0, "STAGED_IN", State.STAGED_IN),
        (State.FAILED, 1, "RUN_DONE", State.RUN_DONE),
        (State.FAILED, 1, "POSTPROCESSED", State.POSTPROCESSED),
        (State.FAILED, 0, "CREATED", State.AWAITING_PARENTS),
        (State.FAILED, 0, "AWAITING_PARENTS", State.AWAITING_PARENTS),
        (State.FAILED, 0, "PREPROCESSED", State.PREPROCESSED),
        (State.FAILED, 1, "JOB_FINISHED", State.RESTART_READY),
    ],
)
def test_where_a_job_goes_depends_on_the_state_in_which_it_failed(
    state: State, attempt: int, failed_from: str | None, target: State
) -> None:
    assert target_of(state, attempt, failed_from) is target


def test_a_job_that_ran_and_failed_is_runnable_again_with_an_event(store: Store) -> None:
    job_id = failed_run(store)
    assert store.retry(only(job_id)) == Retries({job_id: State.RESTART_READY})
    assert events_of(store, job_id)[-1] == ("FAILED", "RESTART_READY", "by hand: balsam retry")


def test_a_failed_script_or_staging_is_done_again_and_nothing_else(store: Store) -> None:
    script = failed_work(store, State.RUN_DONE, application="scripted")
    staging = failed_work(store, State.READY, stage_in_url="local:/nowhere")
    store.retry(only(script, staging))
    assert (state_of(store, script), state_of(store, staging)) == (State.RUN_DONE, State.READY)


def test_what_failed_because_of_it_waits_for_it_again(store: Store) -> None:
    parent = failed_run(store, "parent")
    child = put(store, name="child", parents=(parent,))
    grandchild = put(store, name="grandchild", parents=(child,))
    store.advance()
    assert state_of(store, grandchild) is State.FAILED
    done = store.retry(only(parent))
    assert (done.children, done.counts()) == (2, {State.AWAITING_PARENTS: 2, State.RESTART_READY: 1})
    assert [state_of(store, job_id) for job_id in (parent, child, grandchild)] == [
        State.RESTART_READY,
        State.AWAITING_PARENTS,
        State.AWAITING_PARENTS,
    ]
    move(store, parent, State.JOB_FINISHED)
    assert state_of(store, child) is State.READY


def test_children_may_be_left_as_they_are(store: Store) -> None:
    parent = failed_run(store)
    child = put(store, parents=(parent,))
    store.advance()
    assert store.retry(only(parent), recursive=False).targets == {parent: State.RESTART_READY}
    assert state_of(store, child) is State.FAILED


def test_a_child_that_failed_for_a_reason_of_its_own_stays_failed(store: Store) -> None:
    parent = failed_run(store)
    child = put(store, State.FAILED, parents=(parent,))
    assert store.retry(only(parent)).targets == {parent: State.RESTART_READY}
    assert state_of(store, child) is State.FAILED


def test_a_child_of_a_parent_that_stays_broken_is_left(store: Store) -> None:
    parent = put(store, State.USER_KILLED)
    child = put(store, parents=(parent,))
    grandchild = put(store, parents=(child,))
    store.advance()
    assert store.retries(only(parent, child, grandchild)) == Retries({}, broken=2)


def test_a_job_that_a_launcher_holds_is_left(store: Store) -> None:
    put(store, State.RUN_ERROR, application="scripted", post_error_handler=True)
    (job,) = store.claim_work(make_launcher(store), "", 1)
    assert store.retry(only(job.job_id)) == Retries({}, held=1)
    assert state_of(store, job.job_id) is State.RUN_ERROR


@pytest.mark.parametrize("state", [State.USER_KILLED, State.JOB_FINISHED, State.RUNNING, State.AWAITING_PARENTS])
def test_only_what_has_failed_is_retried(store: Store, state: State) -> None:
    assert store.retry(only(put(store, state))) == Retries({})


def test_automatic_reruns_are_counted_from_the_start_again(store: Store) -> None:
    job_id = failed_run(store)
    store.change_jobs(only(job_id), {"retries": 3})
    store.retry(only(job_id))
    assert store.job(job_id).retries == 0
