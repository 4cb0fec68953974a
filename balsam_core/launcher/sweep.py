"""Kills what a dead launcher left running on this host."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterable

from balsam_core.launcher import procfs

# In the environment of all that belongs to a launcher.
LAUNCHER_VARIABLE = "BALSAM_LAUNCHER_ID"
# In the environment of all that belongs to one program of ranks; its value is different for each start.
RANKS_VARIABLE = "BALSAM_RANKS_ID"

_log = logging.getLogger(__name__)
# The start is noted just before the fork; a loaded machine may take a while to come to the fork itself.
_START_TOLERANCE_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 0.02


def sweep(
    mark: str,
    groups: Iterable[tuple[int, float]] = (),
    deadline_seconds: float = 10,
    variable: str = LAUNCHER_VARIABLE,
) -> int:
    """SIGKILL every leftover of a launcher; the answer is how many processes were killed.

    groups: pid and start (CLOCK_BOOTTIME seconds) of the tasks that it had running; a pid that is another process's
    by now is left alone. Besides these, everything that has the mark in that variable is killed, worker included.
    Returns when all are gone; what outlives the deadline (stuck in the kernel) is logged. Never kills this process
    or one of its ancestors. A process that dropped its environment and left its session is not found.
    """
    leaders = dict(groups)
    spared = procfs.ancestors(os.getpid())
    killed: set[tuple[int, int]] = set()
    until = time.monotonic() + deadline_seconds
    while leftovers := _leftovers(os.fsencode(f"{variable}={mark}"), leaders, spared):
        for one in leftovers:
            procfs.send(one, signal.SIGKILL)
            killed.add((one.pid, one.start_ticks))
        if time.monotonic() > until:
            _log.warning("processes of %s=%s outlive SIGKILL: %s", variable, mark, [one.pid for one in leftovers])
            break
        time.sleep(_LOOK_AGAIN_SECONDS)
    return len(killed)


def _leftovers(mark: bytes, leaders: dict[int, float], spared: set[int]) -> list[procfs.Process]:
    """The recorded tasks that still run, what is in their groups and sessions or descends from them, and the marked."""
    table = [one for one in procfs.processes() if not one.is_zombie]
    roots = {one.pid for one in table if one.pid in leaders and _is_start(one, leaders[one.pid])}
    family = {one.pid for one in procfs.descendants(table, roots)} | roots
    return [
        one
        for one in table
        if one.pid not in spared
        and (one.pid in family or not roots.isdisjoint((one.group, one.session)) or procfs.has_variable(one.pid, mark))
    ]


def _is_start(one: procfs.Process, recorded: float) -> bool:
    return -0.1 <= one.boottime_seconds - recorded <= _START_TOLERANCE_SECONDS
