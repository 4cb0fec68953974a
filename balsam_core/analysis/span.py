"""A stretch of time in intervals of equal length, over which moves are counted, and the unit that suits it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

_UNITS = ((86400.0 * 3, 86400.0, "days"), (3600.0 * 3, 3600.0, "hours"), (60.0 * 3, 60.0, "minutes"))


@dataclass(frozen=True)
class Span:
    """From `start` to `end` (seconds since the epoch, UTC) in so many intervals."""

    start: float
    end: float
    intervals: int = 200

    @property
    def seconds(self) -> float:
        """Its length; never zero, so that everything may be divided by it."""
        return max(self.end - self.start, 1e-3)

    @property
    def width(self) -> float:
        """The length of one interval, in seconds."""
        return self.seconds / self.intervals

    @property
    def edges(self) -> list[float]:
        """Where intervals begin, and the end: seconds since the start."""
        return [number * self.width for number in range(self.intervals + 1)]

    def interval(self, number: int) -> int:
        """The interval that counts for `number`: what lies on the last edge belongs to the last one."""
        return min(max(number, 0), self.intervals - 1)

    def overlap(self, start: float, end: float) -> list[float]:
        """How many seconds of each interval lie between `start` and `end`, seconds since the epoch."""
        begin, stop = start - self.start, end - self.start
        return [max(0.0, min(stop, edge + self.width) - max(begin, edge)) for edge in self.edges[:-1]]


@dataclass(frozen=True)
class Clock:
    """The unit of a time axis that is easy to read for its length."""

    start: float
    seconds: float
    name: str

    @classmethod
    def of(cls, start: float, end: float) -> Clock:
        """Days, hours, minutes or seconds since `start`."""
        for least, seconds, name in _UNITS:
            if end - start >= least:
                return cls(start, seconds, name)
        return cls(start, 1.0, "seconds")

    @property
    def label(self) -> str:
        """`hours since 2026-11-25 12:00:00 UTC`."""
        return f"{self.name} since {datetime.fromtimestamp(self.start, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
