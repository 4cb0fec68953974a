"""What the histories of many jobs say together: when states were reached, how many ran, what throughput that was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from balsam.core.history import STATE_TIME_PATTERN, from_time_string
from balsam.core.job import BalsamJob
from balsam.core.query import Manager, QuerySet

_Times = Mapping[str, Sequence[datetime]]
_BIN_SECONDS = 60
_RUN_ENDS = ("RUN_DONE", "RUN_ERROR", "RUN_TIMEOUT")
_WAITS = ("CREATED", "RESTART_READY")


def process_job_times(qs: QuerySet | Manager | None = None) -> dict[str, list[datetime]]:
    """When each state was reached, by all jobs of a query."""
    found: dict[str, list[datetime]] = {}
    for history in (qs or BalsamJob.objects).values_list("state_history", flat=True):
        for when, state in STATE_TIME_PATTERN.findall(history):
            found.setdefault(state, []).append(from_time_string(when))
    return found


def utilization_report(time_data: _Times | None = None) -> tuple[list[datetime], Any]:
    """Moments, and how many jobs ran from each on."""
    times = process_job_times() if time_data is None else time_data
    changes = Counter(times.get("RUNNING", []))
    changes.subtract(when for state in _RUN_ENDS for when in times.get(state, []))
    return _cumulated(changes)


def throughput_report(time_data: _Times | None = None) -> tuple[list[datetime], Any]:
    """Moments, and how many runs had ended well by each."""
    times = process_job_times() if time_data is None else time_data
    return _cumulated(Counter(times.get("RUN_DONE", [])))


def job_waiting_report(time_data: _Times | None = None) -> tuple[list[datetime], Any]:
    """Moments, and how many jobs waited for their start, the first or another one, from each on."""
    times = process_job_times() if time_data is None else time_data
    changes = Counter(when for state in _WAITS for when in times.get(state, []))
    changes.subtract(times.get("RUNNING", []))
    return _cumulated(changes)


def error_report(time_data: _Times | None = None) -> tuple[list[datetime], Any] | None:
    """The edges of minutes since the first error, and how many errors lie between; None: there were none."""
    times = process_job_times() if time_data is None else time_data
    errors = sorted(times.get("RUN_ERROR", []))
    if not errors:
        return None
    seconds = [(when - errors[0]).total_seconds() for when in errors]
    counts = [0] * (int(seconds[-1] // _BIN_SECONDS) + 1)
    for second in seconds:
        counts[int(second // _BIN_SECONDS)] += 1
    edges = [errors[0] + timedelta(seconds=_BIN_SECONDS * number) for number in range(len(counts) + 1)]
    return edges, _as_array(counts)


def _cumulated(changes: Mapping[datetime, int]) -> tuple[list[datetime], Any]:
    moments = sorted(changes)
    return moments, _as_array(list(accumulate(changes[when] for when in moments)))


def _as_array(counts: list[int]) -> Any:
    # Programs draw them, and compute with arrays where numpy is installed, as Balsam 0.5 gave them.
    try:
        import numpy
    except ImportError:
        return counts
    return numpy.array(counts, dtype=int)
