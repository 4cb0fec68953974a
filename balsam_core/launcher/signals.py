"""Turns signals into something that an event loop can wait for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class StopSignals:
    """Catches the signals that ask a launcher to end; `fileno` is readable when one came."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        for number in STOPPING:
            self._before[number] = signal.signal(number, _ignore)
        self._old_descriptor = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._old_descriptor)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        """For a selector."""
        return self._reader

    def received(self) -> Iterator[signal.Signals]:
        """The stopping signals that came since the last call."""
        try:
            numbers = os.read(self._reader, 4096)
        except BlockingIOError:
            return
        for number in numbers:
            if number in STOPPING:
                yield signal.Signals(number)

    def reasons(self) -> Iterator[str]:
        """Why to stop, once for each signal that came."""
        for number in self.received():
            yield f"received {number.name}"


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """The number arrives through the pipe; without a handler the signal would end the process."""
