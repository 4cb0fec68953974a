"""Lays out what was used over time: an axis of hours, steps and bars, in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from math import ceil

from balsam_core.analysis.span import Span

# Names stand to the left of the drawing.
LEFT, WIDTH = 190, 930
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STEPS = (
    *(_MINUTE * count for count in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * count for count in (1, 2, 3, 6, 12)),
    *(_DAY * count for count in (1, 2, 7, 14, 28, 84, 364)),
)
_MOST_TICKS = 8


@dataclass(frozen=True)
class Tick:
    """A moment on the axis."""

    x: float
    label: str


@dataclass(frozen=True)
class Bar:
    """A stretch of time."""

    x: float
    width: float


def ticks(span: Span) -> list[Tick]:
    """Round moments, UTC, at most eight."""
    step = next((step for step in _STEPS if span.seconds / step <= _MOST_TICKS), span.seconds / _MOST_TICKS)
    first = ceil(span.start / step)
    moments = [number * step for number in range(first, int(span.end // step) + 1)]
    form = "%H:%M" if step < _DAY and span.seconds <= _DAY else "%m-%d %H:%M" if step < _DAY else "%m-%d"
    return [Tick(_x(span, at), f"{datetime.fromtimestamp(at, timezone.utc):{form}}") for at in moments]


def bar(span: Span, start: float, end: float) -> Bar:
    """From `start` to `end`, as far as the span has them; never too thin to be seen."""
    left, right = _x(span, max(start, span.start)), _x(span, min(end, span.end))
    return Bar(left, max(right - left, 1.0))


def steps(values: Sequence[float], most: float, height: float) -> str:
    """A path of SVG: a step per value, down to the ground at both ends; `most` is the full height."""
    width = WIDTH / max(len(values), 1)
    path, last = [f"M{LEFT} {height:g}"], None
    for number, value in enumerate(values):
        y = round(height * (1 - min(value / most, 1.0)), 1) if most > 0 else height
        if y != last:
            path.append(f"H{LEFT + number * width:.1f}V{y:g}")
            last = y
    return "".join([*path, f"H{LEFT + WIDTH}V{height:g}"])


def _x(span: Span, at: float) -> float:
    return round(LEFT + WIDTH * (at - span.start) / span.seconds, 1)
