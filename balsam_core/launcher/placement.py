"""Decides which jobs start now, and on which cores and GPUs of which nodes; no input or output."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from balsam_core.counting import counted
from balsam_core.launcher.messages import Bound, Need
from balsam_core.launcher.slots import Slots
from balsam_core.models.nodes import Node, Placement

Key = TypeVar("Key", bound=Hashable)


class Why(str, Enum):
    """Why a job is not placed."""

    NEVER = "never"  # not even when every node of the launcher is empty
    NO_TIME = "no time"
    NOT_NOW = "not now"


@dataclass(frozen=True)
class Refusal:
    """Why a job is not placed, for the program and in words."""

    why: Why
    text: str


@dataclass(frozen=True)
class Placed(Generic[Key]):
    """The answer of `place`: every key that was asked about is in exactly one of the two."""

    placements: dict[Key, tuple[Placement, ...]]
    refused: dict[Key, Refusal]


class FreeNode:
    """What is free of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._slots = Slots(() if node.is_virtual else node.cpus, node.numa, node.gpus, node.memory_mb)

    @property
    def is_full(self) -> bool:
        """Whether nothing at all fits any more."""
        return self._slots.is_full

    def never(self, need: Need) -> str | None:
        """Why this node cannot hold the need even when it is empty; None: it can."""
        return self._slots.never(need)

    def take(self, need: Need) -> Placement | None:
        """This node's part of the need, which now belongs to the job; None: it does not fit now."""
        bound = self._slots.take(need)
        return None if bound is None else Placement(self.node, bound.cpus, bound.gpus)

    def release(self, placement: Placement, need: Need) -> None:
        """Give back what `take` gave for the same need."""
        self._slots.release(Bound(placement.cpus, placement.gpus), need)


def place(nodes: Sequence[FreeNode], needs: Mapping[Key, Need], seconds_left: float | None) -> Placed[Key]:
    """First fit, in the order of `needs`; a later job may pass one that has to wait.

    nodes: all that the launcher has, busy ones too; what is placed is taken from them, and the caller releases it.
    seconds_left: None: no limit.
    """
    placed: Placed[Key] = Placed({}, {})
    hopeless: dict[Need, Refusal] = {}  # nodes only fill up in here: refused once, the same need is refused again
    first: dict[Need, int] = {}
    for key, need in needs.items():
        refusal = hopeless.get(need)
        if refusal is None and need not in first:
            refusal = _refusal(nodes, need, seconds_left)
        found: list[Placement] = []
        if refusal is None:
            found, first[need] = _first_fit(nodes, need, first.get(need, 0))
            if len(found) < need.num_nodes:
                refusal = Refusal(
                    Why.NOT_NOW, f"waits for {counted(need.num_nodes, 'node')} with room, {len(found)} now"
                )
        if refusal is None:
            placed.placements[key] = tuple(found)
        else:
            hopeless[need] = placed.refused[key] = refusal
    return placed


def release(nodes: Sequence[FreeNode], placements: Sequence[Placement], need: Need) -> None:
    """Give back all that `place` took for one job."""
    by_id = {node.node.id: node for node in nodes}
    for placement in placements:
        by_id[placement.node.id].release(placement, need)


def _first_fit(nodes: Sequence[FreeNode], need: Need, first: int) -> tuple[list[Placement], int]:
    """The parts of the first nodes that have room, and where the next search may start; all or nothing is taken."""
    found: list[tuple[FreeNode, Placement]] = []
    for index in range(first, len(nodes)):
        if part := nodes[index].take(need):
            first = index if not found else first
            found.append((nodes[index], part))
            if len(found) == need.num_nodes:
                return [part for _, part in found], first
    for node, part in found:
        node.release(part, need)
    return [part for _, part in found], len(nodes)


def _refusal(nodes: Sequence[FreeNode], need: Need, seconds_left: float | None) -> Refusal | None:
    """What no waiting will change."""
    if need.num_nodes < 1:
        return Refusal(Why.NEVER, f"asks for {counted(need.num_nodes, 'node')}, the least is 1")
    if need.num_nodes > len(nodes):
        return Refusal(Why.NEVER, f"asks for {counted(need.num_nodes, 'node')}, the launcher has {len(nodes)}")
    reasons = [reason for node in nodes if (reason := node.never(need))]
    if len(nodes) - len(reasons) < need.num_nodes:
        return Refusal(Why.NEVER, reasons[0])
    if seconds_left is not None and need.wall_seconds is not None and need.wall_seconds > seconds_left:
        text = f"needs {_minutes(need.wall_seconds)} minutes, {_minutes(max(seconds_left, 0.0))} are left"
        return Refusal(Why.NO_TIME, text)
    return None


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}".removesuffix(".0")
