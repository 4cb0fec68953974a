"""What the attributes of a job of PBS say of its state: qstat(1B), and the job states of the PBS reference guide."""

from __future__ import annotations

import re
from collections.abc import Mapping

from balsam_core.plugins import BatchState, BatchStatus

# W waits for its start time, T is moved between queues, B is an array that has begun, U waits for a user at the host.
_STATES = {
    "Q": BatchState.QUEUED,
    "W": BatchState.QUEUED,
    "T": BatchState.QUEUED,
    "H": BatchState.HELD,
    "R": BatchState.RUNNING,
    "B": BatchState.RUNNING,
    "S": BatchState.SUSPENDED,
    "U": BatchState.SUSPENDED,
    "E": BatchState.ENDING,
}
# F is a finished job, X a finished part of an array.
_ENDED = ("F", "X")
_HAS_NODES = (BatchState.RUNNING, BatchState.SUSPENDED, BatchState.ENDING)
_KILLED_AT_WALLTIME = -29
# 256 and the signal: qdel sends SIGTERM.
_KILLED_BY_SIGTERM = 271
_SUBSTATE_TERMINATED = "91"
_WHOLE = re.compile(r"-?\d{1,9}\Z")
_CLOCK = re.compile(r"(?:(\d{1,6})-)?(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,9})(?:\.\d+)?\Z")


def status_of(job: Mapping[str, str]) -> BatchStatus:
    """The status of a job, by its attributes as `qstat -f` names them."""
    word = job["job_state"]
    state = _ended(job) if word in _ENDED else _STATES.get(word, BatchState.UNKNOWN)
    return BatchStatus(
        state,
        raw_state=word,
        name=job.get("Job_Name"),
        reason=_reason(job, ended=word in _ENDED),
        exit_code=_number(job.get("Exit_status")),
        seconds_left=_seconds_left(job) if state in _HAS_NODES and word != "B" else None,
        queue=job.get("queue"),
        nodes=_number(job.get("Resource_List.nodect")),
    )


def seconds(text: str | None) -> float | None:
    """The seconds in `HH:MM:SS`, `MM:SS`, `SS` or `D-HH:MM:SS`; None: no such time, as in `UNLIMITED`."""
    match = _CLOCK.match(text or "")
    if match is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + rest)


def _ended(job: Mapping[str, str]) -> BatchState:
    """Of a launcher that was told to end the exit status is 0: the comment and the substate tell more."""
    code, comment = _number(job.get("Exit_status")), job.get("comment", "").lower()
    if code == _KILLED_AT_WALLTIME or "exceeded resource walltime" in comment:
        return BatchState.TIMEOUT
    if "preempt" in comment:
        return BatchState.PREEMPTED
    if code is None and "dependency" in comment:
        return BatchState.FAILED
    if code == _KILLED_BY_SIGTERM or "terminated" in comment or job.get("substate") == _SUBSTATE_TERMINATED:
        return BatchState.CANCELLED
    return BatchState.DONE if code == 0 else BatchState.FAILED


def _reason(job: Mapping[str, str], ended: bool) -> str:
    comment = " ".join(job.get("comment", "").split())
    if comment or not ended or "Exit_status" in job:
        return comment
    depend = job.get("depend")
    return f"it never ran; it depended on {depend}" if depend else "it ended without an exit status"


def _seconds_left(job: Mapping[str, str]) -> float | None:
    limit = seconds(job.get("Resource_List.walltime"))
    return None if limit is None else max(limit - (seconds(job.get("resources_used.walltime")) or 0.0), 0.0)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _WHOLE.match(text) else None
