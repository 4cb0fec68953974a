"""The databases that this process has open for the Python API: a store and a watcher per site, also after a fork."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from balsam_core.api.watcher import Watcher
from balsam_core.opening import open_site
from balsam_core.site import Site as SiteFolder
from balsam_core.state.store import Store


class Connection:
    """A site's database as one process uses it, from any thread; it is opened when it is needed."""

    def __init__(self, folder: SiteFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._store: Store | None = None
        # Its own connection: SQLite tells a connection what others have committed, not what it has itself.
        self.watcher = Watcher(self._open)

    @property
    def store(self) -> Store:
        """The store; raises ConfigError, DatabaseError."""
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store

    def close(self) -> None:
        """Close the store until it is needed again; the watcher ends by itself when nothing waits."""
        with self._lock:
            if self._store is not None:
                self._store.database.close()
                self._store = None

    def _open(self) -> Store:
        return open_site(self._folder, os.environ)


# By process: what a fork inherits is neither used nor closed in the child, both would harm the parent's database.
_CONNECTIONS: dict[tuple[int, Path], Connection] = {}


_HELD = threading.local()
_STILL_SECONDS = 5.0


def connection(folder: SiteFolder) -> Connection:
    """This process's connection to a site."""
    key = (os.getpid(), folder.path)
    # One step, so that two threads get the same one; no lock, which a fork could inherit locked.
    return _CONNECTIONS.get(key) or _CONNECTIONS.setdefault(key, Connection(folder))


def _hold_watchers() -> None:
    _HELD.locks = [
        one.watcher.working
        for (pid, _), one in list(_CONNECTIONS.items())
        if pid == os.getpid() and one.watcher.working.acquire(timeout=_STILL_SECONDS)
    ]


def _release_watchers() -> None:
    for lock in _HELD.locks:
        lock.release()


os.register_at_fork(before=_hold_watchers, after_in_parent=_release_watchers, after_in_child=_release_watchers)
