"""A job's history as Balsam 0.5 wrote it: lines `[month-day-year time STATE] message`, in UTC."""

from __future__ import annotations

import re
from datetime import datetime, timezone

TIME_FMT = "%m-%d-%Y %H:%M:%S.%f"
STATE_TIME_PATTERN = re.compile(
    r"^\[(\d+-\d+-\d{4}\s+\d+:\d+:\d+\.\d+)\s+(\w+)\s*\]",
    re.MULTILINE,
)
_LINE = re.compile(r"\n *\[[^\]\n]* (\w+)\] ?|^\[[^\]\n]* (\w+)\] ?")


def history_text(state: str, at: float, message: str = "") -> str:
    """One line of a history, with the newline that begins it."""
    when = datetime.fromtimestamp(at, timezone.utc).strftime(TIME_FMT)
    return f"\n[{when} {state}] ".rjust(46) + message


def history_line(state: str = "CREATED", message: str = "") -> str:
    """One line about a state that is reached now."""
    return history_text(state, datetime.now(timezone.utc).timestamp(), message)


def get_time_string() -> str:
    """The time now, as a history has it."""
    return datetime.now(timezone.utc).strftime(TIME_FMT)


def from_time_string(text: str) -> datetime:
    """A time of a history, naive, in UTC."""
    return datetime.strptime(text, TIME_FMT)


def last_message(lines: str) -> str:
    """The message of the last of these lines; the whole text when it is no line."""
    found = list(_LINE.finditer(lines))
    return lines[found[-1].end() :].strip() if found else lines.strip()
