"""The table that qstat prints: a header, a line of `=`, and a row per batch job, in columns of fixed width."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

# Values are apart by two blanks, and may hold single ones.
_CELL = re.compile(r"\S+(?: \S+)*")
_RULE = re.compile(r"=[= ]*\Z")
_TIME = re.compile(r"(?:(\d{1,9})d?[ -])?(\d{1,9}):([0-5]\d):([0-5]\d)\Z")
_NOTHING = ("", "-", "N/A", "None")


@dataclass(frozen=True)
class Table:
    """What the rows say, by the names of the header in lower case; unreadable: those that do not fit it."""

    rows: tuple[dict[str, str], ...]
    unreadable: tuple[str, ...]


def read_table(text: str, *wanted: str) -> Table | None:
    """The table with the wanted columns, whatever stands above it; None: there is none."""
    lines = text.splitlines()
    for header, rule, number in zip(lines, lines[1:], count(2), strict=False):
        found = list(_CELL.finditer(header))
        columns = [cell.group().lower() for cell in found]
        # A line that is shorter than the header was cut off, and the rows with it.
        is_whole = _RULE.match(rule.rstrip()) and len(rule.rstrip()) >= len(header.rstrip())
        if is_whole and set(wanted) <= set(columns):
            return _read_rows(lines[number:], columns, [cell.start() for cell in found])
    return None


def told(row: dict[str, str], column: str) -> str | None:
    """The value; None: the table has no such column, or Cobalt's own word for nothing in it."""
    value = row.get(column, "")
    return None if value in _NOTHING else value


def seconds_of(text: str | None) -> float | None:
    """The seconds in `120:00:00`, `1d 02:00:00` or `1-02:00:00`; None: it is no time."""
    found = _TIME.match(text or "")
    if not found:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _read_rows(lines: Sequence[str], columns: Sequence[str], starts: Sequence[int]) -> Table:
    rows, unreadable = [], []
    for line in lines:
        cells = _cells(line, starts)
        if cells:
            rows.append(dict(zip(columns, cells, strict=True)))
        elif line.strip():
            unreadable.append(line)
    return Table(tuple(rows), tuple(unreadable))


def _cells(line: str, starts: Sequence[int]) -> list[str] | None:
    """The values under the header; a row whose columns have moved is split at its gaps. None: neither fits."""
    ends = [*starts[1:], len(line)]
    if all(not line[max(start - 2, 0) : start].strip() for start in starts[1:]):
        # An id stands at the right of its column, which may begin before its name.
        cells = [line[start:end].strip() for start, end in zip([0, *starts[1:]], ends, strict=True)]
    else:
        cells = _CELL.findall(line)
    # A row that was cut off lacks its last value; qstat itself leaves none empty.
    return cells if len(cells) == len(starts) and cells[0] and cells[-1] else None
