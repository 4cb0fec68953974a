"""The charts that there are, by name, and what each is made of."""

from __future__ import annotations

from collections.abc import Callable

from balsam_core.analysis.figures import Chart
from balsam_core.analysis.hours import launchers_of, within
from balsam_core.analysis.lanes import gantt
from balsam_core.analysis.moves import count_moves, count_runs, span_of
from balsam_core.analysis.runs import read_runs
from balsam_core.analysis.scaling import scaling
from balsam_core.analysis.series import Utilization, available_nodes, busy_nodes, state_counts, throughput
from balsam_core.analysis.span import Span
from balsam_core.errors import JobSpecError
from balsam_core.state.filters import Selection
from balsam_core.state.store import Store

KINDS = ("utilization", "throughput", "states", "gantt", "scaling")


def chart(
    store: Store, kind: str, wanted: Selection | None = None, workflow: str = "", *, now: float, intervals: int = 200
) -> Chart:
    """The chart of these jobs (None: all) with its numbers; workflow: the launchers that may run it (empty: all).

    Raises JobSpecError when there is nothing to show.
    """
    if kind == "scaling":
        return _scaling(store, workflow, now)
    span = span_of(store, wanted, now=now, intervals=intervals)
    if span is None:
        raise JobSpecError("no jobs found matching query; there is nothing to plot")
    return _OVER_TIME[kind](store, span, wanted, workflow, now)


def nodes_over_time(store: Store, span: Span, wanted: Selection | None, workflow: str, now: float) -> Utilization:
    """Nodes busy with these jobs, and available to the launchers that may run the workflow."""
    launchers = within(launchers_of(store, workflow), span)
    available = available_nodes([one.stretch(now) for one in launchers], span)
    return Utilization(span, busy_nodes(count_runs(store, span, wanted), span), available)


def _scaling(store: Store, workflow: str, now: float) -> Chart:
    found = scaling(launchers_of(store, workflow), now)
    if not found.points:
        raise JobSpecError("no launcher has finished a job yet; there is nothing to plot")
    return found


_OVER_TIME: dict[str, Callable[[Store, Span, Selection | None, str, float], Chart]] = {
    "utilization": nodes_over_time,
    "throughput": lambda store, span, wanted, *_: throughput(count_moves(store, span, wanted), span),
    "states": lambda store, span, wanted, *_: state_counts(count_moves(store, span, wanted), span),
    "gantt": lambda store, span, wanted, _, now: gantt(read_runs(store, wanted), span.start, span.end, now=now),
}
