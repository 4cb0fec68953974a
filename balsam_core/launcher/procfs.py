"""Reads the process table of Linux and signals single processes without hitting a reused pid."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Collection, Iterable
from typing import NamedTuple

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """One line of the process table; pid and start_ticks together name a process for as long as the host is up."""

    pid: int
    parent: int
    group: int
    session: int
    start_ticks: int
    is_zombie: bool

    @property
    def boottime_seconds(self) -> float:
        """When it was forked, on CLOCK_BOOTTIME, rounded down to a clock tick."""
        return self.start_ticks / _TICKS_PER_SECOND


def processes() -> list[Process]:
    """The processes that this user may see."""
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - pathlib costs 13 ms
    return [one for one in found if one]


def process(pid: int) -> Process | None:
    """The process of that pid; None: there is none."""
    stat = _read(f"/proc/{pid}/stat")
    if not stat:
        return None
    # The name in parentheses may hold blanks and parentheses of its own, see proc(5).
    words = stat[stat.rindex(b")") + 2 :].split()
    parent, group, session = (int(word) for word in words[1:4])
    return Process(pid, parent, group, session, int(words[19]), words[0] in b"ZX")


def descendants(table: Iterable[Process], roots: Collection[int]) -> list[Process]:
    """Children, grandchildren and so on of the roots, without the roots."""
    children: dict[int, list[Process]] = {}
    for one in table:
        children.setdefault(one.parent, []).append(one)
    found: list[Process] = []
    waiting = list(roots)
    while waiting:
        young = children.pop(waiting.pop(), [])
        found += young
        waiting += [one.pid for one in young]
    return found


def ancestors(pid: int) -> set[int]:
    """The pid itself, its parent, and so on up."""
    found: set[int] = set()
    one = process(pid)
    while one and one.pid not in found:
        found.add(one.pid)
        one = process(one.parent)
    return found


def has_variable(pid: int, assignment: bytes) -> bool:
    """Whether the process was started with `NAME=value` in its environment."""
    return assignment in _read(f"/proc/{pid}/environ").split(b"\0")


def send(target: Process, signum: signal.Signals) -> None:
    """Signal this very process; nothing happens when it is gone or not ours."""
    try:
        descriptor = os.pidfd_open(target.pid)
    except OSError as error:
        if error.errno == errno.ENOSYS:  # Linux before 5.3
            _send_unless_reused(target, signum)
        return
    try:
        _send_unless_reused(target, signum, descriptor)
    finally:
        os.close(descriptor)


def send_group(group: int, signum: signal.Signals) -> None:
    """Signal a process group whose leader is known not to be reaped, or whose members are known to be alive."""
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):
        return


def _send_unless_reused(target: Process, signum: signal.Signals, descriptor: int | None = None) -> None:
    now = process(target.pid)
    if now is None or now.start_ticks != target.start_ticks:
        return
    try:
        if descriptor is None:
            os.kill(target.pid, signum)
        else:
            signal.pidfd_send_signal(descriptor, signum)
    except (ProcessLookupError, PermissionError):
        return


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        chunks = []
        while chunk := os.read(descriptor, 1 << 17):
            chunks.append(chunk)
        return b"".join(chunks)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
