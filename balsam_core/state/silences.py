"""How long launchers have been silent, as one observer counts it.

The heartbeats of a site are written by one clock, the database's, which on a PostgreSQL server is a wall clock that may
be stepped. So it is asked only about what was before the observer came; from then on the observer counts by its own
boot clock for how long a heartbeat stays the same. Time in which the database did not serve does not count: nobody
could have renewed a lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from sqlalchemy import Connection

from balsam_core.state import leases
from balsam_core.state.database import Database

# An observer that was itself stopped for longer, with the whole host maybe, has not watched meanwhile.
_LONGEST_LOOK_SECONDS = 5.0


class Silences:
    """What one observer knows; clock: its own, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._looked_at = clock()
        self._interruptions = 0
        self._known: dict[UUID, tuple[float, float]] = {}

    def now(self, tx: Connection, database: Database) -> dict[UUID, float]:
        """For each launcher whose lease was not ended, the seconds since its heartbeat."""
        return self.look(
            leases.heartbeats(tx),
            clock=database.lease_clock(tx),
            served_since=database.served_since(tx),
            interruptions=database.interruptions,
        )

    def look(
        self, heartbeats: Mapping[UUID, float], *, clock: float, served_since: float, interruptions: int
    ) -> dict[UUID, float]:
        """The same, from what was read.

        clock: the database's, now. served_since: on the same clock, when it began to serve. interruptions: how often it
        did not serve this observer so far.
        """
        now = self._clock()
        watched = min(now - self._looked_at, _LONGEST_LOOK_SECONDS) if interruptions == self._interruptions else 0.0
        self._looked_at, self._interruptions = now, interruptions
        found = {}
        for launcher, heartbeat in heartbeats.items():
            before, silent = self._known.get(launcher, (None, 0.0))
            if before is None:
                silent = max(clock - max(heartbeat, served_since), 0.0)
            else:
                silent = silent + watched if before == heartbeat else 0.0
            found[launcher] = silent
        self._known = {launcher: (heartbeats[launcher], silent) for launcher, silent in found.items()}
        return found
