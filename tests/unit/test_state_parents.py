"""Parents and children: the satisfied flag, the count of unmet parents, releases, failures, circles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select

from balsam_core.errors import CircularDependency, JobNotFound, JobSpecError
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from balsam_core.state.tables import dependencies, jobs
from tests.helpers import (
    claim,
    events_of,
    finish,
    make_launcher,
    make_spec,
    move,
    only,
    put,
    start,
    state_of,
    temporary_store,
)

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose edges are right at the end of each test."""
    store = temporary_store(tmp_path)
    yield store
    check_edges(store)


def check_edges(store: Store) -> None:
    """An edge is satisfied exactly while its parent is JOB_FINISHED; unmet_parents counts the others."""
    with store.database.read() as tx:
        states = dict(tx.execute(select(jobs.c.job_id, jobs.c.state)).all())
        unmet = dict(tx.execute(select(jobs.c.job_id, jobs.c.unmet_parents)).all())
        counted = dict.fromkeys(unmet, 0)
        for edge in tx.execute(select(dependencies)):
            assert edge.satisfied == (states[edge.parent_id] == "JOB_FINISHED")
            counted[edge.child_id] += not edge.satisfied
    assert unmet == counted


def test_a_child_waits_until_its_last_parent_finished(store: Store) -> None:
    one, two = put(store), put(store)
    child = put(store, parents=(one, two))
    store.advance()
    assert (state_of(store, child), store.job(child).unmet_parents) == (State.AWAITING_PARENTS, 2)
    move(store, one, State.JOB_FINISHED)
    assert (state_of(store, child), store.job(child).unmet_parents) == (State.AWAITING_PARENTS, 1)
    move(store, two, State.JOB_FINISHED)
    assert state_of(store, child) is State.READY
    assert events_of(store, child)[-2:] == [
        ("CREATED", "AWAITING_PARENTS", ""),
        ("AWAITING_PARENTS", "READY", ""),
    ]


def test_a_run_of_the_parent_releases_the_child_in_the_same_transaction(store: Store) -> None:
    parent = put(store, State.PREPROCESSED)
    child = put(store, parents=(parent,))
    store.advance()
    launcher = make_launcher(store)
    (job,) = claim(store, launcher)
    start(store, launcher, job)
    finish(store, launcher, job)
    assert state_of(store, child) is State.READY


def test_parents_that_finished_before_count_as_met_at_once(store: Store) -> None:
    parent = put(store, State.JOB_FINISHED)
    child = put(store, parents=(parent, parent), input_files="")
    store.advance()
    assert (state_of(store, child), store.parents(child)) == (State.PREPROCESSED, [parent])


def test_jobs_added_together_may_name_each_other_in_any_order(store: Store) -> None:
    parent = make_spec("parent")
    child = make_spec("child", parents=(parent.job_id,))
    store.add_jobs([child, parent])
    assert store.children(parent.job_id) == [child.job_id]


def test_a_parent_that_runs_again_is_waited_for_again(store: Store) -> None:
    parent, other = put(store, State.JOB_FINISHED), put(store)
    child = put(store, parents=(parent, other))
    store.advance()
    move(store, parent, State.RESTART_READY)
    assert store.job(child).unmet_parents == 2
    move(store, other, State.JOB_FINISHED)
    assert state_of(store, child) is State.AWAITING_PARENTS
    move(store, parent, State.JOB_FINISHED)
    assert state_of(store, child) is State.READY


def test_a_parent_that_finishes_twice_is_counted_once(store: Store) -> None:
    parent, other = put(store), put(store)
    child = put(store, parents=(parent, other))
    store.advance()
    move(store, parent, State.JOB_FINISHED)
    move(store, parent, State.JOB_FINISHED)
    assert store.job(child).unmet_parents == 1
    assert state_of(store, child) is State.AWAITING_PARENTS


@pytest.mark.parametrize("end", [State.FAILED, State.USER_KILLED])
def test_a_broken_parent_fails_its_waiting_children_and_theirs_by_name(store: Store, end: State) -> None:
    parent = put(store, name="mother")
    child = put(store, name="daughter", parents=(parent,))
    grandchild = put(store, name="granddaughter", parents=(child,))
    store.advance()
    move(store, parent, end)
    assert events_of(store, child)[-1] == (
        "AWAITING_PARENTS",
        "FAILED",
        f"its parent mother [{str(parent)[:8]}] is {end}",
    )
    assert events_of(store, grandchild)[-1] == (
        "AWAITING_PARENTS",
        "FAILED",
        f"its parent daughter [{str(child)[:8]}] is FAILED",
    )


def test_a_job_added_to_a_broken_parent_fails_at_the_next_advance(store: Store) -> None:
    child = put(store, parents=(put(store, State.FAILED, "mother"),))
    store.advance()
    assert events_of(store, child)[-1][1:2] == ("FAILED",)


def test_a_deleted_parent_fails_its_waiting_children_by_name(store: Store) -> None:
    parent = put(store, name="mother")
    child = put(store, parents=(parent,))
    store.delete_jobs([parent])
    assert events_of(store, child)[-1] == ("CREATED", "FAILED", f"its parent mother [{str(parent)[:8]}] was deleted")
    assert store.parents(child) == []


def test_a_finished_parent_may_be_deleted_without_harm(store: Store) -> None:
    done, open_ = put(store, State.JOB_FINISHED), put(store)
    child = put(store, parents=(done, open_))
    store.advance()
    store.delete_jobs([done])
    assert state_of(store, child) is State.AWAITING_PARENTS
    move(store, open_, State.JOB_FINISHED)
    assert state_of(store, child) is State.READY


def test_a_chain_of_a_thousand_fails_to_its_end(store: Store) -> None:
    specs = [make_spec("j0")]
    for place in range(1, 1000):
        specs.append(make_spec(f"j{place}", parents=(specs[-1].job_id,)))
    store.add_jobs(specs)
    move(store, specs[0].job_id, State.FAILED)
    assert store.count_by_state() == {State.FAILED: 1000}


def test_a_parent_of_thousands_releases_and_fails_them_all(store: Store) -> None:
    good, bad = put(store), put(store)
    store.add_jobs([make_spec(f"g{place}", parents=(good,)) for place in range(1200)])
    store.add_jobs([make_spec(f"b{place}", parents=(bad,)) for place in range(1200)])
    store.advance()
    move(store, good, State.JOB_FINISHED)
    move(store, bad, State.FAILED)
    assert store.count_by_state()[State.READY] == 1200
    assert store.count_by_state()[State.FAILED] == 1201


def test_children_that_have_started_do_not_fail_with_their_parent(store: Store) -> None:
    parent = put(store, State.JOB_FINISHED)
    child = put(store, State.RUNNING, parents=(parent,))
    move(store, parent, State.FAILED)
    assert state_of(store, child) is State.RUNNING


def test_a_job_that_does_not_wait_for_its_parents_goes_on_and_does_not_fail_with_them(store: Store) -> None:
    parent = put(store)
    child = put(store, parents=(parent,), wait_for_parents=False, input_files="")
    move(store, parent, State.FAILED)
    store.advance()
    assert state_of(store, child) is State.PREPROCESSED


def test_a_job_told_not_to_wait_any_longer_goes_on(store: Store) -> None:
    child = put(store, parents=(put(store),))
    store.advance()
    store.change_jobs(only(child), {"wait_for_parents": False})
    assert state_of(store, child) is State.READY


def test_a_job_told_to_wait_after_all_waits(store: Store) -> None:
    child = put(store, parents=(put(store),), wait_for_parents=False, input_files="")
    store.advance()
    assert state_of(store, child) is State.PREPROCESSED
    store.change_jobs(only(child), {"wait_for_parents": True})
    assert state_of(store, child) is State.AWAITING_PARENTS


def test_a_job_sent_back_to_wait_by_hand_is_settled_at_once(store: Store) -> None:
    free = put(store)
    doomed = put(store, State.RUN_ERROR, parents=(put(store, State.FAILED),))
    waiting = put(store, State.READY, parents=(put(store),))
    for job_id in (free, doomed, waiting):
        move(store, job_id, State.AWAITING_PARENTS)
    assert [state_of(store, job_id) for job_id in (free, doomed, waiting)] == [
        State.READY,
        State.FAILED,
        State.AWAITING_PARENTS,
    ]


# --- edges added later


def test_an_edge_added_to_a_job_that_waits_is_seen_before_it_is_released(store: Store) -> None:
    first, second = put(store, State.RUN_DONE), put(store)
    child = put(store, parents=(first,))
    move(store, child, State.AWAITING_PARENTS)
    store.add_dependency(second, child)
    move(store, first, State.JOB_FINISHED)
    assert state_of(store, child) is State.AWAITING_PARENTS
    move(store, second, State.JOB_FINISHED)
    assert state_of(store, child) is State.READY


@pytest.mark.parametrize("state", [State.READY, State.STAGED_IN, State.PREPROCESSED])
def test_a_job_that_was_free_to_go_waits_again_for_a_new_parent(store: Store, state: State) -> None:
    parent, child = put(store), put(store, state)
    store.add_dependency(parent, child)
    assert events_of(store, child)[-1] == (state.value, "AWAITING_PARENTS", "by hand: was given another parent")


def test_a_job_that_was_claimed_but_not_started_waits_again_for_a_new_parent(store: Store) -> None:
    parent, child = put(store), put(store, State.PREPROCESSED)
    launcher = make_launcher(store)
    (job,) = claim(store, launcher)
    store.add_dependency(parent, child)
    assert start(store, launcher, job) == {child}
    assert state_of(store, child) is State.AWAITING_PARENTS


@pytest.mark.parametrize("state", [State.RUNNING, State.RUN_DONE, State.JOB_FINISHED, State.FAILED])
def test_a_job_that_has_started_is_not_held_up_by_a_new_parent(store: Store, state: State) -> None:
    parent, child = put(store), put(store, state)
    store.add_dependency(parent, child)
    assert (state_of(store, child), store.parents(child)) == (state, [parent])


def test_a_waiting_job_given_a_broken_parent_fails(store: Store) -> None:
    child = put(store)
    store.add_dependency(put(store, State.FAILED), child)
    assert state_of(store, child) is State.FAILED


def test_a_new_parent_that_has_finished_holds_nothing_up(store: Store) -> None:
    parent, child = put(store, State.JOB_FINISHED), put(store, State.READY)
    store.add_dependency(parent, child)
    assert (state_of(store, child), store.job(child).unmet_parents) == (State.READY, 0)


def test_children_of_a_rescued_job_wait_for_the_rescue(store: Store) -> None:
    broken = put(store, State.RUN_ERROR)
    child = put(store, parents=(broken,))
    move(store, child, State.AWAITING_PARENTS)
    rescue = put(store, parents=(broken,))
    store.set_parents(rescue, [])
    store.set_parents(child, [rescue])
    move(store, broken, State.FAILED)
    assert (state_of(store, child), store.parents(child)) == (State.AWAITING_PARENTS, [rescue])
    move(store, rescue, State.JOB_FINISHED)
    assert state_of(store, child) is State.READY


def test_a_waiting_job_that_loses_all_its_parents_goes_on(store: Store) -> None:
    child = put(store, parents=(put(store),))
    store.advance()
    store.set_parents(child, [])
    assert state_of(store, child) is State.READY


# --- what is refused


def test_circles_are_refused_in_every_way_and_change_nothing(store: Store) -> None:
    first, second = make_spec("first"), make_spec("second")
    looped = [
        first.model_copy(update={"parents": (second.job_id,)}),
        second.model_copy(update={"parents": (first.job_id,)}),
    ]
    with pytest.raises(CircularDependency, match="Detected circular dependency"):
        store.add_jobs(looped)
    assert store.jobs() == []
    selfish = make_spec()
    with pytest.raises(CircularDependency):
        store.add_jobs([selfish.model_copy(update={"parents": (selfish.job_id,)})])

    a = put(store)
    b = put(store, parents=(a,))
    c = put(store, parents=(b,))
    for parent, child in ((c, a), (b, a), (a, a)):
        with pytest.raises(CircularDependency, match="Detected circular dependency"):
            store.add_dependency(parent, child)
        with pytest.raises(CircularDependency):
            store.set_parents(child, [parent])
    assert store.parents_of([a, b, c]) == {b: [a], c: [b]}


def test_unknown_jobs_are_refused_by_name(store: Store) -> None:
    known, unknown = put(store), uuid4()
    with pytest.raises(JobNotFound, match=rf"no job has the id {unknown} \(a parent of \[lonely"):
        store.add_jobs([make_spec("lonely", parents=(unknown,))])
    for act in (store.add_dependency, lambda parent, child: store.set_parents(child, [parent])):
        with pytest.raises(JobNotFound, match=str(unknown)):
            act(unknown, known)
        with pytest.raises(JobNotFound, match=str(unknown)):
            act(known, unknown)


def test_the_same_edge_twice_is_refused(store: Store) -> None:
    parent = put(store)
    child = put(store, parents=(parent,))
    with pytest.raises(JobSpecError, match="already depends on"):
        store.add_dependency(parent, child)
