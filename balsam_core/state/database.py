"""The database of a site: transactions, the schema's version. What differs by kind is in `sqlite.py`, `postgres.py`."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, exc, inspect

from balsam_core.errors import ConfigError, DatabaseError, DatabaseLocked, JobSpecError, SchemaMismatch
from balsam_core.state.forks import GATE
from balsam_core.state.hosts import boot_id, is_same_process

LOCK_WAIT_SECONDS = 30.0

# The newest module in migrations/versions/; revisions are numbers of four digits, so that they sort.
SCHEMA_VERSION = "0003"


class Access(Enum):
    """What other writers may do meanwhile; SQLite has one writer at a time, whatever is asked for.

    ALONE: nothing: for changes of whole sets and of the graph. SHARED: the same, as long as each locks the rows that it
    judges: for claims and reports. FREE: anything: for a change of one row that stands by itself.
    """

    ALONE = "alone"
    SHARED = "shared"
    FREE = "free"


class Database(ABC):
    """One database and the ways to talk to it; cheap to build, it connects at the first transaction."""

    migrations = "balsam_core.state:migrations"
    schema_needed = SCHEMA_VERSION
    serves_many_hosts: bool
    _begin_reading: str

    def __init__(self, url: URL, *, lock_wait_seconds: float = LOCK_WAIT_SECONDS) -> None:
        self.url = url
        self._lock_wait_seconds = lock_wait_seconds
        # How often it did not serve this program; one that is locked by others does serve.
        self.interruptions = 0
        self.engine = self._engine()

    @property
    @abstractmethod
    def name(self) -> str:
        """What messages call the database; never with a password."""

    @contextmanager
    def write(self, access: Access = Access.ALONE) -> Iterator[Connection]:
        """A transaction that changes rows; all of it happens or nothing."""
        begin, commit = self._writing(access)
        with GATE.passed(), self._errors(), self._transaction(begin, commit) as tx:
            yield tx

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads: it sees one moment of the database and hinders nobody."""
        with GATE.passed(), self._errors(), self._transaction(self._begin_reading, "COMMIT") as tx:
            yield tx

    @abstractmethod
    def change_mark(self) -> tuple[int, int]:
        """Something that differs when another program has committed; made for polling."""

    def wait_for_change(self, seconds: float) -> bool:
        """Wait until `change_mark` may differ, at most so long; False: it surely does not."""
        time.sleep(seconds)
        return True

    @abstractmethod
    def lease_clock(self, tx: Connection) -> float:
        """Seconds on the clock that leases are counted in: one per database, never a peer's wall clock."""

    def served_since(self, tx: Connection) -> float:
        """When it began to serve, on the lease clock; a file has always served."""
        return 0.0

    @abstractmethod
    def refuse_missing(self) -> None:
        """Raise DatabaseError when there is nothing that could be opened."""

    @abstractmethod
    def copy(self, folder: Path | None, label: str) -> Path | None:
        """Copy the database as it is into a new file in `folder`; None: there is no tool for that here."""

    @abstractmethod
    def _engine(self) -> Engine: ...

    @abstractmethod
    def _writing(self, access: Access) -> tuple[str, str]:
        """The statements that begin and end a transaction that writes."""

    @abstractmethod
    def _explain(self, error: BaseException) -> None:
        """Raise DatabaseError, in words, unless the error is a bug of ours, which keeps its traceback."""

    def wait_for_locks(self, seconds: float) -> None:
        """From now on wait at most so long while another program writes; in no transaction."""
        self._lock_wait_seconds = seconds
        self.close()
        self.engine = self._engine()

    def keep_to_lease(self, seconds: float) -> None:  # noqa: B027 SQLite has no server that could be out of reach
        """Let nothing wait for longer than a lease: no lock that a hung program holds, no answer of a lost server."""

    def create(self) -> None:
        """Make the schema of a new database; opening an existing one is `check`."""
        self._migrate("head")

    def check(self) -> None:
        """Raise SchemaMismatch or DatabaseError unless the schema is the one that this program knows."""
        self.refuse_missing()
        found = self.schema_version()
        if found is None:
            raise SchemaMismatch(f"{self.name} is not a Balsam database; make a site with `balsam init PATH`")
        if found < self.schema_needed:
            raise SchemaMismatch(
                f"the database has the older schema {found}, this program needs {self.schema_needed}; "
                "run `balsam db upgrade`"
            )
        if found > self.schema_needed:
            raise SchemaMismatch(
                f"the database has schema {found}, made by a newer Balsam than this one ({self.schema_needed}); "
                "upgrade balsam-core"
            )

    def schema_version(self) -> str | None:
        """The version that the database says it has; None: it does not say."""
        with self.read() as tx:
            if not inspect(tx).has_table("alembic_version"):
                return None
            found = tx.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            return None if found is None else str(found)

    def upgrade(self, folder: Path | None = None) -> Path | None:
        """Bring the schema up to date, after a copy (into `folder`); the copy, None if nothing was or could be copied.

        Raises DatabaseError while a launcher lives.
        """
        before = self.schema_version()
        if before is None or before >= self.schema_needed:
            self.check()
            return None
        with self.read() as tx:
            _refuse_live_launchers(tx)
        copy = self.copy(folder, before)
        self._migrate("head")
        return copy

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _migrate(self, revision: str) -> None:
        # Imported here: alembic takes 100 ms, and only `init` and `db upgrade` need it.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", self.migrations)
        # One transaction: a half-made schema never shows, and of two programs the second finds it made.
        with self.write() as tx:
            tx.begin()  # So that alembic does not commit by itself.
            config.attributes["connection"] = tx
            command.upgrade(config, revision)

    @contextmanager
    def _transaction(self, begin: str, commit: str) -> Iterator[Connection]:
        with self._begun(begin) as tx:
            try:
                yield tx
                _execute(tx, commit)
            except BaseException:
                # It is left open, and the pool rolls it back: SQLite itself has done so on a full disk.
                self._drop_if_lost(tx)
                raise

    def _begun(self, begin: str) -> Connection:
        tx = self.engine.connect()
        try:
            _execute(tx, begin)
        except BaseException:
            self._drop_if_lost(tx)
            tx.close()
            raise
        return tx

    def _drop_if_lost(self, tx: Connection) -> None:  # noqa: B027 a file is not lost
        """After an error: the pool gets no connection back that its server has closed."""

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as error:
            # What a user typed in Latin-1, say: Python has letters of its own for that, and no database takes them.
            around = error.object[max(error.start - 20, 0) : error.end + 20]
            raise JobSpecError(f"{around!r} is no text in UTF-8; write it in UTF-8") from error
        except exc.DBAPIError as error:
            if error.orig is not None:
                self._tell(error.orig)
            raise
        except self.engine.dialect.loaded_dbapi.Error as error:
            self._tell(error)
            raise

    def _tell(self, error: BaseException) -> None:
        try:
            self._explain(error)
        except DatabaseLocked:
            raise
        except DatabaseError:
            self.interruptions += 1
            raise


def open_database(url: str, *, journal: str = "WAL") -> Database:
    """The database that a URL names; `journal`: SQLite's. Raises ConfigError for a kind that this program knows not."""
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        if not rest.strip("/"):
            raise ConfigError(f"{url!r} names no file; write sqlite:///FILE")
        from balsam_core.state.sqlite import SqliteDatabase

        return SqliteDatabase(url, journal=journal)
    if scheme.partition("+")[0] in ("postgresql", "postgres"):
        from balsam_core.state.postgres import PostgresDatabase

        return PostgresDatabase(url)
    raise ConfigError(
        f"{scheme!r} is no database that this version knows; write sqlite:///FILE or postgresql://USER@HOST/DB"
    )


def to_json(value: Any) -> str:
    """As JSON columns hold it."""
    # Most jobs have neither variables, tags nor data: dumps takes 3 microseconds for each.
    # Not as ASCII: SQLite finds no key that is written with escapes.
    return "{}" if value == {} else json.dumps(value, ensure_ascii=False)


def from_json(text: str | bytes) -> Any:
    """What a JSON column held."""
    return {} if text == "{}" else json.loads(text)


def _execute(tx: Connection, statement: str) -> None:
    # Past SQLAlchemy, which takes 30 microseconds for each of these.
    cursor = tx.connection.cursor()
    cursor.execute(statement)
    cursor.close()


def _refuse_live_launchers(tx: Connection) -> None:
    # By name and not by table: the schema may be older than the tables of this program.
    rows = tx.exec_driver_sql("SELECT host, pid, boot_id, process_clock FROM launchers WHERE ended_at IS NULL")
    for host, pid, boot, started in rows.all():
        if boot == boot_id() and is_same_process(pid, started):
            raise DatabaseError(f"the launcher with pid {pid} on {host} uses the database; stop it, then upgrade")
