"""How the rate of finished jobs grows with the nodes of a launcher."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from balsam_core.analysis.hours import Held


@dataclass(frozen=True)
class Scaling:
    """(nodes, jobs per hour) of each launcher that finished jobs, by nodes."""

    points: Sequence[tuple[int, float]]

    def ideal(self, nodes: int) -> float:
        """Jobs per hour if the mean rate of the smallest launchers grew with the nodes."""
        fewest = self.points[0][0]
        rates = [rate for count, rate in self.points if count == fewest]
        return sum(rates) / len(rates) * nodes / fewest

    def efficiency(self, nodes: int, per_hour: float) -> float:
        """The part of the ideal rate."""
        return per_hour / self.ideal(nodes)


def scaling(launchers: Iterable[Held], now: float) -> Scaling:
    """The rates of launchers over the time that they had their nodes."""
    points = []
    for one in launchers:
        seconds = (now if one.end is None else one.end) - one.start
        if one.jobs_done and seconds > 0:
            points.append((one.nodes, one.jobs_done * 3600 / seconds))
    return Scaling(sorted(points))
