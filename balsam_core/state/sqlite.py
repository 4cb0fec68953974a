"""A site's database as one SQLite file: for one host, one writer at a time."""

from __future__ import annotations

import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from balsam_core.errors import DatabaseError, DatabaseLocked
from balsam_core.state.database import LOCK_WAIT_SECONDS, Access, Database, from_json, to_json
from balsam_core.state.hosts import boot_clock

_OLDEST_SQLITE = (3, 35)


class SqliteDatabase(Database):
    """`journal` is SQLite's journal mode: WAL, or DELETE on a network file system (WAL needs shared memory)."""

    serves_many_hosts = False
    _begin_reading = "BEGIN"

    def __init__(self, url: str, *, lock_wait_seconds: float = LOCK_WAIT_SECONDS, journal: str = "WAL") -> None:
        self._journal = journal
        # The path may hold a question mark, which begins the options of other databases.
        parsed = URL.create("sqlite", database=url.partition(":///")[2])
        super().__init__(parsed, lock_wait_seconds=lock_wait_seconds)

    @property
    def file(self) -> Path:
        """Where the database lies."""
        return Path(self.url.database or "")

    @property
    def name(self) -> str:
        return str(self.file)

    def change_mark(self) -> tuple[int, int]:
        # A program with one thread has one connection, whose own commits do not count (sqlite.org/pragma.html).
        with self._errors(), self.engine.connect() as connection:
            version = int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())
            # Numbers of two connections cannot be compared, should the pool have opened another one.
            return id(connection.connection.dbapi_connection), version

    def lease_clock(self, tx: Connection) -> float:
        return boot_clock()

    def create(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        super().create()

    def refuse_missing(self) -> None:
        if not self.file.is_file():
            raise DatabaseError(
                f"the database {self.file} is missing; restore it, or make a new site with `balsam init`"
            )

    def copy(self, folder: Path | None, label: str) -> Path:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        copy = (folder or self.file.parent) / f"{self.file.name}.{label}.{stamp}.bak"
        with self._errors():
            copy_sqlite(self.file, copy)
        return copy

    def _writing(self, access: Access) -> tuple[str, str]:
        return "BEGIN IMMEDIATE", "COMMIT"

    def _engine(self) -> Engine:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise DatabaseError(
                f"this Python has SQLite {sqlite3.sqlite_version}, Balsam needs 3.35 or newer; use a newer Python build"
            )
        engine = create_engine(
            self.url,
            connect_args={"timeout": self._lock_wait_seconds},
            json_serializer=to_json,
            json_deserializer=from_json,
        )
        event.listen(engine, "connect", self._configure)
        return engine

    def _configure(self, connection: DBAPIConnection, _record: Any) -> None:
        # None: sqlite3 opens no transactions of its own, ours begin IMMEDIATE.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA journal_mode={self._journal}")
        # NORMAL loses the last commits at a power cut, never at a kill, and never corrupts (sqlite.org/pragma.html).
        cursor.execute(f"PRAGMA synchronous={'NORMAL' if self._journal == 'WAL' else 'FULL'}")
        cursor.execute("PRAGMA cache_size=-65536")
        cursor.execute("PRAGMA temp_store=MEMORY")
        # Copied back 32 MB at a time: a page that changes often is then written once instead of many times.
        cursor.execute("PRAGMA wal_autocheckpoint=8000")
        cursor.close()

    def _explain(self, error: BaseException) -> None:
        # What is left out is a bug of ours and keeps its traceback.
        if not isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            kind = DatabaseLocked if "locked" in str(error) else DatabaseError
            raise kind(self._explanation(str(error))) from error

    def _explanation(self, words: str) -> str:
        where = self.file
        if "locked" in words:
            waited = f"{self._lock_wait_seconds:g} s"
            return f"the database {where} stayed locked for {waited}; another program is writing to it, try again"
        if "disk is full" in words or "disk I/O" in words:
            return f"the disk of {where} is full or failing ({words}); nothing was changed, free space and try again"
        if "readonly" in words or "unable to open" in words:
            return f"cannot write to the database {where} ({words}); check the owner and the permissions of its folder"
        if "malformed" in words or "not a database" in words:
            return f"the database {where} is damaged ({words}); restore a copy of it"
        if "no such table" in words or "no such column" in words:
            return f"the database {where} is not as Balsam made it ({words}); restore a copy of it"
        return f"the database {where} refused: {words}"


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database that others may be using; raises DatabaseError when there is no room for it."""
    # SQLite's own backup also takes what still lies in the write-ahead log.
    if shutil.disk_usage(target.parent).free < source.stat().st_size:
        raise DatabaseError(f"no room for a copy of {source} in {target.parent}; free {source.stat().st_size} bytes")
    with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
        old.backup(new)
