"""The list of attempts that may have started, kept in a file that outlives the launcher and its worker.

A worker adds an attempt's key before it forks. After `kill -9` of both, the next launcher reads here which attempts
may have run although the database does not say so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable


class Journal:
    """Adds keys to the file; made at the first use. Not synced to disk: after a crash of the host nothing runs."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1

    def add(self, keys: Iterable[str]) -> None:
        """Write one line per key in one call; raises OSError, and then none of the keys may be started."""
        if self._descriptor < 0:
            self._descriptor = _open(self._path)
        lines = b"".join(os.fsencode(key) + b"\n" for key in keys)
        if os.write(self._descriptor, lines) < len(lines):
            os.write(self._descriptor, b"\n")  # ends the torn line, or raises: no space left
            raise OSError(28, "No space left on device", self._path)


def read_journal(path: str | os.PathLike[str]) -> list[str]:
    """The keys in the order of their starts; no file: none. A last line without its end was never acted on."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        lines = file.read().split(b"\n")
    return [os.fsdecode(line) for line in lines[:-1] if line]


def _open(path: str) -> int:
    """The file for appending; a torn last line of a former worker is ended first."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")
    return descriptor
