"""The exceptions of Balsam: whose fault it is decides the class.

    BalsamError                     every deliberate error; the command line prints it in one line
    +-- JobSpecError                the request: a job, an application or a filter that cannot be
    |   +-- JobNotFound             no such job, or an id that several jobs share
    |   +-- AppNotFound             no such application
    |   +-- InvalidState            not a state, or a move that the table of moves forbids
    |   +-- CircularDependency      the edge would close a circle
    +-- ConfigError                 the site: its folder, its settings
    |   +-- SiteNotFound            no site here, or not a site
    +-- DatabaseError               the database: locked, full, of another schema
    |   +-- DatabaseLocked          another program keeps it locked
    |   +-- SchemaMismatch          older or newer than this program
    +-- PluginError                 a plugin that is missing, broken or broke its contract
    +-- LaunchError                 the launcher cannot start or go on
    +-- JobFailed                   a job whose result was wanted has none: it failed, or was killed
    +-- SchedulerError              the batch scheduler
        +-- SchedulerUnavailable    no answer: nothing changes state, back off
        +-- SchedulerRejected       answered no: the request fails with the scheduler's own words
        +-- SchedulerNotUnderstood  an unreadable answer: nothing changes, the raw text is kept

Messages are lower-case, without a period: they name the value, then the way out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

# As many as the fields of a job; of workflows there may be thousands.
_SHOWN = 50


class BalsamError(Exception):
    """Every deliberate error; anything else that escapes is a bug and keeps its traceback."""


class JobSpecError(BalsamError):
    """The request is wrong: a job, an application or a filter that cannot be."""


class JobNotFound(JobSpecError):
    """No such job, or a part of an id that several jobs share."""


class AppNotFound(JobSpecError):
    """No such application."""


class InvalidState(JobSpecError):
    """Not a state, or a move that the table of moves forbids."""


class CircularDependency(JobSpecError):
    """The edge would close a circle."""


class ConfigError(BalsamError):
    """The site is wrong: its folder or its settings."""


class SiteNotFound(ConfigError):
    """There is no site here, or the folder is not one."""


class DatabaseError(BalsamError):
    """The database cannot serve: locked, full, unreachable."""


class DatabaseLocked(DatabaseError):
    """Another program keeps the database locked."""


class SchemaMismatch(DatabaseError):
    """The database's schema is older or newer than this program."""


class PluginError(BalsamError):
    """A plugin is missing, broken, or broke its contract."""


class LaunchError(BalsamError):
    """The launcher cannot start or cannot go on."""


class JobFailed(BalsamError):
    """A job whose result was wanted has none: it failed, was killed or was deleted."""


class SchedulerError(BalsamError):
    """The batch scheduler; the three classes below are its whole vocabulary."""


class SchedulerUnavailable(SchedulerError):
    """No answer: nothing changes state, the caller backs off."""


class SchedulerRejected(SchedulerError):
    """The scheduler answered no; the message holds its own words."""


class SchedulerNotUnderstood(SchedulerError):
    """The answer cannot be read; `raw` keeps it."""

    def __init__(self, message: str, raw: str = "") -> None:
        super().__init__(message)
        self.raw = raw


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """The tail of an error message: the nearest known word, or else all of them, should they be few enough to read."""
    known = sorted(map(str, known))
    near = get_close_matches(wrong, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {listed(known)}" if known else "none are known"


def listed(words: Sequence[str]) -> str:
    """Words for a message in one line: all of them, or the first and how many more there are."""
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return f"{', '.join(words[:_SHOWN])}{more}"
