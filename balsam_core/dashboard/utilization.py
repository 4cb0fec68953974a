"""Reads how launchers and nodes were used during the last hour, day or week, or ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import func, select

from balsam_core.analysis.hours import Held, launchers_of, within
from balsam_core.analysis.moves import count_runs, first_event_since, nodes_running, span_of
from balsam_core.analysis.runs import attempts, read_runs_since
from balsam_core.analysis.series import Utilization, available_nodes, busy_nodes
from balsam_core.analysis.shares import node_shares
from balsam_core.analysis.span import Span
from balsam_core.state.store import Store
from balsam_core.state.tables import events

_INTERVALS = 120
# The attempts on each node are read one by one: of more events than these the nodes are not told apart.
_MOST_EVENTS = 200_000


class Window(Enum):
    """How far back one looks."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    ALL = "all"


@dataclass(frozen=True)
class Used:
    """What launchers had and jobs used; launchers: the newest first. nodes: their shares; None: too much to read."""

    total: Utilization
    launchers: Sequence[Held]
    nodes: Mapping[str, Sequence[float]] | None


def read_used(store: Store, window: Window, now: float) -> Used:
    """The history of a window, up to now."""
    span = _span(store, window, now)
    first_event = first_event_since(store, span.start)
    busy = busy_nodes(count_runs(store, span, first_event=first_event), span, now_busy=nodes_running(store))
    launchers = within(launchers_of(store), span)
    available = available_nodes([one.stretch(now) for one in launchers], span)
    return Used(
        total=Utilization(span, busy, available),
        launchers=launchers[::-1],
        nodes=_nodes(store, span, first_event, now),
    )


def _span(store: Store, window: Window, now: float) -> Span:
    every = span_of(store, now=now, intervals=_INTERVALS) if window is Window.ALL else None
    return every or Span(now - _SECONDS.get(window, 1.0), now, _INTERVALS)


def _nodes(store: Store, span: Span, first_event: int, now: float) -> Mapping[str, Sequence[float]] | None:
    ((last_event,),) = store.rows(select(func.max(events.c.event_id)))
    if (last_event or 0) - first_event > _MOST_EVENTS:
        return None
    return node_shares(attempts(read_runs_since(store, first_event), now), span)


_SECONDS = {Window.HOUR: 3600.0, Window.DAY: 86400.0, Window.WEEK: 7 * 86400.0}
