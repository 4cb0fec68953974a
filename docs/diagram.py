"""Draws docs/states.svg, the states of a job and the moves between them: `python docs/diagram.py`.

The arrows are those of the table in balsam_core/state/machine.py; only the places of the boxes are chosen here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from balsam_core.state.machine import ACTIVE, AUTOMATIC, END, PASSED_THROUGH, RUNNABLE, State

FILE = Path(__file__).parent / "states.svg"

S = State
# Column and row of the middle of each box; FAILED is as tall as the rows that lead to it.
PLACES = {
    S.CREATED: (0, 0.0),
    S.AWAITING_PARENTS: (1, 1.0),
    S.READY: (0, 2.0),
    S.STAGED_IN: (0, 3.0),
    S.PREPROCESSED: (0, 4.0),
    S.RESTART_READY: (1, 4.0),
    S.RUN_TIMEOUT: (1, 5.0),
    S.RUNNING: (0, 5.5),
    S.RUN_ERROR: (1, 6.0),
    S.RUN_DONE: (0, 7.0),
    S.POSTPROCESSED: (0, 8.0),
    S.JOB_FINISHED: (0, 9.0),
    S.FAILED: (2, 4.0),
    S.USER_KILLED: (2, 9.0),
}
_WIDTH, _HEIGHT, _GAP, _ROW, _MARGIN = 160, 34, 90, 62, 12
_FAILED_HEIGHT = 8 * _ROW + _HEIGHT
# These pass another box, or another arrow between the same two states.
_BENDS = {
    (S.RUN_ERROR, S.RESTART_READY): 60,
    (S.RUNNING, S.RESTART_READY): -14,
    (S.RESTART_READY, S.RUNNING): -14,
}
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #222; text-anchor: middle; dominant-baseline: central }
text.note { font-size: 12px; fill: #666 }
rect { fill: #eef1f5; stroke: #6b7787; stroke-width: 1.2 }
rect.runnable { fill: #fff3cf; stroke: #a98200 }
rect.active { fill: #d9e8ff; stroke: #2b62b8 }
rect.end { fill: #dff2e0; stroke: #2f7d36 }
rect.broken { fill: #fbe1df; stroke: #b3352b }
rect.passed { stroke-dasharray: 5 3 }
path { fill: none; stroke: #55606e; stroke-width: 1.3; marker-end: url(#head) }
path.fails { stroke: #c9827b; marker-end: url(#fails) }
@media (prefers-color-scheme: dark) { text.note { fill: #b5bdc8 } path { stroke: #9aa5b3 } }"""

Point = tuple[float, float]


def drawing() -> str:
    """The diagram as SVG."""
    width = 3 * _WIDTH + 2 * _GAP + 2 * _MARGIN
    height = 9 * _ROW + _HEIGHT + 2 * _MARGIN
    body = "\n".join([*_arrows(), *_boxes(), _note()])
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 Z" style="fill: {colour}; stroke: none; marker-end: none"/></marker>'
        for name, colour in (("head", "#7a8592"), ("fails", "#c9827b"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f"<title>The states of a job</title>\n<style>\n{_STYLE}\n</style>\n<defs>{heads}</defs>\n{body}\n</svg>\n"
    )


def _boxes() -> Iterator[str]:
    for state in State:
        (x, y), tall = _middle(state), _tall(state)
        corner = f'x="{x - _WIDTH / 2:g}" y="{y - tall / 2:g}"'
        yield f'<rect class="{_kind(state)}" {corner} width="{_WIDTH}" height="{tall}" rx="6"/>'
        yield f'<text x="{x:g}" y="{y:g}">{state}</text>'


def _arrows() -> Iterator[str]:
    for origin, targets in AUTOMATIC.items():
        for target in sorted(targets):
            yield f'<path class="{"fails" if target is S.FAILED else "moves"}" d="{_path(origin, target)}"/>'


def _note() -> str:
    x, y = _middle(S.USER_KILLED)
    return f'<text class="note" x="{x - _WIDTH / 2 - 80:g}" y="{y:g}">any state but an end →</text>'


def _kind(state: State) -> str:
    if state in END:
        return "end" if state is S.JOB_FINISHED else "broken"
    kind = "runnable" if state in RUNNABLE else "active" if state in ACTIVE else "processable"
    return f"{kind} passed" if state in PASSED_THROUGH else kind


def _path(origin: State, target: State) -> str:
    """A straight line, or a bent one, from the edge of one box to that of the other."""
    start, end = _middle(origin), _middle(target)
    if target is S.FAILED:
        end = (end[0], start[1])
    bend = _BENDS.get((origin, target), 0)
    if bend and start[0] == end[0]:
        x = start[0] + _WIDTH / 2
        return f"M{x:g},{start[1]:g} C{x + bend:g},{start[1]:g} {x + bend:g},{end[1]:g} {x:g},{end[1]:g}"
    shift = (bend, bend) if start[0] < end[0] else (-bend, -bend)
    start, end = _edge(start, end, shift), _edge(end, start, shift)
    return f"M{start[0]:g},{start[1]:g} L{end[0]:g},{end[1]:g}"


def _edge(inside: Point, outside: Point, shift: Point) -> Point:
    """Where the line between two points leaves the box around the first."""
    dx, dy = outside[0] - inside[0], outside[1] - inside[1]
    if dx == 0:
        return inside[0], inside[1] + (_HEIGHT / 2 if dy > 0 else -_HEIGHT / 2)
    return inside[0] + (_WIDTH / 2 if dx > 0 else -_WIDTH / 2), inside[1] + shift[1]


def _middle(state: State) -> Point:
    column, row = PLACES[state]
    return _MARGIN + _WIDTH / 2 + column * (_WIDTH + _GAP), _MARGIN + _HEIGHT / 2 + row * _ROW


def _tall(state: State) -> int:
    return _FAILED_HEIGHT if state is S.FAILED else _HEIGHT


if __name__ == "__main__":
    FILE.write_text(drawing())
