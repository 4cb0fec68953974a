"""A site's database on a PostgreSQL server: for many hosts, and many launchers that claim side by side.

Of the writers, those who change whole sets or the graph take a lock of the database for themselves, so that they see it
as SQLite's one writer does; claims and reports share that lock, and lock the rows that they judge.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import URL, Connection, Engine, create_engine, exc, make_url

from balsam_core.errors import ConfigError, DatabaseError, DatabaseLocked
from balsam_core.state.database import LOCK_WAIT_SECONDS, Access, Database, from_json, to_json
from balsam_core.state.hosts import hostname

try:
    import psycopg
    from psycopg import errors
    from psycopg.abc import Buffer
    from psycopg.types.json import set_json_dumps, set_json_loads
    from psycopg.types.string import StrDumper
except ImportError as error:
    raise ConfigError("PostgreSQL needs psycopg; install it with `pip install 'balsam-core[postgres]'`") from error

# So long a server may be out of reach, or the network may be cut, before a connection is given up.
_ANSWER_SECONDS = 10.0
_PAUSE_SECONDS = 0.2
# A program that was stopped, or cut off, in the middle of a transaction keeps its locks no longer than this.
_IDLE_SECONDS = 20.0
_CHANNEL = "balsam_changes"
# The number is ours among the advisory locks of the database, which may serve other programs too.
_LOCK = 0xBA15A
_NOT_AS_MADE = errors.UndefinedTable | errors.UndefinedColumn


class PostgresDatabase(Database):
    """`address`: asked at every new connection where the server is now; None: where `url` says."""

    serves_many_hosts = True
    _begin_reading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    def __init__(
        self,
        url: str,
        *,
        lock_wait_seconds: float = LOCK_WAIT_SECONDS,
        address: Callable[[], URL] | None = None,
        way_out: str = "check that it runs there",
    ) -> None:
        parsed = postgres_url(url)
        self._address = address or (lambda: parsed)
        self._way_out = way_out
        self._token = uuid4().hex
        self._listener: psycopg.Connection[Any] | None = None
        self._listened = 0
        self._heard = 0
        self._was_served = False
        self._idle_seconds = _IDLE_SECONDS
        self._answer_seconds = _ANSWER_SECONDS
        super().__init__(parsed, lock_wait_seconds=lock_wait_seconds)

    @property
    def name(self) -> str:
        url = self._address()
        return f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"

    def change_mark(self) -> tuple[int, int]:
        with self._errors():
            try:
                # One round trip: the server sends what it has to tell before its answer.
                self._listening().execute("SELECT 1")
            except psycopg.Error:
                self._stop_listening()
                raise
            return self._listened, self._heard

    def wait_for_change(self, seconds: float) -> bool:
        if self._listener is None:
            return super().wait_for_change(seconds)
        # Without a query: the server sends what it has to tell; a connection that it closed can be read, too.
        with self._errors():
            poll = select.poll()
            poll.register(self._listener, select.POLLIN)
            return bool(poll.poll(seconds * 1000))

    def lease_clock(self, tx: Connection) -> float:
        seconds: float = tx.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())::float8").scalar_one()
        return seconds

    def keep_to_lease(self, seconds: float) -> None:
        self._idle_seconds = min(seconds, _IDLE_SECONDS)
        self._answer_seconds = min(seconds, _ANSWER_SECONDS)
        self.engine.dispose()

    def served_since(self, tx: Connection) -> float:
        seconds: float = tx.exec_driver_sql(
            "SELECT extract(epoch FROM pg_postmaster_start_time())::float8"
        ).scalar_one()
        return seconds

    def refuse_missing(self) -> None:
        pass  # The first transaction tells.

    def copy(self, folder: Path | None, label: str) -> Path | None:
        dump = shutil.which("pg_dump")
        if folder is None or dump is None:
            return None
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        copy = folder / f"{self.url.database}.{label}.{stamp}.dump"
        url = self._address()
        arguments = [dump, "--format=custom", f"--file={copy}", f"--dbname={url.database}"]
        options = {"--host": url.host, "--port": url.port, "--username": url.username}
        arguments += [f"{option}={value}" for option, value in options.items() if value]
        password = {"PGPASSWORD": str(url.password)} if url.password else {}
        done = subprocess.run(arguments, env={**os.environ, **password}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DatabaseError(f"pg_dump made no copy of {self.name}: {done.stderr.strip()}; nothing was changed")
        copy.chmod(0o600)
        return copy

    def close(self) -> None:
        self._stop_listening()
        super().close()

    def _writing(self, access: Access) -> tuple[str, str]:
        if access is Access.FREE:
            return "BEGIN", "COMMIT"
        shared = "_shared" if access is Access.SHARED else ""
        begin = f"BEGIN; SELECT pg_advisory_xact_lock{shared}({_LOCK})"
        return begin, f"NOTIFY {_CHANNEL}, '{self._token}'; COMMIT"

    def _engine(self) -> Engine:
        return create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            # Ours begin and commit themselves.
            isolation_level="AUTOCOMMIT",
            json_serializer=to_json,
            json_deserializer=from_json,
        )

    def _connect(self) -> psycopg.Connection[Any]:
        connection = connect(self._address(), self._answer_seconds)
        connection.adapters.register_dumper(str, _WithoutNul)
        set_json_dumps(to_json, connection)
        set_json_loads(from_json, connection)
        limits = {"lock_timeout": self._lock_wait_seconds, "idle_in_transaction_session_timeout": self._idle_seconds}
        for name, seconds in limits.items():
            connection.execute(f"SET {name} = {max(1, int(seconds * 1000))}")
        return connection

    def _begun(self, begin: str) -> Connection:
        # A server that was there before may come back; nothing has been done yet that could be done twice.
        deadline = time.monotonic() + (self._lock_wait_seconds if self._was_served else 0.0)
        while True:
            try:
                tx = super()._begun(begin)
            except (psycopg.OperationalError, exc.OperationalError) as error:
                if not _is_lost(error) or time.monotonic() >= deadline:
                    raise
                self.interruptions += 1
                # The other connections of the pool are as dead as this one.
                self.engine.dispose()
                time.sleep(_PAUSE_SECONDS)
            else:
                self._was_served = True
                return tx

    def _drop_if_lost(self, tx: Connection) -> None:
        if not tx.invalidated and getattr(tx.connection.dbapi_connection, "closed", False):
            tx.invalidate()

    def _listening(self) -> psycopg.Connection[Any]:
        if self._listener is None:
            listener = self._connect()
            listener.add_notify_handler(self._hear)
            listener.execute(f"LISTEN {_CHANNEL}")
            self._listener = listener
            self._listened += 1
        return self._listener

    def _hear(self, notice: psycopg.Notify) -> None:
        self._heard += notice.payload != self._token

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _explain(self, error: BaseException) -> None:
        # What is left out is a bug of ours and keeps its traceback.
        ours = psycopg.IntegrityError | psycopg.ProgrammingError | psycopg.InternalError
        not_ours = _NOT_AS_MADE | errors.InsufficientPrivilege | errors.IdleInTransactionSessionTimeout
        if not isinstance(error, ours) or isinstance(error, not_ours):
            kind = DatabaseLocked if isinstance(error, errors.LockNotAvailable) else DatabaseError
            raise kind(self._explanation(error)) from error

    def _explanation(self, error: BaseException) -> str:
        words = str(error).partition("\n")[0].strip()
        where = self.name
        if isinstance(error, errors.LockNotAvailable | errors.QueryCanceled):
            waited = f"{self._lock_wait_seconds:g} s"
            return f"the database {where} stayed locked for {waited}; another program is writing to it, try again"
        if isinstance(error, errors.IdleInTransactionSessionTimeout):
            return f"this program hung for {self._idle_seconds:g} s inside a transaction of {where}, which was undone"
        if isinstance(error, errors.DeadlockDetected | errors.SerializationFailure):
            return f"another program changed the same rows of {where} at once; nothing was changed, try again"
        if isinstance(error, errors.DiskFull):
            return f"the disk of {where} is full or failing ({words}); nothing was changed, free space and try again"
        if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
            return f"cannot write to the database {where} ({words}); ask its owner for the right to"
        if isinstance(error, _NOT_AS_MADE):
            return f"the database {where} is not as Balsam made it ({words}); restore a copy of it"
        if "password" in words or "authentication" in words:
            return f"the server refuses {self._address().username!r} at {where}; put the password into ~/.pgpass"
        if isinstance(error, errors.InvalidCatalogName) or "does not exist" in words:
            return f"there is no database {where}; make it with `balsam init`, or correct [site] database"
        if _is_lost(error):
            return f"no PostgreSQL server answers at {where} ({words}); {self._way_out}"
        return f"the database {where} refused: {words}"


class _WithoutNul(StrDumper):
    """Text as PostgreSQL takes it: it holds every character but NUL."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\x00", "\N{REPLACEMENT CHARACTER}") if "\x00" in obj else obj)


def postgres_url(url: str) -> URL:
    """The parts of a URL; raises ConfigError, without showing a password."""
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise ConfigError("this is no URL of a database; write postgresql://USER@HOST:PORT/DATABASE") from None
    return parsed.set(drivername="postgresql+psycopg")


def connect(url: URL, answer_seconds: float = _ANSWER_SECONDS) -> psycopg.Connection[Any]:
    """A connection that commits each statement, unless it begins a transaction; raises psycopg.Error.

    answer_seconds: when the server's host has acknowledged nothing for so long, the connection is lost.
    """
    # libpq takes whole seconds, at least 2 for connecting; without limits of its own, TCP would wait for 15 minutes.
    seconds = max(int(answer_seconds), 2)
    limits = {"keepalives_idle": seconds, "keepalives_interval": max(seconds // 3, 1), "keepalives_count": 3}
    # `sslmode`, and whatever else a URL may ask of libpq.
    options: dict[str, Any] = {"tcp_user_timeout": seconds * 1000, **limits, **url.query}
    return psycopg.connect(
        host=url.host,
        port=url.port,
        user=url.username,
        password=None if url.password is None else str(url.password),
        dbname=url.database,
        connect_timeout=seconds,
        application_name=f"balsam {hostname()} {os.getpid()}",
        autocommit=True,
        **options,
    )


def _is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, or there never was one."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if not isinstance(cause, psycopg.OperationalError):
        return False
    return cause.sqlstate is None or cause.sqlstate[:2] in ("08", "57")
