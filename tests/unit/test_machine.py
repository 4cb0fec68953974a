"""The states, their groups, and the table of moves."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from balsam_core.errors import InvalidState
from balsam_core.state.machine import (
    ACTIVE,
    AUTOMATIC,
    END,
    PASSED_THROUGH,
    PROCESSABLE,
    RUNNABLE,
    State,
    check_by_hand,
    may_move,
    origins,
    parse_state,
)

# The table of Balsam's behaviour, written out once more: from, and all that may follow without a state between.
BALSAM = {
    "CREATED": "READY AWAITING_PARENTS FAILED USER_KILLED",
    "AWAITING_PARENTS": "READY FAILED USER_KILLED",
    "READY": "STAGED_IN FAILED USER_KILLED",
    "STAGED_IN": "PREPROCESSED FAILED USER_KILLED",
    "PREPROCESSED": "RUNNING USER_KILLED",
    "RUNNING": "RUN_DONE RUN_ERROR RUN_TIMEOUT RESTART_READY USER_KILLED",
    "RUN_DONE": "POSTPROCESSED FAILED USER_KILLED",
    "POSTPROCESSED": "JOB_FINISHED FAILED USER_KILLED",
    "RUN_TIMEOUT": "RESTART_READY FAILED USER_KILLED",
    "RUN_ERROR": "FAILED RESTART_READY USER_KILLED",
    "RESTART_READY": "RUNNING USER_KILLED",
    "JOB_FINISHED": "",
    "FAILED": "",
    "USER_KILLED": "",
}


def test_the_states_are_balsams_fourteen() -> None:
    assert [state.value for state in State] == [
        "CREATED",
        "AWAITING_PARENTS",
        "READY",
        "STAGED_IN",
        "PREPROCESSED",
        "RUNNING",
        "RUN_DONE",
        "POSTPROCESSED",
        "JOB_FINISHED",
        "RUN_TIMEOUT",
        "RUN_ERROR",
        "RESTART_READY",
        "FAILED",
        "USER_KILLED",
    ]


def test_the_groups_are_disjoint_and_complete() -> None:
    groups = [ACTIVE, RUNNABLE, END, PROCESSABLE]
    assert sum(map(len, groups)) == len(State)
    assert frozenset().union(*groups) == frozenset(State)


def test_the_table_has_a_line_for_each_state() -> None:
    assert set(AUTOMATIC) == set(State)


@pytest.mark.parametrize("origin", State)
def test_the_direct_moves_are_those_of_balsam(origin: State) -> None:
    direct = AUTOMATIC[origin] | ({State.USER_KILLED} if may_move(origin, State.USER_KILLED) else set())
    assert {state.value for state in direct} == set(BALSAM[origin.value].split())


@pytest.mark.parametrize(("origin", "target"), list(product(State, State)))
def test_a_move_is_allowed_when_the_states_between_are_only_passed_through(origin: State, target: State) -> None:
    def reachable(state: State) -> set[str]:
        following = set(BALSAM[state.value].split())
        for word in list(following):
            if State(word) in PASSED_THROUGH:
                following |= reachable(State(word))
        return following

    assert may_move(origin, target) == (target.value in reachable(origin))


def test_a_plain_job_needs_three_moves_besides_its_run() -> None:
    path = [State.CREATED, State.PREPROCESSED, State.RUNNING, State.RUN_DONE, State.JOB_FINISHED]
    assert all(may_move(origin, target) for origin, target in pairwise(path))


@pytest.mark.parametrize("target", State)
def test_origins_is_the_table_read_backwards(target: State) -> None:
    assert origins(target) == {origin for origin in State if may_move(origin, target)}


@pytest.mark.parametrize(("origin", "target"), list(product(State, State)))
def test_by_hand_every_move_is_allowed_but_out_of_user_killed(origin: State, target: State) -> None:
    if origin is State.USER_KILLED and target is not State.USER_KILLED:
        with pytest.raises(InvalidState, match="a job that is USER_KILLED stays so"):
            check_by_hand(origin, target)
    else:
        check_by_hand(origin, target)


def test_a_state_is_read_in_any_case_and_a_wrong_word_is_told_the_nearest() -> None:
    assert parse_state(" run_done ") is State.RUN_DONE
    with pytest.raises(InvalidState, match=r"no state named 'finished'"):
        parse_state("finished")
    with pytest.raises(InvalidState, match=r"no state named 'RUN_DON'; did you mean 'RUN_DONE'\?"):
        parse_state("RUN_DON")
