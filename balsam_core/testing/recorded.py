"""Reads recordings of real commands: `$ argv`, `  OUT| line`, `  ERR| line`, `  rc=N`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from balsam_core.plugins.contracts import CommandResult

_EXIT = re.compile(r"\s*rc=(-?\d+)\Z")


@dataclass(frozen=True)
class Recording:
    """One command as it was typed, and how it answered."""

    typed: str
    result: CommandResult


def read_recordings(file: Path) -> list[Recording]:
    """The recordings of a file, in order; other lines, such as headings, are passed over.

    A recording ends with its exit code; raises ValueError, with the line, when one has none.
    """
    recordings: list[Recording] = []
    typed, out, err = "", [], []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        ended = _EXIT.match(line)
        if line.startswith("$ "):
            if typed:
                raise ValueError(f"{file}: line {number}: the recording of {typed!r} has no exit code")
            typed = line[2:]
        elif line.startswith("  OUT|"):
            out.append(line[6:].removeprefix(" "))
        elif line.startswith("  ERR|"):
            err.append(line[6:].removeprefix(" "))
        elif ended and typed:
            result = CommandResult(tuple(typed.split()), int(ended[1]), _text(out), _text(err))
            recordings.append(Recording(typed, result))
            typed, out, err = "", [], []
    if typed:
        raise ValueError(f"{file}: the recording of {typed!r} has no exit code")
    return recordings


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
