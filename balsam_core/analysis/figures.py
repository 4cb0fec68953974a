"""Draws the figures with matplotlib, which is an extra: it is imported when the first figure is drawn."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balsam_core.analysis.lanes import Gantt
from balsam_core.analysis.scaling import Scaling
from balsam_core.analysis.series import StateCounts, Throughput, Utilization
from balsam_core.analysis.span import Clock
from balsam_core.errors import ConfigError
from balsam_core.state.machine import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Chart = Utilization | Throughput | StateCounts | Gantt | Scaling

# Okabe and Ito's colours, which people with any colour vision can tell apart; a state has the same in every figure.
_BLUE, _GREEN, _ORANGE, _RED, _GREY, _PURPLE = "#0072B2", "#009E73", "#E69F00", "#D55E00", "#999999", "#CC79A7"
_SKY, _YELLOW, _DARK = "#56B4E9", "#F0E442", "#333333"
_STATE_COLORS = {
    State.CREATED: "#dddddd",
    State.AWAITING_PARENTS: "#c4b7d6",
    State.READY: "#cfe3f1",
    State.STAGED_IN: "#a9cde6",
    State.PREPROCESSED: _SKY,
    State.RUNNING: _BLUE,
    State.RUN_DONE: "#7fd1b9",
    State.POSTPROCESSED: "#40b898",
    State.JOB_FINISHED: _GREEN,
    State.RUN_TIMEOUT: _YELLOW,
    State.RUN_ERROR: _ORANGE,
    State.RESTART_READY: _PURPLE,
    State.FAILED: _RED,
    State.USER_KILLED: _GREY,
}
_MOST_LABELS = 32
_DPI = 120


def write_figure(chart: Chart, file: Path, title: str = "") -> None:
    """Draw a chart into a file; the name's end (png, svg) says in which format. Raises ConfigError, OSError."""
    with _drawn(chart, title) as figure:
        figure.savefig(file, dpi=_DPI, metadata={"Date": None} if file.suffix == ".svg" else None)


def svg(chart: Chart, title: str = "") -> str:
    """A chart as an `<svg>` element, to stand inside HTML. Raises ConfigError."""
    buffer = io.StringIO()
    with _drawn(chart, title) as figure:
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def check_matplotlib() -> None:
    """Raise ConfigError unless figures can be drawn."""
    try:
        import matplotlib  # noqa: F401  # only whether it is there
    except ImportError:
        raise ConfigError(
            "figures need matplotlib, which is not installed; install it with `pip install 'balsam-core[plot]'`"
        ) from None


@contextmanager
def _drawn(chart: Chart, title: str) -> Iterator[Figure]:
    check_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    # A Figure by itself needs no display and keeps no global state; the salt makes equal charts equal files.
    style = {"svg.hashsalt": "balsam", "axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(8, _height(chart)), layout="constrained")
        axes = figure.add_subplot()
        _DRAW[type(chart)](axes, chart)
        if title:
            axes.set_title(title, loc="left", fontsize=10, parse_math=False)
        yield figure


def _height(chart: Chart) -> float:
    if isinstance(chart, Gantt):
        lanes = sum(len(node.lanes) for node in chart.nodes.values())
        return min(10.0, max(2.2, 1.2 + 0.16 * lanes))
    return 3.6


def _draw_utilization(axes: Axes, chart: Utilization) -> None:
    clock = _time_axis(axes, chart.span.start, chart.span.end)
    edges = [edge / clock.seconds for edge in chart.span.edges]
    axes.stairs(chart.busy, edges, fill=True, color=_BLUE, alpha=0.75, label="busy")
    axes.stairs(chart.available, edges, color=_DARK, linewidth=1.2, baseline=None, label="available to launchers")
    axes.set_ylabel("nodes")
    axes.set_ylim(0, _headroom([*chart.busy, *chart.available]))
    _legend(axes)


def _draw_throughput(axes: Axes, chart: Throughput) -> None:
    clock = _time_axis(axes, chart.span.start, chart.span.end)
    edges = [edge / clock.seconds for edge in chart.span.edges]
    axes.stairs(chart.per_hour, edges, fill=True, color=_SKY, label="finished jobs per hour")
    axes.set_ylabel("finished jobs per hour")
    axes.set_ylim(0, _headroom(chart.per_hour))
    total = axes.twinx()
    total.spines["right"].set_visible(True)
    total.plot(edges[1:], chart.total, color=_GREEN, linewidth=1.6, label="finished jobs in total")
    total.set_ylabel("finished jobs in total")
    total.set_ylim(0, _headroom(chart.total))
    lines = [*axes.get_legend_handles_labels()[0], *total.get_legend_handles_labels()[0]]
    _legend(axes, lines)


def _draw_states(axes: Axes, chart: StateCounts) -> None:
    clock = _time_axis(axes, chart.span.start, chart.span.end)
    edges = [edge / clock.seconds for edge in chart.span.edges]
    # A state that is passed through at once is nowhere to be seen.
    shown = [state for state, counts in chart.jobs.items() if any(counts)]
    below = [0.0] * chart.span.intervals
    for state in sorted(shown, key=_stacking.index):
        above = [low + count for low, count in zip(below, chart.jobs[state], strict=True)]
        axes.stairs(above, edges, baseline=below, fill=True, color=_STATE_COLORS[state], label=state.value)
        below = above
    axes.set_ylabel("jobs")
    axes.set_ylim(0, _headroom(below))
    handles = list(reversed(axes.get_legend_handles_labels()[0]))
    _legend(axes, handles, columns=1, beside=True)


def _draw_gantt(axes: Axes, chart: Gantt) -> None:
    from matplotlib.patches import Patch

    clock = _time_axis(axes, chart.start, chart.end)
    row, places = 0, []
    seen: set[str] = set()
    for node in chart.nodes.values():
        places.append(row + (len(node.lanes) - 1) / 2)
        for lane in node.lanes:
            spans = [((bar.start - clock.start) / clock.seconds, (bar.end - bar.start) / clock.seconds) for bar in lane]
            colors = [_STATE_COLORS[State(bar.end_state)] for bar in lane]
            axes.broken_barh(spans, (row - 0.4, 0.8), facecolors=colors, linewidth=0)
            seen.update(bar.end_state for bar in lane)
            row += 1
    _name_rows(axes, list(chart.nodes), places)
    axes.set_ylim(row - 0.3, -0.7)
    axes.set_ylabel("node")
    words = {State.RUN_DONE: "done", State.RUN_ERROR: "error", State.RUN_TIMEOUT: "timeout", State.RUNNING: "running"}
    ended = [state for state in State if state.value in seen]
    _legend(axes, [Patch(color=_STATE_COLORS[state], label=words.get(state, state.value)) for state in ended])


def _name_rows(axes: Axes, names: Sequence[str], places: Sequence[float]) -> None:
    step = -(-len(names) // _MOST_LABELS) or 1
    axes.set_yticks(places[::step], [name or "unknown" for name in names[::step]], fontsize=7)


def _draw_scaling(axes: Axes, chart: Scaling) -> None:
    from matplotlib.ticker import MaxNLocator

    nodes, rates = zip(*chart.points, strict=True)
    reach = [0, max(nodes)]
    axes.plot(nodes, rates, "o", color=_BLUE, label="launchers")
    axes.plot(reach, [chart.ideal(count) for count in reach], "--", color=_DARK, linewidth=1, label="ideal")
    axes.set_xlabel("nodes of the launcher")
    axes.set_ylabel("finished jobs per hour")
    axes.set_ylim(0, _headroom([*rates, *(chart.ideal(count) for count in reach)]))
    axes.set_xlim(0, max(nodes) * 1.1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)


def _time_axis(axes: Axes, start: float, end: float) -> Clock:
    clock = Clock.of(start, end)
    axes.set_xlabel(clock.label)
    axes.set_xlim(0, max(end - start, 1e-3) / clock.seconds)
    return clock


def _legend(axes: Axes, handles: Sequence[Any] | None = None, *, columns: int = 4, beside: bool = False) -> None:
    place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if beside else {"loc": "lower right"}
    anchor = {} if beside else {"bbox_to_anchor": (1.0, 1.0)}
    given = {} if handles is None else {"handles": handles}
    axes.legend(ncols=columns, frameon=False, fontsize=8, **given, **place, **anchor)


def _headroom(values: Sequence[float]) -> float:
    return max(values, default=0.0) * 1.05 or 1.0


# What is done lies at the bottom of the stack, what waits on top.
_stacking = [
    State.JOB_FINISHED,
    State.FAILED,
    State.USER_KILLED,
    State.POSTPROCESSED,
    State.RUN_DONE,
    State.RUN_ERROR,
    State.RUN_TIMEOUT,
    State.RUNNING,
    State.RESTART_READY,
    State.PREPROCESSED,
    State.STAGED_IN,
    State.READY,
    State.AWAITING_PARENTS,
    State.CREATED,
]

_DRAW: dict[type[Any], Callable[[Any, Any], None]] = {
    Utilization: _draw_utilization,
    Throughput: _draw_throughput,
    StateCounts: _draw_states,
    Gantt: _draw_gantt,
    Scaling: _draw_scaling,
}
