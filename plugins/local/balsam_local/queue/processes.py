"""The processes of this host, as far as the queue must know them: which belong to a batch job."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

MARK_VARIABLE = "BALSAM_LOCAL_MARK"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOOK_AGAIN_SECONDS = 0.02


class Process(NamedTuple):
    """One line of the process table; pid and start_ticks together name a process for as long as the host is up."""

    pid: int
    parent: int
    group: int
    session: int
    start_ticks: int
    is_zombie: bool


def boot_id() -> str:
    """Changes with every boot, so that a pid of an earlier boot is known to be gone."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def process(pid: int) -> Process | None:
    """The process of that pid; None: there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold blanks and parentheses of its own, see proc(5).
    words = stat[stat.rindex(b")") + 2 :].split()
    parent, group, session = (int(word) for word in words[1:4])
    return Process(pid, parent, group, session, int(words[19]), words[0] in b"ZX")


def members(leader: int | None, start_ticks: int | None, mark: str) -> list[Process]:
    """What still runs of a batch job: the group and session of its leader, and all that carry its mark.

    A process that has the leader's pid but started at another time is a stranger, and so is its group.
    """
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - many of them
    table = [one for one in found if one]
    if any(one.pid == leader and one.start_ticks != start_ticks for one in table):
        leader = None
    assignment = os.fsencode(f"{MARK_VARIABLE}={mark}")
    return [
        one
        for one in table
        if not one.is_zombie
        and ((leader and leader in (one.group, one.session)) or (mark and _has_variable(one.pid, assignment)))
    ]


def kill(one: Process) -> None:
    """SIGKILL to this very process; nothing happens when it is gone or not ours."""
    now = process(one.pid)
    if now is not None and now.start_ticks == one.start_ticks:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(one.pid, signal.SIGKILL)


def sweep(leader: int | None, start_ticks: int | None, mark: str, deadline_seconds: float = 10) -> None:
    """SIGKILL all that a batch job left, except this process; waits until they are gone."""
    until = time.monotonic() + deadline_seconds
    while left := [one for one in members(leader, start_ticks, mark) if one.pid != os.getpid()]:
        for one in left:
            kill(one)
        if time.monotonic() > until:
            return
        time.sleep(_LOOK_AGAIN_SECONDS)


def _has_variable(pid: int, assignment: bytes) -> bool:
    try:
        return assignment in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
