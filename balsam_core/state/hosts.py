"""Who this process is on which machine, and what time it is for leases."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SLACK_SECONDS = 0.05
_MACHINE_ID = Path("/etc/machine-id")


def machine_id(environ: Mapping[str, str]) -> str:
    """What tells this machine from others; BALSAM_MACHINE_ID overrides it (containers that share one)."""
    given = environ.get("BALSAM_MACHINE_ID")
    if given:
        return given
    try:
        return _MACHINE_ID.read_text().strip() or hostname()
    except OSError:
        return hostname()


def boot_id() -> str:
    """Changes with every boot, so that a pid of an earlier boot is known to be gone."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def hostname() -> str:
    """The name of this host, for people; it never decides anything."""
    return socket.gethostname()


def boot_clock() -> float:
    """Seconds since boot: a clock that no administrator and no time server steps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def process_clock(pid: int) -> float | None:
    """When a process of this host started, on the boot clock, to a hundredth; None: there is none (or a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = _after_name(stat)
    return None if fields[0] in "ZX" else int(fields[19]) / os.sysconf("SC_CLK_TCK")


def is_same_process(pid: int, started: float) -> bool:
    """Whether the process of this host that has the pid is the one that started then, on the boot clock."""
    found = process_clock(pid)
    return found is not None and abs(found - started) <= _SLACK_SECONDS


def is_stopped(pid: int, started: float) -> bool:
    """Whether that process of this host is there and was stopped, by SIGSTOP or by a debugger."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return _after_name(stat)[0] in "Tt" and is_same_process(pid, started)


def _after_name(stat: str) -> list[str]:
    # The second field is the command in brackets and may hold anything; see proc(5).
    return stat[stat.rindex(")") + 2 :].split()
