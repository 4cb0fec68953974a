"""Shows what a launcher is doing: a live line on a terminal, a log line now and then in a batch job."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from balsam_core.launcher.loop import Account

if TYPE_CHECKING:
    from rich.live import Live

_log = logging.getLogger(__name__)
_LIVE_SECONDS = 0.25
_LOG_SECONDS = 10.0


class Progress:
    """Call it with the loop as often as you like; it draws when it is time to."""

    def __init__(self) -> None:
        self._live = _live_line() if sys.stderr.isatty() else None
        self._every = _LIVE_SECONDS if self._live else _LOG_SECONDS
        self._next = 0.0
        self._last = ""
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, loop: Account) -> None:
        """Draw, or log when something changed."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._every
        line = self.line(loop)
        if self._live:
            self._live.update(line, refresh=True)
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


def _live_line() -> Live:
    """A line of the terminal that is drawn again and again; rich takes 50 ms to import, which a batch job saves."""
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(file=sys.stderr, markup=False, highlight=False), auto_refresh=False, transient=True)
