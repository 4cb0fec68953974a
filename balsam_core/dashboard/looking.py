"""Looks at a site for several requests at once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock

from balsam_core.analysis.moves import count_moves, count_runs, span_of
from balsam_core.analysis.series import busy_nodes, state_counts, throughput
from balsam_core.dashboard.family import read_family
from balsam_core.dashboard.graph import Family
from balsam_core.explain.collect import Collector
from balsam_core.explain.facts import Explanation
from balsam_core.explain.job import explain_job
from balsam_core.models.job import Job
from balsam_core.monitoring.reading import read_jobs, read_snapshot
from balsam_core.monitoring.snapshot import JobsSeen, Snapshot, View
from balsam_core.site import Site
from balsam_core.state.machine import State
from balsam_core.state.store import Store

# A look at 1,000,000 jobs takes a fifth of a second, the history of so many some: not for each browser anew.
_OVERVIEW_SECONDS = 1.0
_CHARTS_SECONDS = 10.0
_INTERVALS = 120


@dataclass(frozen=True)
class Charts:
    """The history in intervals: times in seconds since the epoch, then a value for each."""

    times: list[float]
    states: dict[str, list[int]]
    finished_per_hour: list[float]
    busy_nodes: list[float]


class Looker:
    """What the pages show of one site; safe from threads."""

    def __init__(self, site: Site, store: Store, machine_id: str) -> None:
        self.site = site
        self.store = store
        self._machine_id = machine_id
        self._lock = Lock()
        self._overview: tuple[float, Snapshot] | None = None
        self._charts: tuple[float, Charts] | None = None

    def overview(self) -> Snapshot:
        """The whole site, at most a second ago."""
        with self._lock:
            if self._overview is None or time.monotonic() - self._overview[0] > _OVERVIEW_SECONDS:
                seen = read_snapshot(self.store, View(rows=1), self._machine_id)
                self._overview = time.monotonic(), seen
            return self._overview[1]

    def jobs(self, view: View) -> JobsSeen:
        """A page of jobs, now."""
        return read_jobs(self.store, view)

    def family(self, job: Job) -> Family:
        """The jobs around a job."""
        return read_family(self.store, job)

    def explained_job(self, job: Job) -> Explanation:
        """What `balsam explain` says of a job, by what schedulers have said last: they are not asked."""
        return explain_job(self._collector().job(str(job.job_id)))

    def charts(self) -> Charts:
        """The history of all jobs, at most some seconds ago."""
        with self._lock:
            if self._charts is None or time.monotonic() - self._charts[0] > _CHARTS_SECONDS:
                self._charts = time.monotonic(), _charts(self.store)
            return self._charts[1]

    def _collector(self) -> Collector:
        return Collector(self.site, self.site.settings, self.store, self._machine_id, time.time())


def _charts(store: Store) -> Charts:
    span = span_of(store, now=time.time(), intervals=_INTERVALS)
    if span is None:
        return Charts([], {}, [], [])
    moves = count_moves(store, span)
    counts = state_counts(moves, span).jobs
    return Charts(
        times=[span.start + edge for edge in span.edges[1:]],
        states={state.value: list(counts[state]) for state in State if state in counts},
        finished_per_hour=throughput(moves, span).per_hour,
        busy_nodes=busy_nodes(count_runs(store, span), span),
    )
