"""Charts as tables with bars, for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from balsam_core.analysis.figures import Chart
from balsam_core.analysis.lanes import Gantt
from balsam_core.analysis.scaling import Scaling
from balsam_core.analysis.series import StateCounts, Throughput, Utilization
from balsam_core.analysis.span import Clock

# As many intervals as fit on a terminal of 24 lines.
INTERVALS = 18
_BAR = 30


@dataclass(frozen=True)
class TextTable:
    """What `print_table` takes, and a line to stand below."""

    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    remark: str = ""


def as_text(chart: Chart) -> TextTable:
    """The chart as a table; over time a row per interval, named by its end."""
    return _TEXT[type(chart)](chart)


def _utilization(chart: Utilization) -> TextTable:
    most = max([*chart.busy, *chart.available])
    clock, ends = _ends(chart)
    rows = [
        (end, f"{busy:.1f}", f"{available:.1f}", _bar(busy, most))
        for end, busy, available in zip(ends, chart.busy, chart.available, strict=True)
    ]
    used, had = chart.busy_node_hours, chart.available_node_hours
    part = f": {100 * used / had:.0f} %" if had else ""
    remark = f"busy {used:.2f} of {had:.2f} node-hours that launchers had{part}; {clock.label}"
    return TextTable((clock.name, "nodes busy", "available", ""), rows, remark)


def _throughput(chart: Throughput) -> TextTable:
    most = max(chart.per_hour)
    clock, ends = _ends(chart)
    rows = [
        (end, finished, failed, f"{rate:.0f}", _bar(rate, most))
        for end, finished, failed, rate in zip(ends, chart.finished, chart.failed, chart.per_hour, strict=True)
    ]
    remark = f"finished {sum(chart.finished)}, failed {sum(chart.failed)}; {clock.label}"
    return TextTable((clock.name, "finished", "failed", "finished per hour", ""), rows, remark)


def _states(chart: StateCounts) -> TextTable:
    clock, ends = _ends(chart)
    shown = {state: counts for state, counts in chart.jobs.items() if any(counts)}
    rows = [(end, *counts) for end, *counts in zip(ends, *shown.values(), strict=True)]
    return TextTable((clock.name, *(state.value for state in shown)), rows, clock.label)


def _gantt(chart: Gantt) -> TextTable:
    seconds = max(chart.end - chart.start, 1e-3)
    rows = [
        (name or "unknown", lanes.attempts, len(lanes.lanes), f"{busy:.0f}", _bar(busy / len(lanes.lanes), seconds))
        for name, lanes in chart.nodes.items()
        for busy in [lanes.busy_seconds]
    ]
    remark = "a full bar: every lane was busy all the time"
    if chart.hidden:
        remark += f"; {chart.hidden} more nodes are not shown"
    return TextTable(("node", "attempts", "at once", "seconds busy", ""), rows, remark)


def _scaling(chart: Scaling) -> TextTable:
    rows = [
        (nodes, f"{rate:.0f}", f"{100 * chart.efficiency(nodes, rate):.0f} %", _bar(chart.efficiency(nodes, rate), 1.0))
        for nodes, rate in chart.points
    ]
    return TextTable(("nodes", "finished per hour", "of the ideal", ""), rows, "a row per launcher")


def _ends(chart: Utilization | Throughput | StateCounts) -> tuple[Clock, list[str]]:
    clock = Clock.of(chart.span.start, chart.span.end)
    return clock, [f"{edge / clock.seconds:.2f}" for edge in chart.span.edges[1:]]


def _bar(value: float, most: float) -> str:
    return "#" * min(_BAR, round(_BAR * value / most)) if most > 0 else ""


_TEXT: dict[type[Any], Callable[[Any], TextTable]] = {
    Utilization: _utilization,
    Throughput: _throughput,
    StateCounts: _states,
    Gantt: _gantt,
    Scaling: _scaling,
}
