"""Reads the ends of files that may be large, and what is added to them."""

from __future__ import annotations

import codecs
from pathlib import Path

# The end is looked for in so many bytes a line, and no more: a line may be megabytes.
_USUAL_LINE, _LONG_LINE = 400, 4_000


class Growing:
    """A text file as far as it was read; a file that is not there is empty."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._done = 0
        # A character may be cut where a writer's buffer ends: its rest comes with the next reading.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def last_lines(self, lines: int) -> str:
        """Read to the end: the last lines."""
        found: list[str] = []
        for length in (_USUAL_LINE, _LONG_LINE):
            self._done = start = max(0, self._size() - lines * length)
            self._decoder.reset()
            found = self.added().splitlines(keepends=True)
            # The first one that was read may be cut.
            if not start or len(found) > lines:
                break
        return "".join(found[-lines:] if lines else [])

    def added(self) -> str:
        """What was added since the last reading; a file that was cut or replaced is read from its beginning."""
        size = self._size()
        if size < self._done:
            self._done = 0
            self._decoder.reset()
        if size == self._done:
            return ""
        with self.file.open("rb") as stream:
            stream.seek(self._done)
            data = stream.read(size - self._done)
        self._done += len(data)
        return self._decoder.decode(data)

    def _size(self) -> int:
        try:
            return self.file.stat().st_size
        except FileNotFoundError:
            return 0


def end_of(file: Growing, lines: int) -> str:
    """The last lines of a file, to be shown; one that cannot be read says so in their place."""
    try:
        return file.last_lines(lines)
    except OSError as error:
        return f"(cannot be read: {error.strerror})\n"
