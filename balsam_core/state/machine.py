"""The states of a job, their groups, and the one table of moves between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from balsam_core.errors import InvalidState, suggestion


class State(str, Enum):
    """Where a job stands; the words are Balsam's."""

    CREATED = "CREATED"
    AWAITING_PARENTS = "AWAITING_PARENTS"
    READY = "READY"
    STAGED_IN = "STAGED_IN"
    PREPROCESSED = "PREPROCESSED"
    RUNNING = "RUNNING"
    RUN_DONE = "RUN_DONE"
    POSTPROCESSED = "POSTPROCESSED"
    JOB_FINISHED = "JOB_FINISHED"
    RUN_TIMEOUT = "RUN_TIMEOUT"
    RUN_ERROR = "RUN_ERROR"
    RESTART_READY = "RESTART_READY"
    FAILED = "FAILED"
    USER_KILLED = "USER_KILLED"

    def __str__(self) -> str:
        return self.value


S = State

ACTIVE = frozenset({S.RUNNING})
RUNNABLE = frozenset({S.PREPROCESSED, S.RESTART_READY})
END = frozenset({S.JOB_FINISHED, S.FAILED, S.USER_KILLED})
PROCESSABLE = frozenset(State) - ACTIVE - RUNNABLE - END

# A parent in one of these will never finish by itself.
BROKEN = frozenset({S.FAILED, S.USER_KILLED})

# Moves that the program makes by itself. Every state but the ends may also become USER_KILLED.
AUTOMATIC: Mapping[State, frozenset[State]] = {
    S.CREATED: frozenset({S.READY, S.AWAITING_PARENTS, S.FAILED}),
    S.AWAITING_PARENTS: frozenset({S.READY, S.FAILED}),
    S.READY: frozenset({S.STAGED_IN, S.FAILED}),
    S.STAGED_IN: frozenset({S.PREPROCESSED, S.FAILED}),
    S.PREPROCESSED: frozenset({S.RUNNING}),
    S.RESTART_READY: frozenset({S.RUNNING}),
    S.RUNNING: frozenset({S.RUN_DONE, S.RUN_ERROR, S.RUN_TIMEOUT, S.RESTART_READY}),
    S.RUN_DONE: frozenset({S.POSTPROCESSED, S.FAILED}),
    S.RUN_TIMEOUT: frozenset({S.RESTART_READY, S.FAILED}),
    S.RUN_ERROR: frozenset({S.FAILED, S.RESTART_READY}),
    S.POSTPROCESSED: frozenset({S.JOB_FINISHED, S.FAILED}),
    S.JOB_FINISHED: frozenset(),
    S.FAILED: frozenset(),
    S.USER_KILLED: frozenset(),
}

# A job with nothing to do in one of these does not stop there, and its history does not show it.
PASSED_THROUGH = frozenset({S.READY, S.STAGED_IN, S.POSTPROCESSED})


def may_move(origin: State, target: State) -> bool:
    """Whether the program may move a job so by itself, passing through states where nothing is to be done."""
    if target is S.USER_KILLED:
        return origin not in END
    return target in _reachable(origin)


def check_by_hand(origin: State, target: State) -> None:
    """A user may move a job from any state to any, but never out of USER_KILLED.

    Raises InvalidState.
    """
    if origin is S.USER_KILLED and target is not S.USER_KILLED:
        raise InvalidState(f"a job that is USER_KILLED stays so and cannot become {target}; add it anew")


def parse_state(word: str) -> State:
    """The state of that name; raises InvalidState with the nearest one."""
    try:
        return State(word.strip().upper())
    except ValueError:
        raise InvalidState(f"no state named {word!r}; {suggestion(word.upper(), State)}") from None


def origins(target: State) -> frozenset[State]:
    """The states out of which the program may move a job to `target`."""
    return _ORIGINS[target]


def _reachable(origin: State) -> Iterator[State]:
    for target in AUTOMATIC[origin]:
        yield target
        if target in PASSED_THROUGH:
            yield from _reachable(target)


_ORIGINS = {target: frozenset(origin for origin in State if may_move(origin, target)) for target in State}
