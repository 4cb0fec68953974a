"""Threads for file work, whose results an event loop can wait for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Outcome(Generic[Key]):
    """What one piece of work gave: its text, or the exception that it raised."""

    key: Key
    text: str
    error: Exception | None


class FileThreads(Generic[Key]):
    """So many daemon threads, started when first needed; `fileno` is readable when one has finished.

    Unlike those of concurrent.futures they never keep the program from ending: a launcher has to be gone within
    seconds of its signal, and a copy that is cut off is done again.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started = 0
        self._work: SimpleQueue[tuple[Key, Callable[[], str]]] = SimpleQueue()
        self._outcomes: deque[Outcome[Key]] = deque()
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def fileno(self) -> int:
        """For a selector."""
        return self._reader

    def submit(self, key: Key, work: Callable[[], str]) -> None:
        """Have `work` done by some thread; its outcome comes under `key`."""
        if self._started < self._count:
            self._started += 1
            Thread(target=self._run, name=f"files-{self._started}", daemon=True).start()
        self._work.put((key, work))

    def outcomes(self) -> Iterator[Outcome[Key]]:
        """What has been finished since the last call."""
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)
        while self._outcomes:
            yield self._outcomes.popleft()

    def _run(self) -> None:
        while True:
            key, work = self._work.get()
            try:
                outcome = Outcome(key, work(), None)
            except Exception as error:  # handed to whoever asked for the work
                outcome = Outcome(key, "", error)
            self._outcomes.append(outcome)
            # Full: the loop is awake already.
            with suppress(BlockingIOError):
                os.write(self._writer, b"x")
