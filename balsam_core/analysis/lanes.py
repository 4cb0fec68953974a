"""Lays attempts out for a Gantt chart: as many lanes per node as attempts ran on it at once."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from balsam_core.analysis.runs import RunEvent
from balsam_core.state.machine import State


@dataclass
class Bar:
    """A stretch of a lane (seconds since the epoch) with attempts that ended alike, or are too close to tell apart."""

    start: float
    end: float
    end_state: str
    attempts: int = 1


@dataclass
class Lanes:
    """The lanes of one node, and its free ones."""

    lanes: list[list[Bar]] = field(default_factory=list)
    _free: list[int] = field(default_factory=list)

    def take(self) -> int:
        """The first free lane."""
        if self._free:
            return heappop(self._free)
        self.lanes.append([])
        return len(self.lanes) - 1

    def give_back(self, lane: int) -> None:
        """The attempt in this lane has ended."""
        heappush(self._free, lane)

    @property
    def attempts(self) -> int:
        """How many attempts ran."""
        return sum(bar.attempts for lane in self.lanes for bar in lane)

    @property
    def busy_seconds(self) -> float:
        """The length of all bars."""
        return sum(bar.end - bar.start for lane in self.lanes for bar in lane)


@dataclass(frozen=True)
class Gantt:
    """Nodes by their names, numbers in them as numbers; hidden: how many more nodes there were than were asked for."""

    start: float
    end: float
    nodes: dict[str, Lanes]
    hidden: int = 0


def gantt(
    runs: Iterable[RunEvent], start: float, end: float, *, now: float, max_nodes: int = 128, points: int = 2000
) -> Gantt:
    """The lanes of the first `max_nodes` nodes; what lies closer together than 1/`points` of the time is one bar."""
    nodes: dict[str, Lanes] = {}
    hidden: set[str] = set()
    begun: dict[Hashable, tuple[RunEvent, Lanes, int]] = {}
    closest = (end - start) / points
    for event in runs:
        if event.begins:
            if event.node in nodes or len(nodes) < max_nodes:
                lanes = nodes.setdefault(event.node, Lanes())
                begun[event.job] = (event, lanes, lanes.take())
            else:
                hidden.add(event.node)
        elif event.job in begun:
            begin, lanes, lane = begun.pop(event.job)
            _add(lanes.lanes[lane], Bar(begin.at, event.at, event.end_state), closest)
            lanes.give_back(lane)
    for begin, lanes, lane in begun.values():
        _add(lanes.lanes[lane], Bar(begin.at, now, State.RUNNING.value), closest)
    return Gantt(start, end, dict(sorted(nodes.items(), key=lambda item: by_number(item[0]))), len(hidden))


def by_number(name: str) -> list[tuple[int, str]]:
    """What names are sorted by, so that numbers in them count as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _add(lane: list[Bar], bar: Bar, closest: float) -> None:
    before = lane[-1] if lane else None
    alike = before is not None and bar.end_state == before.end_state and bar.start - before.end < closest
    if before is not None and alike and min(bar.end - bar.start, before.end - before.start) < closest:
        before.end, before.attempts = bar.end, before.attempts + bar.attempts
    else:
        lane.append(bar)
