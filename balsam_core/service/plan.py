"""Which batch jobs to ask for: a pure function of the work, the queues' limits and the batch jobs that there are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from balsam_core.models.batch import Work

if TYPE_CHECKING:
    from balsam_core.plugins.contracts import IdleNodes
    from balsam_core.settings import QueueSettings

# A launcher needs a while to begin, and ends a while before its batch job would be killed (see batch/script.py).
_BEGIN_MINUTES, _END_MINUTES = 3, 2
OVERHEAD_MINUTES = _BEGIN_MINUTES + _END_MINUTES
# Where a queue has no limit of its own.
_LONGEST_MINUTES = 24 * 60
_ANY_NODES = 1_000_000


@dataclass(frozen=True)
class Supply:
    """A batch job that waits or runs: what it still offers, and to which jobs. minutes: of its walltime."""

    queue: str | None
    job_mode: str
    nodes: int
    minutes: float
    is_running: bool = False


@dataclass(frozen=True)
class Ask:
    """A batch job to be submitted."""

    queue: str
    project: str | None
    job_mode: str
    nodes: int
    minutes: int


def plan(
    work: Sequence[Work],
    queues: Sequence[QueueSettings],
    supply: Sequence[Supply],
    idle: Sequence[IdleNodes] = (),
) -> list[Ask]:
    """What to ask for beside what is there; nothing for work that the batch jobs of `supply` will take.

    A batch job that fits on idle nodes begins at once and is preferred, unless it is only a part of the work and the
    last that its queue has room for. A queue may have several rows, by size. Limits are never exceeded, and whoever
    plans again with what was asked for in `supply` is told to ask for nothing more.
    """
    asks: list[Ask] = []
    there = list(supply)
    left = uncovered(work, there)
    while left:
        choices = list(_choices(left[0], left, queues, there, idle))
        if not choices:
            # What fits no queue now keeps nothing else from being asked for.
            left = left[1:]
            continue
        best = min(choices, key=lambda choice: (not choice.begins_at_once, choice.wasted, -choice.ask.nodes)).ask
        there.append(Supply(best.queue, best.job_mode, best.nodes, best.minutes))
        asks.append(best)
        left = uncovered(work, there)
    return asks


def uncovered(work: Sequence[Work], supply: Sequence[Supply]) -> list[Work]:
    """The work that none of the batch jobs will take, largest jobs first."""
    # The smallest batch job that holds a job takes it: larger ones are kept for larger jobs.
    offers = [_Offer(one) for one in sorted(supply, key=lambda one: (one.nodes, one.minutes))]
    left = []
    for item in sorted(work, key=lambda item: (item.nodes, item.minutes, item.count), reverse=True):
        count = item.count
        for offer in offers:
            count -= offer.take(replace(item, count=count))
        if count:
            left.append(replace(item, count=count))
    return left


class _Offer:
    """What is left of a batch job while work is given to it."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._minutes = supply.minutes - (_END_MINUTES if supply.is_running else OVERHEAD_MINUTES)
        self._room = supply.nodes * max(self._minutes, 0.0)

    def take(self, item: Work) -> int:
        """How many of the jobs it takes."""
        supply = self._supply
        if item.job_mode != supply.job_mode or item.nodes > supply.nodes or item.minutes > self._minutes:
            return 0
        each = item.nodes * item.minutes / item.packing
        taken = min(item.count, math.floor(self._room / each + 1e-9))
        self._room -= taken * each
        return taken


@dataclass(frozen=True)
class _Choice:
    ask: Ask
    wasted: float
    begins_at_once: bool = False


def _choices(
    first: Work,
    left: Sequence[Work],
    queues: Sequence[QueueSettings],
    there: Sequence[Supply],
    idle: Sequence[IdleNodes],
) -> Iterator[_Choice]:
    """Batch jobs for the largest job and what fits beside it, from each row of a queue that has room for one."""
    for queue in queues:
        most_nodes = _room(queue, queues, there)
        most_minutes = queue.max_minutes or _LONGEST_MINUTES
        whole = _choice(first, left, queue, most_nodes, most_minutes)
        if whole is None:
            continue
        yield whole
        for nodes, minutes in _windows(queue.name, there, idle) if _lets_run(queue, queues, there) else ():
            part = _choice(first, left, queue, min(most_nodes, nodes), min(most_minutes, minutes))
            if part and (part.ask == whole.ask or _takes_another(queue, queues, there)):
                yield replace(part, begins_at_once=True)


def _choice(
    first: Work, left: Sequence[Work], queue: QueueSettings, most_nodes: int, most_minutes: int
) -> _Choice | None:
    """The batch job of a row, of at most this size; None: the largest job does not fit into any."""
    if most_nodes < max(first.nodes, queue.min_nodes):
        return None
    if most_minutes < max(first.minutes + OVERHEAD_MINUTES, queue.min_minutes):
        return None
    fits = [
        item
        for item in left
        if item.job_mode == first.job_mode
        and item.nodes <= most_nodes
        and item.minutes + OVERHEAD_MINUTES <= most_minutes
    ]
    total = sum(item.node_minutes for item in fits)
    longest = max(item.minutes for item in fits)
    nodes = min(max(sum(item.wide for item in fits), queue.min_nodes, first.nodes), most_nodes)
    minutes = min(max(math.ceil(total / nodes), longest, queue.min_minutes) + OVERHEAD_MINUTES, most_minutes)
    wasted = max(nodes * minutes - total, 0.0)
    return _Choice(Ask(queue.name, queue.project, first.job_mode, nodes, minutes), wasted)


def _windows(queue: str, there: Sequence[Supply], idle: Sequence[IdleNodes]) -> Iterator[tuple[int, int]]:
    """How many nodes are idle for how many minutes, without those that batch jobs take which wait already."""
    spoken_for = sum(one.nodes for one in there if one.queue == queue and not one.is_running)
    nodes = -spoken_for
    ever = _LONGEST_MINUTES * 60
    groups = [(ever if one.seconds is None else one.seconds, one.nodes) for one in idle if one.queue == queue]
    for seconds, count in sorted(groups, reverse=True):
        nodes += count
        if nodes > 0:
            yield nodes, int(seconds // 60)


def _lets_run(queue: QueueSettings, queues: Sequence[QueueSettings], there: Sequence[Supply]) -> bool:
    """Whether one more batch job may run beside those of the queue that run, and those that wait before it."""
    mine, rows = _of_queue(queue, queues, there)
    return _is_below(len(mine), [row.max_running for row in rows])


def _takes_another(queue: QueueSettings, queues: Sequence[QueueSettings], there: Sequence[Supply]) -> bool:
    """Whether the queue has room for more batch jobs than one."""
    mine, rows = _of_queue(queue, queues, there)
    return _is_below(len(mine) + 1, [row.max_queued for row in rows])


def _room(queue: QueueSettings, queues: Sequence[QueueSettings], there: Sequence[Supply]) -> int:
    """How many nodes one more batch job of this row may have; 0: there may be none."""
    mine, rows = _of_queue(queue, queues, there)
    if not _is_below(len(mine), [row.max_queued for row in rows]):
        return 0
    totals = [row.max_total_nodes for row in rows if row.max_total_nodes is not None]
    most = [total - sum(one.nodes for one in mine) for total in totals]
    if queue.max_nodes is not None:
        most.append(queue.max_nodes)
    return max(min(most, default=_ANY_NODES), 0)


def _of_queue(
    queue: QueueSettings, queues: Sequence[QueueSettings], there: Sequence[Supply]
) -> tuple[list[Supply], list[QueueSettings]]:
    """The batch jobs of the queue that a row is of, and all rows of it."""
    return [one for one in there if one.queue == queue.name], [row for row in queues if row.name == queue.name]


def _is_below(count: int, limits: Iterable[int | None]) -> bool:
    return all(limit is None or count < limit for limit in limits)
