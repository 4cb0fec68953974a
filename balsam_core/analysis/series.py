"""Turns counted moves into what is drawn over time: nodes busy and available, jobs finished, jobs in each state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from balsam_core.analysis.moves import Moved, RunChange
from balsam_core.analysis.span import Span
from balsam_core.state.machine import State


@dataclass(frozen=True)
class Utilization:
    """Nodes, as the mean over each interval: busy with attempts, and available to launchers."""

    span: Span
    busy: Sequence[float]
    available: Sequence[float]

    @property
    def busy_node_hours(self) -> float:
        """Nodes times hours with attempts on them."""
        return sum(self.busy) * self.span.width / 3600

    @property
    def available_node_hours(self) -> float:
        """Nodes times hours that launchers had."""
        return sum(self.available) * self.span.width / 3600


@dataclass(frozen=True)
class Throughput:
    """Jobs that became JOB_FINISHED, and FAILED, in each interval."""

    span: Span
    finished: Sequence[int]
    failed: Sequence[int]

    @property
    def per_hour(self) -> list[float]:
        """Finished jobs per hour, in each interval."""
        return [count * 3600 / self.span.width for count in self.finished]

    @property
    def total(self) -> list[int]:
        """Finished jobs so far, at the end of each interval."""
        return list(accumulate(self.finished))


@dataclass(frozen=True)
class StateCounts:
    """Jobs in each state at the end of each interval; states that no job was in are left out."""

    span: Span
    jobs: Mapping[State, Sequence[int]]


def busy_nodes(changes: Iterable[RunChange], span: Span, *, now_busy: float | None = None) -> list[float]:
    """How many nodes were busy, as the mean over each interval.

    now_busy: at the end of the span, for one that begins amid the history; None: before it there was nothing.
    """
    begun, moments = [0.0] * span.intervals, [0.0] * span.intervals
    for change in changes:
        begun[change.interval] += change.nodes
        moments[change.interval] += change.node_seconds
    means, before = [], 0.0 if now_busy is None else now_busy - sum(begun)
    for end, net, moment in zip(span.edges[1:], begun, moments, strict=True):
        # What began at `at` was busy for `end - at`; what ended had been counted as busy to the end, and is taken off.
        means.append(max(0.0, before + (net * end - moment) / span.width))
        before += net
    return means


def available_nodes(launchers: Iterable[tuple[float, float, int]], span: Span) -> list[float]:
    """How many nodes launchers had, as the mean over each interval; launchers: (start, end, nodes)."""
    means = [0.0] * span.intervals
    for start, end, nodes in launchers:
        means = [mean + nodes * part / span.width for mean, part in zip(means, span.overlap(start, end), strict=True)]
    return means


def throughput(moves: Iterable[Moved], span: Span) -> Throughput:
    """Jobs that ended, by interval."""
    ends = {State.JOB_FINISHED.value: [0] * span.intervals, State.FAILED.value: [0] * span.intervals}
    for moved in moves:
        if moved.to_state in ends:
            ends[moved.to_state][moved.interval] += moved.jobs
    return Throughput(span, ends[State.JOB_FINISHED.value], ends[State.FAILED.value])


def state_counts(moves: Iterable[Moved], span: Span) -> StateCounts:
    """Jobs in each state at the end of each interval."""
    net = {state: [0] * span.intervals for state in State}
    seen = set()
    for moved in moves:
        seen.add(State(moved.to_state))
        net[State(moved.to_state)][moved.interval] += moved.jobs
        if moved.from_state:
            net[State(moved.from_state)][moved.interval] -= moved.jobs
    return StateCounts(span, {state: list(accumulate(net[state])) for state in State if state in seen})
