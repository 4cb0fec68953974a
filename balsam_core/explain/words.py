"""How explanations name jobs, launchers, times and signals."""

from __future__ import annotations

import signal
from datetime import datetime, timezone
from fractions import Fraction
from uuid import UUID

from balsam_core.counting import counted
from balsam_core.explain.facts import LauncherFacts
from balsam_core.models.batch import BatchJob

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def short(some_id: UUID) -> str:
    """The first 8 digits, which commands take."""
    return str(some_id)[:8]


def named(name: str, job_id: UUID) -> str:
    """A job as people speak of it."""
    return f"[{name} | {short(job_id)}]"


def times(count: int) -> str:
    """How often."""
    return "once" if count == 1 else f"{count} times"


def lasting(seconds: float) -> str:
    """A length of time, as roughly as people say it."""
    seconds = max(seconds, 0.0)
    if seconds < 2 * _MINUTE:
        return counted(round(seconds), "second")
    if seconds < 2 * _HOUR:
        return counted(round(seconds / _MINUTE), "minute")
    if seconds < 2 * _DAY:
        return counted(round(seconds / _HOUR), "hour")
    return counted(round(seconds / _DAY), "day")


def since(then: float, now: float) -> str:
    """A moment and how long ago it was."""
    moment = datetime.fromtimestamp(then, timezone.utc)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC ({lasting(now - then)} ago)"


def launcher_named(launcher: LauncherFacts) -> str:
    """A launcher with what tells it from others."""
    if launcher.is_service:
        return f"service {short(launcher.launcher_id)} (on {launcher.host})"
    nodes = counted(launcher.nodes, "node")
    return f"launcher {short(launcher.launcher_id)} ({launcher.job_mode} mode, {nodes}, on {launcher.host})"


def batch_job_named(job: BatchJob) -> str:
    """A batch job by its number and the scheduler's id."""
    return f"batch job {job.number} ({job.scheduler} {job.scheduler_id or 'without an id'})"


def part(share: Fraction) -> str:
    """So many nodes, or a part of one."""
    if share.denominator == 1:
        return counted(int(share), "node")
    return f"{share} of a node" if share < 1 else f"{float(share):.1f} nodes"


def exit_words(code: int) -> str:
    """How a process ended, by its exit code; minus the signal when one ended it."""
    if code < 0:
        return f"was ended by signal {-code}{_signal(-code)}"
    if code > 128 and (name := _signal(code - 128)):
        return f"ended with exit code {code}, with which a shell tells of signal {code - 128}{name}"
    return f"ended with exit code {code}"


def sentence(text: str) -> str:
    """Begins with a capital and ends with a period."""
    text = " ".join(text.split())
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")


def first_line(message: str) -> str:
    """What a message says before the output that it quotes."""
    return message.strip().partition("\n")[0]


def _signal(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""
