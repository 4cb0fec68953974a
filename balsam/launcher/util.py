"""Small tools of Balsam 0.5's launcher: timers, the tail of a file, another current folder for a while."""

from __future__ import annotations

import os
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from balsam.core.site import require_site

require_site()

__all__ = [
    "cd",
    "delay_generator",
    "elapsed_time_minutes",
    "get_tail",
    "parse_real_time",
    "remaining_time_minutes",
    "time_cmd",
]


class cd:  # noqa: N801 Balsam 0.5's name
    """Another current folder, for as long as a `with` block lasts."""

    def __init__(self, new_path: str | Path) -> None:
        self.new_path = Path(new_path).expanduser()

    def __enter__(self) -> None:
        self.saved_path = Path.cwd()
        os.chdir(self.new_path)

    def __exit__(self, *error: object) -> None:
        os.chdir(self.saved_path)


def get_tail(fname: str | Path, nlines: int = 16, indent: str = "    ") -> str:
    """The last lines of a file, indented; raises OSError when it cannot be read."""
    with Path(fname).open(errors="replace") as file:
        return "\n".join(indent + line.rstrip("\n") for line in deque(file, maxlen=nlines))


def delay_generator(period: float = 1.0) -> Iterator[None]:
    """Each `next` comes `period` seconds after the last one, or at once when more time has passed."""
    due = time.monotonic() + period
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due, time.monotonic()) + period
        yield


def elapsed_time_minutes() -> Iterator[float]:
    """The minutes since the first `next`."""
    start = time.monotonic()
    while True:
        yield (time.monotonic() - start) / 60.0


def remaining_time_minutes(time_limit_minutes: float = 0.0) -> Iterator[float]:
    """The minutes that are left of a limit, or else of the batch job, until there are none; inf without either."""
    minutes = float(time_limit_minutes or 0)
    if minutes <= 0:
        from balsam.launcher.allocation import allocation

        seconds = allocation().seconds_left
        minutes = float("inf") if seconds is None else seconds / 60.0
    deadline = time.monotonic() + minutes * 60.0
    while (left := (deadline - time.monotonic()) / 60.0) > 0:
        yield left


def time_cmd(cmd: str | Sequence[str], envs: Mapping[str, str] | None = None) -> tuple[str, float | None]:
    """Run a command of bash; its output, and how many seconds it took."""
    line = cmd if isinstance(cmd, str) else " ".join(cmd)
    words = ["bash", "-c", f"time -p ( {line} )"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=envs, text=True, check=False)
    return done.stdout, parse_real_time(done.stdout)


def parse_real_time(stdout: str | bytes) -> float | None:
    """The seconds that `time -p` printed after `real`; None: it printed none."""
    text = stdout.decode() if isinstance(stdout, bytes) else stdout
    real = [line.split()[1] for line in text.splitlines()[-5:] if line.startswith("real")]
    return float(real[-1]) if real else None
