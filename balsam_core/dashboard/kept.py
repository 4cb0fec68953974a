"""Keeps what takes long to work out, so that no request waits for it and no crowd of browsers repeats it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from typing import Generic, TypeVar

from balsam_core.dashboard.live import Changes

Key = TypeVar("Key")
Value = TypeVar("Value")

# For each second that a value took, it is good for so many.
_REST = 10.0
# So long a request waits for a newer value than the one that is there.
_PATIENCE_SECONDS = 0.2
_MOST_KEYS = 100


@dataclass(frozen=True)
class _Made(Generic[Value]):
    value: Value
    change: int
    good_until: float


class Kept(Generic[Key, Value]):
    """Values by key, each made in a thread when it is asked for and the last one is no longer good.

    seconds: how long a value is good at least. changes: told when there will be a better one than was given.
    """

    def __init__(self, make: Callable[[Key], Value], seconds: float, changes: Changes) -> None:
        self._make = make
        self._seconds = seconds
        self._changes = changes
        self._lock = threading.Lock()
        self._made: dict[Key, _Made[Value]] = {}
        self._making: dict[Key, Future[Value]] = {}
        self._due: set[Key] = set()

    def get(self, key: Key) -> Value:
        """The value, as of now or of a little while ago; the first one is waited for. Raises what `make` raises."""
        found = self.soon(key)
        return self._begun(key).result() if found is None else found

    def soon(self, key: Key) -> Value | None:
        """The same, but None while the first one is being made."""
        made = self._made.get(key)
        if made is not None and time.monotonic() < made.good_until:
            if made.change != self._changes.number:
                self._tell_at(key, made.good_until)
            return made.value
        making = self._begun(key)
        try:
            return making.result(_PATIENCE_SECONDS)
        except NotYet:
            making.add_done_callback(lambda _: self._changes.look_again())
            return None if made is None else made.value

    def _begun(self, key: Key) -> Future[Value]:
        with self._lock:
            if key not in self._making:
                self._making[key] = Future()
                threading.Thread(target=self._run, args=(key, self._making[key]), daemon=True).start()
            return self._making[key]

    def _run(self, key: Key, future: Future[Value]) -> None:
        change, began = self._changes.number, time.monotonic()
        try:
            value = self._make(key)
        except Exception as error:
            with self._lock:
                del self._making[key]
            future.set_exception(error)
            return
        now = time.monotonic()
        with self._lock:
            # The one that was made last stands last.
            self._made.pop(key, None)
            if len(self._made) >= _MOST_KEYS:
                del self._made[next(iter(self._made))]
            self._made[key] = _Made(value, change, now + max(self._seconds, _REST * (now - began)))
            del self._making[key]
        future.set_result(value)

    def _tell_at(self, key: Key, moment: float) -> None:
        """Have the browsers look again when the value is no longer good; once."""
        with self._lock:
            if key in self._due:
                return
            self._due.add(key)
        timer = threading.Timer(moment - time.monotonic(), self._tell, (key,))
        timer.daemon = True
        timer.start()

    def _tell(self, key: Key) -> None:
        with self._lock:
            self._due.discard(key)
        self._changes.look_again()
