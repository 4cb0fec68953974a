"""What becomes of a job when an attempt ends, as a table."""

from __future__ import annotations

from itertools import pairwise

import pytest

from balsam_core.state.machine import State, may_move
from balsam_core.state.outcomes import End, RetryPolicy, Wishes, after_run

PLAIN = Wishes()
SCRIPT = Wishes(postprocess=True)
CODES = RetryPolicy(retry_codes=frozenset({1, None}), max_retries=2)


@pytest.mark.parametrize(
    ("end", "wishes", "policy", "exit_code", "states", "rerun"),
    [
        (End.DONE, PLAIN, RetryPolicy(), 0, "RUN_DONE JOB_FINISHED", False),
        (End.DONE, Wishes(stage_out=True), RetryPolicy(), 0, "RUN_DONE POSTPROCESSED", False),
        (End.DONE, SCRIPT, RetryPolicy(), 0, "RUN_DONE", False),
        (End.DONE, Wishes(postprocess=True, stage_out=True), RetryPolicy(), 0, "RUN_DONE", False),
        (End.ERROR, PLAIN, RetryPolicy(), 1, "RUN_ERROR FAILED", False),
        (End.ERROR, SCRIPT, RetryPolicy(), 1, "RUN_ERROR FAILED", False),
        (End.ERROR, Wishes(post_error_handler=True), RetryPolicy(), 1, "RUN_ERROR FAILED", False),
        (End.ERROR, Wishes(postprocess=True, post_error_handler=True), RetryPolicy(), 1, "RUN_ERROR", False),
        # A retry code comes before the handler, within the limit of the site or of the job.
        (End.ERROR, PLAIN, CODES, 1, "RUN_ERROR RESTART_READY", True),
        (End.ERROR, PLAIN, CODES, None, "RUN_ERROR RESTART_READY", True),
        (End.ERROR, PLAIN, CODES, 2, "RUN_ERROR FAILED", False),
        (End.ERROR, Wishes(retries=2), CODES, 1, "RUN_ERROR FAILED", False),
        (End.ERROR, Wishes(retries=2, max_retries=3), CODES, 1, "RUN_ERROR RESTART_READY", True),
        (End.ERROR, Wishes(max_retries=0), CODES, 1, "RUN_ERROR FAILED", False),
        (End.ERROR, Wishes(postprocess=True, post_error_handler=True), CODES, 1, "RUN_ERROR RESTART_READY", True),
        # The launcher stopped it: no fault of the job, no limit.
        (End.STOPPED, PLAIN, RetryPolicy(), None, "RUN_TIMEOUT RESTART_READY", False),
        (End.STOPPED, Wishes(retries=99), RetryPolicy(), None, "RUN_TIMEOUT RESTART_READY", False),
        (End.STOPPED, Wishes(auto_timeout_retry=False), RetryPolicy(), None, "RUN_TIMEOUT FAILED", False),
        (End.STOPPED, Wishes(post_timeout_handler=True), RetryPolicy(), None, "RUN_TIMEOUT FAILED", False),
        (End.STOPPED, Wishes(postprocess=True, post_timeout_handler=True), RetryPolicy(), None, "RUN_TIMEOUT", False),
        # Its own timeout_seconds: three reruns unless the job says otherwise.
        (End.TIMED_OUT, PLAIN, RetryPolicy(), None, "RUN_TIMEOUT RESTART_READY", True),
        (End.TIMED_OUT, Wishes(retries=3), RetryPolicy(), None, "RUN_TIMEOUT FAILED", False),
        (End.TIMED_OUT, Wishes(retries=3, max_retries=4), RetryPolicy(), None, "RUN_TIMEOUT RESTART_READY", True),
        (End.TIMED_OUT, Wishes(max_retries=0), RetryPolicy(), None, "RUN_TIMEOUT FAILED", False),
        (End.TIMED_OUT, Wishes(auto_timeout_retry=False), RetryPolicy(), None, "RUN_TIMEOUT FAILED", False),
        (End.LOST, PLAIN, RetryPolicy(), None, "RESTART_READY", False),
        (End.LOST, Wishes(auto_timeout_retry=False), RetryPolicy(), None, "RESTART_READY", False),
    ],
)
def test_an_end_leads_to(
    end: End, wishes: Wishes, policy: RetryPolicy, exit_code: int | None, states: str, rerun: bool
) -> None:
    steps, reran = after_run(end, wishes, policy, exit_code=exit_code, seconds=1.0, message="tail")
    assert [step.state.value for step in steps] == states.split()
    assert reran is rerun
    assert steps[0].message == "tail"
    path = [State.RUNNING, *(step.state for step in steps)]
    assert all(may_move(origin, target) for origin, target in pairwise(path))


def test_an_error_after_the_window_is_not_rerun() -> None:
    steps, reran = after_run(End.ERROR, PLAIN, CODES, exit_code=1, seconds=20.1, message="")
    assert (steps[-1].state, reran) == (State.FAILED, False)


def test_a_handler_without_a_script_is_told() -> None:
    for end, wishes, word in (
        (End.ERROR, Wishes(post_error_handler=True), "error"),
        (End.TIMED_OUT, Wishes(post_timeout_handler=True), "timeout"),
    ):
        steps, _ = after_run(end, wishes, RetryPolicy(), exit_code=1, seconds=1.0, message="")
        assert steps[-1].message == f"its {word} handler is asked for, but it has no postprocess script"
