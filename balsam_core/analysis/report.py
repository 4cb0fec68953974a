"""What a report of one workflow says: what ran, where, how long, node-hours, and why jobs failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from balsam_core.analysis.causes import Failure, read_failures
from balsam_core.analysis.charts import nodes_over_time
from balsam_core.analysis.figures import Chart
from balsam_core.analysis.hours import Asked, Held, batch_jobs_of, launchers_of, within
from balsam_core.analysis.lanes import gantt
from balsam_core.analysis.moves import count_moves, span_of
from balsam_core.analysis.runs import Attempt, attempts, read_runs
from balsam_core.analysis.series import Utilization, state_counts, throughput
from balsam_core.analysis.span import Span
from balsam_core.errors import JobSpecError, suggestion
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import State
from balsam_core.state.store import Store


@dataclass
class Usage:
    """The attempts of one application, or on one node; times in seconds."""

    attempts: int = 0
    total: float = 0.0
    shortest: float = float("inf")
    longest: float = 0.0
    node_hours: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)

    def add(self, attempt: Attempt) -> None:
        """Count one more."""
        self.attempts += 1
        self.total += attempt.seconds
        self.shortest = min(self.shortest, attempt.seconds)
        self.longest = max(self.longest, attempt.seconds)
        self.node_hours += attempt.nodes * attempt.seconds / 3600
        self.ends[attempt.end_state] += 1

    @property
    def mean(self) -> float:
        """The mean length of an attempt."""
        return self.total / self.attempts


@dataclass(frozen=True)
class Report:
    """All that the page shows of a workflow; `now` and the span are seconds since the epoch."""

    workflow: str
    site: str
    now: float
    span: Span
    jobs: Mapping[State, int]
    applications: Mapping[str, Usage]
    nodes: Mapping[str, Usage]
    launchers: Sequence[Held]
    batch_jobs: Sequence[Asked]
    failures: Sequence[Failure]
    nodes_over_time: Utilization
    charts: Mapping[str, Chart]

    @property
    def asked(self) -> float:
        """Node-hours that the batch jobs asked for."""
        return sum(one.node_hours for one in self.batch_jobs)

    @property
    def had(self) -> float:
        """Node-hours that the launchers had."""
        return sum(one.node_hours(self.now) for one in self.launchers)

    @property
    def used(self) -> float:
        """Node-hours with attempts of the workflow on them."""
        return self.nodes_over_time.busy_node_hours


def make_report(store: Store, workflow: str, *, site: str, machine_id: str, now: float) -> Report:
    """The report of a workflow; raises JobSpecError, with the nearest one, when no job has it."""
    wanted = JobFilter(workflow=workflow)
    span = span_of(store, wanted, now=now)
    if span is None:
        raise JobSpecError(f"no job has the workflow {workflow!r}; {suggestion(workflow, store.count_by_workflow())}")
    applications, nodes = usage(attempts(read_runs(store, wanted), span.end))
    moves = count_moves(store, span, wanted)
    over_time = nodes_over_time(store, span, wanted, workflow, now)
    asked = [one for one in batch_jobs_of(store, machine_id, workflow) if _overlaps(one, span)]
    return Report(
        workflow,
        site,
        now,
        span,
        store.count_by_state(wanted),
        applications,
        nodes,
        within(launchers_of(store, workflow), span),
        asked,
        read_failures(store, wanted),
        over_time,
        {
            "Nodes": over_time,
            "Finished jobs": throughput(moves, span),
            "Jobs in each state": state_counts(moves, span),
            "Attempts on nodes": gantt(read_runs(store, wanted), span.start, span.end, now=now),
        },
    )


def usage(runs: Iterable[Attempt]) -> tuple[dict[str, Usage], dict[str, Usage]]:
    """The attempts by application, and by node; the busiest first."""
    applications: dict[str, Usage] = {}
    nodes: dict[str, Usage] = {}
    for attempt in runs:
        applications.setdefault(attempt.application, Usage()).add(attempt)
        nodes.setdefault(attempt.node, Usage()).add(attempt)
    return _busiest_first(applications), _busiest_first(nodes)


def _busiest_first(groups: Mapping[str, Usage]) -> dict[str, Usage]:
    return dict(sorted(groups.items(), key=lambda item: -item[1].node_hours))


def _overlaps(one: Asked, span: Span) -> bool:
    return one.created_at <= span.end and (one.is_open or one.state_at >= span.start)
