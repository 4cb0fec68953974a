"""Keeps forks apart from what other threads do with a database.

A child has the forking thread only. A lock that another thread held at that moment, SQLite's and the drivers' own too,
is never given back there: the child would wait for it for ever.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# A transaction may wait for a locked database; a program that forks then goes on all the same.
_LONGEST_SECONDS = 10.0


class Gate:
    """Threads pass it for the time of a transaction; a fork waits until no other thread is inside, and lets none in."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside: dict[int, int] = {}
        self._forking: int | None = None

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Be inside; a thread may be so several times."""
        me = threading.get_ident()
        with self._condition:
            while self._forking not in (None, me) and me not in self._inside:
                self._condition.wait()
            self._inside[me] = self._inside.get(me, 0) + 1
        try:
            yield
        finally:
            with self._condition:
                self._inside[me] -= 1
                if not self._inside[me]:
                    del self._inside[me]
                    self._condition.notify_all()

    def close(self) -> None:
        """Before a fork by this thread."""
        me = threading.get_ident()
        with self._condition:
            self._condition.wait_for(lambda: self._forking is None, timeout=_LONGEST_SECONDS)
            self._forking = me
            self._condition.wait_for(lambda: not self._inside.keys() - {me}, timeout=_LONGEST_SECONDS)

    def open(self) -> None:
        """After a fork, in the parent."""
        with self._condition:
            self._forking = None
            self._condition.notify_all()

    def open_in_child(self) -> None:
        """After a fork, in the child: no other thread has come along."""
        me = threading.get_ident()
        self._condition = threading.Condition()
        self._inside = {me: self._inside[me]} if me in self._inside else {}
        self._forking = None


GATE = Gate()
os.register_at_fork(before=GATE.close, after_in_parent=GATE.open, after_in_child=GATE.open_in_child)
