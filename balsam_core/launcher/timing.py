"""What is due when in an event loop, and how long it waits for a database that does not answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from balsam_core.errors import DatabaseError
from balsam_core.state.database import Database

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)
_TROUBLE_SECONDS = 0.5
# A database that somebody copies, or a full disk that somebody clears, comes back.
_PATIENCE_SECONDS = 300.0


class Timers:
    """Named things that recur; one that was never asked for is due at once."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}

    def due(self, what: str, every_seconds: float) -> bool:
        """Whether it is time for `what`; then it is not due again for so long."""
        now = time.monotonic()
        if now < self._at.get(what, 0.0):
            return False
        self._at[what] = now + every_seconds
        return True

    def pause(self, wanted: list[str]) -> float:
        """Seconds until the first of `wanted` is due; negative when it is overdue."""
        now = time.monotonic()
        return min(self._at.get(what, now) for what in wanted) - now


class DatabasePatience:
    """Bears with a database that does not serve, for so long after its last success; it always gets a second chance."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._served_at = time.monotonic()
        self._has_failed = False

    def served(self) -> None:
        """It works: what was before is forgiven."""
        self._served_at = time.monotonic()
        self._has_failed = False

    def wait(self, error: DatabaseError) -> None:
        """Wait a moment before the next try; raises `error` when it has lasted too long."""
        # The first failure may come late: this process may have been stopped itself.
        if self._has_failed and time.monotonic() - self._served_at > self._seconds:
            raise error
        self._has_failed = True
        _log.warning("%s; trying again", error)
        time.sleep(_TROUBLE_SECONDS)

    def bear(self, action: Callable[[], _Result], trouble: type[DatabaseError] = DatabaseError) -> _Result:
        """What `action` returns, as soon as the database serves it; it may be done twice. Other errors are raised."""
        while True:
            try:
                result = action()
            except trouble as error:
                self.wait(error)
            else:
                self.served()
                return result


def patience_with(database: Database, lease_seconds: float) -> DatabasePatience:
    """How long a launcher goes on without its database.

    Where others may take its jobs meanwhile, because only this host cannot reach a server, it ends what it runs after
    twice its lease: two attempts of a job overlap for no longer than a lease. One file has nobody who could.
    """
    return DatabasePatience(2 * lease_seconds if database.serves_many_hosts else max(lease_seconds, _PATIENCE_SECONDS))
