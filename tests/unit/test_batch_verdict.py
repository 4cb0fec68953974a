"""What becomes of our record of a batch job, for each thing that may be known of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balsam_core.batch.verdict import Answer, judge, needs_history
from balsam_core.models.batch import BatchJob, Change, LaunchState, Pilot
from balsam_core.plugins import BatchState, BatchStatus
from tests.batching import dead_pilot, ended_pilot, live_pilot, make_batch_job

Q, R, E, C, LOST = (LaunchState[word] for word in ("QUEUED", "RUNNING", "ENDED", "CANCELLED", "LOST"))
NOW = 5000.0


def _status(state: BatchState | None) -> BatchStatus | None:
    return None if state is None else BatchStatus(state, state.value.lower(), reason="Priority")


def answer(state: BatchState | None = None, past: BatchState | None = None, clock: float = 1000.0) -> Answer:
    return Answer(_status(state), _status(past), clock, patience_seconds=90.0)


def verdict(job: BatchJob, given: Answer) -> Change:
    return judge(job, given, NOW)


@pytest.mark.parametrize(
    ("state", "word", "pilot", "new"),
    [
        (Q, BatchState.QUEUED, None, Q),
        (Q, BatchState.HELD, None, Q),
        (Q, BatchState.STARTING, None, R),
        (Q, BatchState.RUNNING, None, R),
        (R, BatchState.SUSPENDED, None, R),
        (R, BatchState.ENDING, None, R),
        (R, BatchState.QUEUED, None, Q),  # requeued after a node failed
        (R, BatchState.UNKNOWN, None, R),
        (Q, BatchState.UNKNOWN, None, Q),
        (R, BatchState.DONE, None, E),
        (R, BatchState.FAILED, None, E),
        (R, BatchState.TIMEOUT, None, E),
        (R, BatchState.PREEMPTED, None, E),
        (Q, BatchState.CANCELLED, None, C),
        (Q, BatchState.QUEUED, live_pilot(), R),
        (R, BatchState.DONE, live_pilot(), R),
        (R, BatchState.RUNNING, ended_pilot(), R),
        (R, BatchState.DONE, ended_pilot(), E),
    ],
)
def test_the_scheduler_s_word_moves_the_record_unless_the_launcher_lives(
    state: LaunchState, word: BatchState, pilot: Pilot | None, new: LaunchState
) -> None:
    change = verdict(make_batch_job(state, pilot=pilot, absent_since=900.0), answer(word))
    assert (change.old, change.new) == (state, new)
    assert (change.values["seen_at"], change.values["absent_since"]) == (NOW, None)
    assert (change.values["batch_state"], change.values["raw_state"]) == (word.value, word.value.lower())


@pytest.mark.parametrize(
    ("fields", "given", "new"),
    [
        ({}, answer(), Q),
        ({"absent_since": 911.0}, answer(), Q),
        ({"absent_since": 910.0}, answer(), LOST),
        ({"absent_since": 910.0, "pilot": dead_pilot()}, answer(), LOST),
        ({"absent_since": 950.0, "pilot": dead_pilot()}, answer(), Q),
        ({"absent_since": 1.0, "pilot": live_pilot()}, answer(), R),
        ({"absent_since": 2000.0}, answer(), Q),  # counted on the clock of an earlier boot
        ({"pilot": ended_pilot()}, answer(), E),
        ({"cancelled": True}, answer(), C),
        ({"cancelled": True, "pilot": live_pilot()}, answer(), R),
        ({"absent_since": 1.0}, answer(past=BatchState.FAILED), E),
        ({"cancelled": True}, answer(past=BatchState.DONE), C),
        ({"absent_since": 950.0}, answer(past=BatchState.RUNNING), Q),
        ({"absent_since": 950.0}, answer(past=BatchState.CANCELLED), C),
    ],
)
def test_an_absent_batch_job_is_left_alone_until_something_is_known(
    fields: dict[str, Any], given: Answer, new: LaunchState
) -> None:
    assert verdict(make_batch_job(**fields), given).new is new


def test_an_absence_is_counted_from_the_first_answer_without_it() -> None:
    assert verdict(make_batch_job(), answer()).values == {"absent_since": 1000.0}
    assert verdict(make_batch_job(absent_since=980.0), answer()).values == {"absent_since": 980.0}
    assert verdict(make_batch_job(absent_since=980.0), answer(BatchState.QUEUED)).values["absent_since"] is None


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, False),
        ({"absent_since": 971.0}, False),
        ({"absent_since": 970.0}, True),
        ({"cancelled": True}, True),
        ({"pilot": ended_pilot()}, True),
        ({"pilot": live_pilot()}, False),
    ],
)
def test_history_is_asked_after_the_grace_or_when_it_is_known_to_be_over(fields: dict[str, Any], asked: bool) -> None:
    assert needs_history(make_batch_job(**fields), clock=1000.0, grace_seconds=30.0) is asked


_PILOTS = st.sampled_from([None, live_pilot(), ended_pilot(), dead_pilot()])
_JOBS = st.builds(
    make_batch_job,
    st.sampled_from([LaunchState.SUBMITTING, Q, R]),
    pilot=_PILOTS,
    absent_since=st.none() | st.floats(0, 2000),
    cancelled=st.booleans(),
)
_WORDS = st.none() | st.sampled_from(BatchState)


@given(_JOBS, _WORDS, _WORDS)
def test_nothing_is_inferred_from_silence_alone(
    job: BatchJob, word: BatchState | None, past: BatchState | None
) -> None:
    change = verdict(job, answer(word, past))
    if job.pilot is not None and job.pilot.live:
        assert change.new is R
    if change.new is LOST:
        assert word is None
        assert job.absent_since is not None
        assert 1000.0 - job.absent_since >= 90.0
    if change.new is C:
        assert BatchState.CANCELLED in (word, past) or job.cancelled
    if change.new is not change.old:
        assert change.message
