"""`django.db`: transactions, connections that open by themselves, and errors."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction
from django.db.utils import (
    DatabaseError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

__all__ = [
    "DEFAULT_DB_ALIAS",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "close_old_connections",
    "connection",
    "connections",
    "transaction",
]

DEFAULT_DB_ALIAS = "default"


class _Connection:
    """The connections of this process; they open again when they are needed."""

    alias = DEFAULT_DB_ALIAS

    def close(self) -> None:
        """Close those that nobody uses at the moment."""
        from balsam.core.site import close_connections

        close_connections()

    def ensure_connection(self) -> None:
        """Connections open when they are needed."""


class _Connections:
    """The one database, under the name `default`."""

    def __getitem__(self, alias: str) -> _Connection:
        return connection

    def __iter__(self) -> Iterator[str]:
        return iter([DEFAULT_DB_ALIAS])

    def all(self) -> list[_Connection]:
        """The one connection."""
        return [connection]

    def close_all(self) -> None:
        """Close those that nobody uses at the moment."""
        connection.close()


connection = _Connection()
connections = _Connections()


def close_old_connections() -> None:
    """Close those that nobody uses at the moment."""
    connection.close()
