"""Carries messages over a socket between two processes of one program.

A frame is its length (8 bytes) and a marshalled list of messages. marshal is the fastest codec of the standard
library and fits here because both ends are the same Python; it is not for data from strangers.
"""

from __future__ import annotations

import marshal
import os
import select
import time
from collections.abc import Iterable

Message = tuple[object, ...]
_HEADER_BYTES = 8
_READ_BYTES = 1 << 20


class Channel:
    """One end of a socket pair; takes over the descriptor and makes it non-blocking."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self.is_closed = False  # the other end hung up

    def fileno(self) -> int:
        return self._descriptor

    @property
    def has_unsent(self) -> bool:
        """Whether `flush` left something for when the socket is writable again."""
        return bool(self._outgoing)

    def put(self, messages: Iterable[Message]) -> None:
        """Add messages to what `flush` or `drain` sends, as one frame."""
        body = marshal.dumps(list(messages))
        self._outgoing += len(body).to_bytes(_HEADER_BYTES, "big")
        self._outgoing += body

    def flush(self) -> None:
        """Send what the socket takes without waiting."""
        try:
            while self._outgoing:
                sent = os.write(self._descriptor, memoryview(self._outgoing)[:_READ_BYTES])
                del self._outgoing[:sent]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._outgoing.clear()

    def drain(self, deadline_seconds: float) -> None:
        """Send everything, or raise TimeoutError; what comes in meanwhile is kept: two full sockets cannot lock."""
        self.flush()
        if not self._outgoing:
            return
        until = time.monotonic() + deadline_seconds
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN | select.POLLOUT)
        while self._outgoing and not self.is_closed:
            if not poll.poll(max(until - time.monotonic(), 0) * 1000):
                raise TimeoutError(f"the other end has not read for {deadline_seconds:g} s")
            self._read()
            self.flush()

    def receive(self) -> list[Message]:
        """Every whole message that has arrived, without waiting; look at `is_closed` afterwards."""
        self._read()
        messages: list[Message] = []
        start = 0
        while len(self._incoming) - start >= _HEADER_BYTES:
            body = start + _HEADER_BYTES
            end = body + int.from_bytes(self._incoming[start:body], "big")
            if end > len(self._incoming):
                break
            messages += marshal.loads(memoryview(self._incoming)[body:end])
            start = end
        del self._incoming[:start]
        return messages

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)

    def _read(self) -> None:
        """Take in what is there; a reset is an end like any other."""
        try:
            while chunk := os.read(self._descriptor, _READ_BYTES):
                self._incoming += chunk
                if len(chunk) < _READ_BYTES:
                    return
            self.is_closed = True
        except BlockingIOError:
            return
        except ConnectionResetError:
            self.is_closed = True
