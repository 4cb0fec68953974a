"""The users and connections of a site's PostgreSQL server."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import URL, Connection

from balsam_core.errors import JobSpecError


def list_users(tx: Connection) -> list[str]:
    """The names of those who may log in, in order."""
    return list(tx.exec_driver_sql("SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY 1").scalars())


def list_connections(tx: Connection) -> list[tuple[Any, ...]]:
    """(pid, user, from where, program, state) of each connection to the site's database."""
    rows = tx.exec_driver_sql(
        "SELECT pid, usename, coalesce(host(client_addr), 'local'), application_name, coalesce(state, '') "
        "FROM pg_stat_activity WHERE datname = current_database() ORDER BY pid"
    )
    return [tuple(row) for row in rows]


def add_user(tx: Connection, name: str) -> str:
    """Let somebody else use the site's database; the password, which is kept nowhere. Raises JobSpecError."""
    from psycopg import sql

    if name in list_users(tx):
        raise JobSpecError(f"there is a user {name!r} already; `balsam server --drop-user {name}` removes it")
    raw: Any = tx.connection.driver_connection
    password = secrets.token_urlsafe(24)
    # Encrypted here, so that no log of the server can show it.
    encrypted = raw.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    role = sql.Identifier(name)
    raw.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(encrypted)))
    for what in ("TABLES", "SEQUENCES"):
        raw.execute(sql.SQL(f"GRANT ALL ON ALL {what} IN SCHEMA public TO {{}}").format(role))
        raw.execute(sql.SQL(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {what} TO {{}}").format(role))
    return password


def drop_user(tx: Connection, name: str, *, owner: str) -> None:
    """Take the right to log in from somebody; raises JobSpecError when there is no such user, or it is the owner."""
    from psycopg import sql

    users = list_users(tx)
    if name not in users or name == owner:
        raise JobSpecError(f"no user {name!r} to drop; users: {', '.join(users)}, of whom {owner} owns the site")
    raw: Any = tx.connection.driver_connection
    role = sql.Identifier(name)
    raw.execute(sql.SQL("DROP OWNED BY {}").format(role))
    raw.execute(sql.SQL("DROP ROLE {}").format(role))


def make_database(maintenance: URL, name: str) -> None:
    """Make a database, unless it is there; `maintenance`: the URL of another one on the same server."""
    from psycopg import sql

    from balsam_core.state.postgres import connect

    with connect(maintenance) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
