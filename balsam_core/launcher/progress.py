"""Shows what a launcher is doing: a live line on a terminal, a log line now and then in a batch job."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from balsam_core.launcher.loop import Account

_log = logging.getLogger(__name__)
_LIVE_SECONDS = 0.25
_LOG_SECONDS = 10.0


class Progress:
    """Call it with the loop as often as you like; it draws when it is time to."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._every = _LIVE_SECONDS if self._console.is_terminal else _LOG_SECONDS
        self._next = 0.0
        self._last = ""
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, loop: Account) -> None:
        """Draw, or log when something changed."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._every
        line = self.line(loop)
        if self._console.is_terminal:
            self._live.update(Text(line), refresh=True)
        elif line != self._last:
            self._last = line
            if loop.tally.started:
                _log.info("%s", line)

    def line(self, loop: Account) -> str:
        """Done, failed, running, rate and time left, in one line."""
        tally = loop.tally
        seconds = max(time.monotonic() - self._began, 0.001)
        ended = tally.done + tally.failed + tally.timed_out
        parts = [f"done {tally.done}", f"failed {tally.failed}", f"running {loop.running}"]
        if tally.timed_out:
            parts.append(f"timed out {tally.timed_out}")
        parts.append(f"{ended / seconds:.1f} jobs/s")
        if loop.seconds_left is not None:
            parts.append(f"{max(loop.seconds_left, 0) / 60:.0f} min left")
        return " | ".join(parts)
