"""The reports of Balsam 0.5's `balsam.core.models`, over the same events; times are naive, UTC, as they were there.

times, running = utilization_report(process_job_times(store()))
plt.step(times, running, where="post")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import accumulate

from sqlalchemy import select

from balsam_core.analysis.reading import of_jobs, read_rows
from balsam_core.state.filters import Selection
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from balsam_core.state.tables import events

_ENDS = (State.RUN_DONE, State.RUN_ERROR, State.RUN_TIMEOUT)
_BIN_SECONDS = 60

TimeData = Mapping[str, Sequence[datetime]]


def process_job_times(store: Store, wanted: Selection | None = None) -> dict[str, list[datetime]]:
    """For each state that was met, when jobs of a selection (None: all) came into it, oldest first."""
    query = select(events.c.to_state, events.c.at).order_by(events.c.at)
    found: dict[str, list[datetime]] = {}
    for state, at in read_rows(store, query if wanted is None else of_jobs(query, wanted)):
        found.setdefault(state, []).append(datetime.fromtimestamp(at, timezone.utc).replace(tzinfo=None))
    return found


def utilization_report(time_data: TimeData) -> tuple[list[datetime], list[int]]:
    """When the number of running jobs changed, and how many ran from then on."""
    changes: Counter[datetime] = Counter(time_data.get(State.RUNNING.value, ()))
    for state in _ENDS:
        changes.subtract(time_data.get(state.value, ()))
    times = sorted(changes)
    return times, list(accumulate(changes[time] for time in times))


def throughput_report(time_data: TimeData) -> tuple[list[datetime], list[int]]:
    """When jobs became RUN_DONE, and how many had done so by then."""
    done = Counter(time_data.get(State.RUN_DONE.value, ()))
    times = sorted(done)
    return times, list(accumulate(done[time] for time in times))


def error_report(time_data: TimeData) -> tuple[list[datetime], list[int]] | None:
    """The minutes since the first RUN_ERROR, as one edge more than there are counts; None: no job had one."""
    errors = time_data.get(State.RUN_ERROR.value, ())
    if not errors:
        return None
    first = min(errors)
    bins = Counter(int((time - first).total_seconds() // _BIN_SECONDS) for time in errors)
    counts = [bins[number] for number in range(max(bins) + 1)]
    return [first + timedelta(seconds=_BIN_SECONDS * number) for number in range(len(counts) + 1)], counts
