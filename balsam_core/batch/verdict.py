"""What became of a batch job: a pure judgement of all that is known. Nothing is inferred from silence alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from balsam_core.models.batch import BatchJob, Change, Evidence, LaunchState
from balsam_core.plugins.contracts import BatchState, BatchStatus

_RUNNING = frozenset({BatchState.STARTING, BatchState.RUNNING, BatchState.SUSPENDED, BatchState.ENDING})
_WAITING = frozenset({BatchState.QUEUED, BatchState.HELD})
_OVER = frozenset({BatchState.DONE, BatchState.FAILED, BatchState.TIMEOUT, BatchState.PREEMPTED, BatchState.CANCELLED})


@dataclass(frozen=True)
class Answer:
    """What a scheduler has said of one batch job, now and of its past; clock: of the leases, when it did.

    patience_seconds: how long a batch job may be absent before it counts as lost.
    """

    status: BatchStatus | None
    history: BatchStatus | None
    clock: float
    patience_seconds: float
    evidence: Evidence | None = None


def needs_history(job: BatchJob, clock: float, grace_seconds: float) -> bool:
    """Whether to ask how an absent batch job ended: a new one is left alone, unless we know that it is over."""
    is_over = job.cancelled or (job.pilot is not None and not job.pilot.live)
    return is_over or _absent_seconds(job, clock) >= grace_seconds


def judge(job: BatchJob, answer: Answer, now: float) -> Change:
    """The change of our record that the answer makes; one that keeps the state only updates what is known.

    The launcher's own record beats the queue: while its lease lives, the batch job runs, whatever a listing says.
    """
    status = answer.status
    if status is None:
        return _absent(job, answer)
    values = _facts(status) | {"seen_at": now, "absent_since": None}
    return _change(job, _state_of(job, status), _told(status), values, answer)


def is_over(status: BatchStatus) -> bool:
    """Whether the scheduler is done with the batch job."""
    return status.state in _OVER


def _state_of(job: BatchJob, status: BatchStatus) -> LaunchState:
    if job.pilot is not None and job.pilot.live:
        return LaunchState.RUNNING
    # A launcher that was told to end does so in order: to the scheduler that may look like any other end.
    if status.state is BatchState.CANCELLED or (job.cancelled and status.state in _OVER):
        return LaunchState.CANCELLED
    if status.state in _OVER:
        return LaunchState.ENDED
    if status.state in _RUNNING:
        return LaunchState.RUNNING
    if status.state in _WAITING:
        return LaunchState.QUEUED
    # A word that nobody knows changes nothing, except that a batch job that has an id is in the queue.
    return LaunchState.QUEUED if job.state is LaunchState.SUBMITTING else job.state


def _absent(job: BatchJob, answer: Answer) -> Change:
    pilot, history = job.pilot, answer.history
    if pilot is not None and pilot.live:
        return _change(job, LaunchState.RUNNING, "its launcher is at work", {"absent_since": None}, answer)
    if history is not None and is_over(history):
        return _change(job, _state_of(job, history), _told(history), _facts(history), answer)
    since = _since(job, answer.clock)
    gone: Mapping[str, Any] = {"seconds_left": None}
    if job.cancelled:
        return _change(job, LaunchState.CANCELLED, "cancelled, and gone from the queue", gone, answer)
    if pilot is not None and pilot.in_order:
        return _change(job, LaunchState.ENDED, f"its launcher ended: {pilot.reason}", gone, answer)
    if answer.clock - since >= answer.patience_seconds:
        what = "its launcher fell silent" if pilot else "no launcher of it was ever heard of"
        return _change(job, LaunchState.LOST, f"the scheduler does not know it any more, and {what}", gone, answer)
    return _change(job, job.state, "", {"absent_since": since}, answer)


def _change(job: BatchJob, new: LaunchState, message: str, values: Mapping[str, Any], answer: Answer) -> Change:
    reason = {"reason": message} if new is not job.state and "reason" not in values else {}
    return Change(job.launch_id, job.state, new, message, {**values, **reason}, answer.evidence)


def _facts(status: BatchStatus) -> dict[str, Any]:
    return {
        "batch_state": status.state.value,
        "raw_state": status.raw_state,
        "reason": status.reason,
        "exit_code": status.exit_code,
        "seconds_left": status.seconds_left,
    }


def _told(status: BatchStatus) -> str:
    """The scheduler's words, for the history."""
    code = "" if status.exit_code is None else f", exit code {status.exit_code}"
    reason = f": {status.reason}" if status.reason else ""
    return f"the scheduler says {status.raw_state}{code}{reason}"


def _absent_seconds(job: BatchJob, clock: float) -> float:
    return clock - _since(job, clock)


def _since(job: BatchJob, clock: float) -> float:
    """Since when it is absent; a clock that stands before that belongs to another boot, and counting begins anew."""
    return clock if job.absent_since is None or job.absent_since > clock else job.absent_since
