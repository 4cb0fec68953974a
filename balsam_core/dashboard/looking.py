"""Reads what the pages show of a site."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from balsam_core.analysis.moves import count_moves, count_runs, span_of
from balsam_core.analysis.series import busy_nodes, state_counts, throughput
from balsam_core.dashboard.family import read_family
from balsam_core.dashboard.graph import Family
from balsam_core.dashboard.utilization import Used, Window, read_used
from balsam_core.explain.collect import Collector
from balsam_core.explain.facts import Explanation
from balsam_core.explain.job import explain_job
from balsam_core.explain.launch import explain_launch
from balsam_core.explain.launcher import explain_launcher
from balsam_core.models.batch import BatchJob
from balsam_core.models.job import Job
from balsam_core.monitoring.reading import read_jobs, read_snapshot
from balsam_core.monitoring.snapshot import JobsSeen, Snapshot, View
from balsam_core.site import Site
from balsam_core.state.machine import State
from balsam_core.state.store import Store

_INTERVALS = 120


@dataclass(frozen=True)
class Charts:
    """The history in intervals: times in seconds since the epoch, then a value for each."""

    times: list[float]
    states: dict[str, list[int]]
    finished_per_hour: list[float]
    busy_nodes: list[float]


class Looker:
    """Reads one site, anew each time; safe from threads."""

    def __init__(self, site: Site, store: Store, machine_id: str) -> None:
        self.site = site
        self.store = store
        self._machine_id = machine_id

    def overview(self) -> Snapshot:
        """The whole site."""
        return read_snapshot(self.store, View(rows=1), self._machine_id)

    def jobs(self, view: View) -> JobsSeen:
        """A page of jobs."""
        return read_jobs(self.store, view)

    def family(self, job: Job) -> Family:
        """The jobs around a job."""
        return read_family(self.store, job)

    def explained_job(self, job: Job) -> Explanation:
        """What `balsam explain` says of a job, by what schedulers have said last: they are not asked."""
        return explain_job(self._collector().job(str(job.job_id)))

    def batch_jobs(self) -> list[BatchJob]:
        """All of them, the newest first."""
        return self.store.batches.select(machine_id=self._machine_id)[::-1]

    def explained_batch_job(self, name: str) -> tuple[BatchJob, Explanation]:
        """A batch job, and what `balsam explain` says of it but for its history. Raises JobSpecError."""
        job = self.store.batches.find(name, self._machine_id)
        poll = self.store.batches.poll(job.scheduler)
        facts = self._collector().launch(str(job.number), {job.scheduler: poll[2]} if poll else {})
        return job, explain_launch(replace(facts, moves=()))

    def explained_launcher(self, part_of_id: str) -> Explanation:
        """What `balsam explain` says of a launcher. Raises JobSpecError."""
        return explain_launcher(self._collector().launcher(part_of_id))

    def charts(self) -> Charts:
        """The history of all jobs."""
        return _charts(self.store)

    def used(self, window: Window) -> Used:
        """The nodes that were used in a window."""
        return read_used(self.store, window, time.time())

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
