"""Lays a job out among those that it waits for and those that wait for it: ancestors above, descendants below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from uuid import UUID

# In pixels. A row of so many boxes is as wide as the page.
BOX_WIDTH, BOX_HEIGHT = 146, 38
_ACROSS, _DOWN = 14, 26
_MARGIN = 2
_BOXES_IN_A_ROW = 7


@dataclass(frozen=True)
class Kin:
    """A job of a family."""

    job_id: UUID
    name: str
    state: str


@dataclass(frozen=True)
class Family:
    """A job and some of those around it; edges: (parent, child) between these.

    hidden_above, hidden_below: so many more are next to them, or 0.
    """

    job: Kin
    above: Sequence[Kin] = ()
    below: Sequence[Kin] = ()
    edges: Sequence[tuple[UUID, UUID]] = ()
    hidden_above: int = 0
    hidden_below: int = 0


@dataclass(frozen=True)
class Box:
    """Where a job is drawn: its upper left corner."""

    kin: Kin
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """What is drawn: boxes, and from parents to children the paths of SVG."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    paths: tuple[str, ...]


def drawing(family: Family) -> Drawing:
    """Each job stands above all that wait for it; a level that is too wide takes several rows."""
    parents, children = _neighbours(family.edges)
    above = _ordered(_levels(family.above, children), children)
    below = _ordered(_levels(family.below, parents), parents)
    rows = [row for level in reversed(above) for row in _rows(level)]
    rows += [[family.job], *(row for level in below for row in _rows(level))]
    boxes = _placed(rows)
    width = max(map(len, rows)) * (BOX_WIDTH + _ACROSS) - _ACROSS + 2 * _MARGIN
    height = len(rows) * (BOX_HEIGHT + _DOWN) - _DOWN + 2 * _MARGIN
    paths = [_path(boxes[parent], boxes[child]) for parent, child in family.edges]
    return Drawing(width, height, tuple(boxes.values()), tuple(paths))


def _neighbours(edges: Sequence[tuple[UUID, UUID]]) -> tuple[Mapping[UUID, list[UUID]], Mapping[UUID, list[UUID]]]:
    """The parents of each job, and its children."""
    parents: dict[UUID, list[UUID]] = {}
    children: dict[UUID, list[UUID]] = {}
    for parent, child in edges:
        parents.setdefault(child, []).append(parent)
        children.setdefault(parent, []).append(child)
    return parents, children


def _levels(others: Sequence[Kin], nearer: Mapping[UUID, Sequence[UUID]]) -> list[list[Kin]]:
    """The others by the length of the longest way to the job, the nearest first; nearer: one step on such ways."""
    known = {kin.job_id for kin in others}

    @cache
    def steps(job_id: UUID) -> int:
        return 1 + max((steps(one) for one in nearer.get(job_id, ()) if one in known), default=0)

    levels: dict[int, list[Kin]] = {}
    for kin in others:
        levels.setdefault(steps(kin.job_id), []).append(kin)
    return [levels[number] for number in sorted(levels)]


def _ordered(levels: Sequence[Sequence[Kin]], nearer: Mapping[UUID, Sequence[UUID]]) -> list[list[Kin]]:
    """Each level in the order of the nearer jobs that its own are joined to, so that few lines cross."""
    places: dict[UUID, float] = {}

    def place(kin: Kin) -> float:
        joined = [places[one] for one in nearer.get(kin.job_id, ()) if one in places]
        return sum(joined) / len(joined) if joined else 0.0

    ordered = []
    for level in levels:
        ordered.append(sorted(level, key=place))
        places |= {kin.job_id: number - (len(level) - 1) / 2 for number, kin in enumerate(ordered[-1])}
    return ordered


def _rows(level: Sequence[Kin]) -> list[list[Kin]]:
    """As many rows as it takes, about as long as each other."""
    count = -(-len(level) // _BOXES_IN_A_ROW)
    edges = [len(level) * number // count for number in range(count + 1)]
    return [list(level[start:end]) for start, end in pairwise(edges)]


def _placed(rows: Sequence[Sequence[Kin]]) -> dict[UUID, Box]:
    """Each row in the middle."""
    longest = max(map(len, rows))
    boxes = {}
    for number, row in enumerate(rows):
        first = (longest - len(row)) / 2
        for place, kin in enumerate(row):
            x, y = (first + place) * (BOX_WIDTH + _ACROSS), number * (BOX_HEIGHT + _DOWN)
            boxes[kin.job_id] = Box(kin, _MARGIN + x, _MARGIN + y)
    return boxes


def _path(parent: Box, child: Box) -> str:
    """A curve from the lower side of one box to the upper side of another."""
    x1, y1 = parent.x + BOX_WIDTH / 2, parent.y + BOX_HEIGHT
    x2, y2 = child.x + BOX_WIDTH / 2, child.y
    middle = (y1 + y2) / 2
    return f"M{x1:g} {y1:g}C{x1:g} {middle:g} {x2:g} {middle:g} {x2:g} {y2:g}"
