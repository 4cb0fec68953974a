"""How busy each node was over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from balsam_core.analysis.lanes import by_number
from balsam_core.analysis.runs import Attempt
from balsam_core.analysis.span import Span


def node_shares(attempts: Iterable[Attempt], span: Span) -> Mapping[str, Sequence[float]]:
    """For each node, in the order of the numbers in their names, the mean over each interval: 1 is one busy node.

    An attempt on several nodes stands at the first of them, where it counts for all.
    """
    shares: dict[str, list[float]] = {}
    width = span.width
    for attempt in attempts:
        begin = max(attempt.start - span.start, 0.0)
        end = min(attempt.end - span.start, span.seconds)
        if begin >= end:
            continue
        share = shares.setdefault(attempt.node, [0.0] * span.intervals)
        for number in range(span.interval(int(begin / width)), span.interval(int(end / width)) + 1):
            busy = min(end, (number + 1) * width) - max(begin, number * width)
            share[number] += attempt.nodes * max(0.0, busy) / width
    return dict(sorted(shares.items(), key=lambda item: by_number(item[0])))
