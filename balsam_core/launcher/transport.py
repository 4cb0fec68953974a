"""Carries messages between the ranks of one MPI program, without ever waiting inside MPI.

A blocking receive of MPICH spins at full load. Here nobody blocks: a rank asks MPI with `Improbe` and sleeps on a file
descriptor in between, briefly after a message and longer the quieter it gets.
"""

from __future__ import annotations

import marshal
import selectors
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from balsam_core.launcher.channel import Message

# An idle rank looks 33 times a second, which takes 0.3 % of a core; a busy one looks again after a millisecond.
_SHORTEST_SECONDS = 0.001
_LONGEST_SECONDS = 0.03


class Transport:
    """One rank's end; `mpi` is the module mpi4py.MPI."""

    def __init__(self, mpi: Any) -> None:
        self._mpi = mpi
        self._comm = mpi.COMM_WORLD
        self._unsent: list[tuple[Any, bytes]] = []
        self._pause = _SHORTEST_SECONDS
        self._found: tuple[int, list[Message]] | None = None

    @property
    def rank(self) -> int:
        """This rank's number."""
        return int(self._comm.rank)

    @property
    def size(self) -> int:
        """How many ranks the program has."""
        return int(self._comm.size)

    def send(self, rank: int, messages: Sequence[Message]) -> None:
        """Send without waiting; what is sent to one rank arrives in order, however long it is."""
        body = marshal.dumps(list(messages))
        self._unsent.append((self._comm.Isend([body, self._mpi.BYTE], dest=rank), body))
        self._pause = _SHORTEST_SECONDS

    def receive(self) -> Iterator[tuple[int, list[Message]]]:
        """What has arrived: who sent it, and what."""
        self._forget_sent()
        found, self._found = self._found or self._next(), None
        while found:
            yield found
            found = self._next()

    def wait(self, selector: selectors.BaseSelector, seconds: float) -> Iterable[selectors.SelectorKey]:
        """Until a message has come or the selector has something, at most so long; what the selector has."""
        until = time.monotonic() + seconds
        while True:
            self._found = self._found or self._next()
            left = until - time.monotonic()
            ready = selector.select(0 if self._found else max(min(self._pause, left), 0))
            if ready or self._found or left <= 0:
                return [key for key, _ in ready]
            self._pause = min(self._pause * 2, _LONGEST_SECONDS)

    def abort(self) -> None:
        """End the whole program at once."""
        self._comm.Abort(1)

    def finish(self) -> None:
        """Wait until everything is sent."""
        self._mpi.Request.Waitall([request for request, _ in self._unsent])
        self._unsent.clear()

    def _next(self) -> tuple[int, list[Message]] | None:
        status = self._mpi.Status()
        message = self._comm.Improbe(self._mpi.ANY_SOURCE, self._mpi.ANY_TAG, status)
        if message is None:
            return None
        body = bytearray(status.Get_count(self._mpi.BYTE))
        message.Recv([body, self._mpi.BYTE])
        self._pause = _SHORTEST_SECONDS
        return int(status.source), marshal.loads(body)

    def _forget_sent(self) -> None:
        if self._unsent:
            self._unsent = [(request, body) for request, body in self._unsent if not request.Test()]
