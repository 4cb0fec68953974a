"""The older path of `balsam.core.models`, with the names that Balsam 0.2 had there."""

from __future__ import annotations

from datetime import datetime

from balsam.core import models
from balsam.core.models import (
    ACTIVE_STATES,
    END_STATES,
    PROCESSABLE_STATES,
    RUNNABLE_STATES,
    STATE_TIME_PATTERN,
    STATES,
    TIME_FMT,
    ApplicationDefinition,
    BalsamJob,
    InvalidParentsError,
    InvalidStateError,
    JobSource,
    NoApplication,
    ObjectDoesNotExist,
    QueuedLaunch,
    ValidationError,
    from_time_string,
    get_time_string,
    history_line,
    validate_state,
)

__all__ = [
    "ACTIVE_STATES",
    "END_STATES",
    "PROCESSABLE_STATES",
    "RUNNABLE_STATES",
    "STATES",
    "STATE_TIME_PATTERN",
    "TIME_FMT",
    "ApplicationDefinition",
    "BalsamJob",
    "InvalidParentsError",
    "InvalidStateError",
    "JobSource",
    "NoApplication",
    "ObjectDoesNotExist",
    "QueuedLaunch",
    "ValidationError",
    "from_time_string",
    "get_time_string",
    "history_line",
    "process_job_times",
    "validate_state",
]


def process_job_times(time0: datetime | None = None, state0: str = "CREATED") -> dict[str, list[float]]:
    """After how many seconds each state was reached, by all jobs, in order.

    They count from time0, naive and in UTC, else from when a job first reached state0; ValueError: none did.
    """
    times = models.process_job_times()
    if time0 is None and state0 not in times:
        raise ValueError(f"no job has been {state0}, from which seconds are to be counted")
    start = min(times[state0]) if time0 is None else time0
    return {state: sorted((when - start).total_seconds() for when in moments) for state, moments in times.items()}
