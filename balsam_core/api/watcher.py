"""Tells when jobs move: one thread, one connection and one query for all that wait in a process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from sqlalchemy.sql import ColumnElement

from balsam_core.errors import DatabaseError, SchemaMismatch
from balsam_core.launcher.timing import DatabasePatience
from balsam_core.state.machine import END, State
from balsam_core.state.moves import chunks
from balsam_core.state.store import Store
from balsam_core.state.tables import jobs

# Where a job stands now; None: it was deleted; an error: the database does not serve, and nothing more will be told.
News: TypeAlias = State | Exception | None
Tell: TypeAlias = Callable[[UUID, News], None]

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.1
# Even if the database has told of nothing: a connection that has died says nothing either.
_DOUBT_SECONDS = 5.0
_PATIENCE_SECONDS = 300.0
_LINGER_SECONDS = 5.0
_CHUNK = 10_000


@dataclass
class _Wait:
    """Who waits for a job, and the state that they know of."""

    tells: list[Tell] = field(default_factory=list)
    told: State | None = None


class Watcher:
    """Looks at the jobs that are waited for, when the database has changed; its thread lives while something waits.

    With n jobs there are n/1000 seconds between two queries, at least 0.1 and at most 1.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        # Held by the thread while it works, and a fork waits for it: the child would inherit the locks that the thread
        # holds, SQLite's too, and nobody would ever release them there.
        self.working = threading.RLock()
        self._condition = threading.Condition()
        self._waits: dict[UUID, _Wait] = {}
        self._news_due = False
        self._thread: threading.Thread | None = None

    def watch(self, job_ids: Iterable[UUID], tell: Tell) -> None:
        """Call `tell` with the state of each of these jobs, soon and whenever it has changed, up to its end.

        It is called in the watcher's thread and must not wait for anything.
        """
        with self._condition:
            for job_id in job_ids:
                wait = self._waits.setdefault(job_id, _Wait())
                wait.tells.append(tell)
                wait.told = None
            self._news_due = True
            self._condition.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="balsam-watcher", daemon=True)
                self._thread.start()

    def forget(self, job_ids: Iterable[UUID], tell: Tell) -> None:
        """Tell `tell` nothing more about these jobs."""
        with self._condition:
            for job_id in job_ids:
                wait = self._waits.get(job_id)
                if wait is not None and tell in wait.tells:
                    wait.tells.remove(tell)
                    if not wait.tells:
                        del self._waits[job_id]

    def _run(self) -> None:
        patience = DatabasePatience(_PATIENCE_SECONDS)
        while True:
            try:
                with self.working:
                    store = self._open_store()
                try:
                    self._look_on(store, patience)
                    return
                finally:
                    with self.working:
                        store.database.close()
            except Exception as error:
                self._bear(error, patience)
            if self._wanted() is None:
                return

    def _look_on(self, store: Store, patience: DatabasePatience) -> None:
        database = store.database
        with self.working:
            mark = database.change_mark()
        asked = heard = float("-inf")
        due = True
        while wanted := self._wanted():
            due |= wanted.fresh
            now = time.monotonic()
            wait_seconds = asked + _pause_seconds(len(wanted.job_ids)) - now
            if due and wait_seconds <= 0:
                asked, due = now, False
                with self.working:
                    self._tell(wanted.job_ids, _states(store, wanted.job_ids))
                patience.served()
            elif due:
                time.sleep(min(wait_seconds, _TICK_SECONDS))
            elif database.wait_for_change(_TICK_SECONDS) or now - heard > _DOUBT_SECONDS:
                # Before the query: what is committed between the two is then seen the next time.
                with self.working:
                    last, mark = mark, database.change_mark()
                heard, due = now, mark != last

    def _wanted(self) -> _Wanted | None:
        """What is waited for; None, and the thread is to end: nothing has been for a while."""
        with self._condition:
            if not self._condition.wait_for(lambda: self._waits, _LINGER_SECONDS):
                self._thread = None
                return None
            fresh, self._news_due = self._news_due, False
            return _Wanted(list(self._waits), fresh)

    def _tell(self, job_ids: Sequence[UUID], states: dict[UUID, State]) -> None:
        for job_id in job_ids:
            state = states.get(job_id)
            for tell in self._due(job_id, state):
                _call(tell, job_id, state)

    def _due(self, job_id: UUID, state: State | None) -> list[Tell]:
        """Who is to be told that a job is in `state`; nobody waits any more for one that has ended."""
        with self._condition:
            wait = self._waits.get(job_id)
            if wait is None or (state is not None and state is wait.told):
                return []
            wait.told = state
            if state is None or state in END:
                del self._waits[job_id]
            return list(wait.tells)

    def _bear(self, error: Exception, patience: DatabasePatience) -> None:
        """A database may serve again soon; whatever else it is, those who wait are told."""
        if isinstance(error, DatabaseError) and not isinstance(error, SchemaMismatch):
            try:
                patience.wait(error)
            except DatabaseError:
                self._fail(error)
        else:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        with self._condition:
            waits, self._waits = self._waits, {}
        with self.working:
            for job_id, wait in waits.items():
                for tell in wait.tells:
                    _call(tell, job_id, error)


@dataclass(frozen=True)
class _Wanted:
    """The jobs that are waited for; fresh: some since the last time that this was asked."""

    job_ids: Sequence[UUID]
    fresh: bool


@dataclass(frozen=True)
class _These:
    """The jobs with these ids."""

    job_ids: Sequence[UUID]

    def where(self) -> ColumnElement[bool]:
        return jobs.c.job_id.in_(self.job_ids)


def _states(store: Store, job_ids: Sequence[UUID]) -> dict[UUID, State]:
    found: dict[UUID, State] = {}
    for chunk in chunks(job_ids, _CHUNK):
        found.update((row.job_id, State(row.state)) for row in store.listed(("job_id", "state"), _These(chunk)))
    return found


def _pause_seconds(count: int) -> float:
    return min(max(count / 1000, _TICK_SECONDS), 1.0)


def _call(tell: Tell, job_id: UUID, news: News) -> None:
    try:
        tell(job_id, news)
    except Exception:
        _log.exception("whoever waits for job %s failed", job_id)
