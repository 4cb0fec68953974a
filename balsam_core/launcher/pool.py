"""Spreads jobs of one node over many nodes, in time that does not grow with the number of nodes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from balsam_core.launcher.messages import Need
from balsam_core.launcher.placement import FreeNode, Placed, Refusal, Why, place, release
from balsam_core.models.nodes import Node, Placement

Key = TypeVar("Key", bound=Hashable)


class Pool(Generic[Key]):
    """The nodes of a launcher, numbered in their order: what is free of each, and which jobs wait there for room."""

    def __init__(self, nodes: Sequence[FreeNode]) -> None:
        self._nodes = nodes
        self._number = {node.node.id: number for number, node in enumerate(nodes)}
        # In turn: a node that got a job goes to the end.
        self._open = dict.fromkeys(range(len(nodes)))
        self._waiting: list[dict[Key, None]] = [{} for _ in nodes]
        self._levels: list[dict[int, None]] = [dict.fromkeys(range(len(nodes)))]
        self._lowest = 0  # no level below it holds a node
        self._closed: frozenset[int] = frozenset()
        self._kinds = [FreeNode(node) for node in _one_of_each_kind([node.node for node in nodes])]

    @property
    def is_full(self) -> bool:
        """Whether no node has any room."""
        return not self._open

    @property
    def open_nodes(self) -> int:
        """How many nodes have room for something."""
        return len(self._open)

    def number_of(self, node: Node) -> int:
        """The place of the node among its launcher's."""
        return self._number[node.id]

    def close(self, numbers: frozenset[int]) -> None:
        """These nodes, and no others, get nothing new until the next call: somebody waits too long there."""
        self._closed = numbers

    def place(self, needs: Mapping[Key, Need], seconds_left: float | None) -> Placed[Key]:
        """As `placement.place`, but one node after the other gets a job."""
        placed: Placed[Key] = Placed({}, {})
        hopeless: dict[Need, Refusal | None] = {}
        for key, need in needs.items():
            if need not in hopeless:
                hopeless[need] = self._never(need, seconds_left)
            part = self.take(need) if hopeless[need] is None else None
            if part is not None:
                placed.placements[key] = (part,)
                continue
            refusal = hopeless[need] or Refusal(Why.NOT_NOW, "waits for 1 node with room, 0 now")
            hopeless[need] = placed.refused[key] = refusal
        return placed

    def take(self, need: Need, only: int | None = None) -> Placement | None:
        """Room for one job on the next node that has it, or on node number `only`; None: there is none."""
        numbers = self._open if only is None else (only,)
        for number in numbers:
            part = self._nodes[number].take(need) if only is not None or number not in self._closed else None
            if part is not None:
                self._open.pop(number, None)
                self._reopen(number)
                return part
        return None

    def release(self, placement: Placement, need: Need) -> None:
        """Give back what `take` gave for the same need."""
        number = self.number_of(placement.node)
        self._nodes[number].release(placement, need)
        self._reopen(number)

    def wait(self, key: Key, need: Need) -> int | None:
        """The number of the node where the job may wait with the fewest others; None: it can run on none."""
        for level in range(self._lowest, len(self._levels)):
            for number in self._levels[level]:
                if number not in self._closed and self._nodes[number].never(need) is None:
                    self._move(number, 1)
                    self._waiting[number][key] = None
                    return number
        return None

    def leave(self, key: Key, number: int) -> None:
        """A job waits no longer on its node."""
        if key in self._waiting[number]:
            del self._waiting[number][key]
            self._move(number, -1)

    def _reopen(self, number: int) -> None:
        if not self._nodes[number].is_full:
            self._open[number] = None

    def _move(self, number: int, by: int) -> None:
        count = len(self._waiting[number]) - min(by, 0)
        del self._levels[count][number]
        if count + by == len(self._levels):
            self._levels.append({})
        self._levels[count + by][number] = None
        self._lowest = min(self._lowest, count + by)
        while not self._levels[self._lowest]:
            self._lowest += 1

    def _never(self, need: Need, seconds_left: float | None) -> Refusal | None:
        placed = place(self._kinds, {0: need}, seconds_left)
        for parts in placed.placements.values():
            release(self._kinds, parts, need)
        return placed.refused.get(0)


def _one_of_each_kind(nodes: Sequence[Node]) -> list[Node]:
    return list({(len(node.cpus), len(node.gpus), node.memory_mb): node for node in nodes}.values())
