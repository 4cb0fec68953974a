"""Copies all rows of one database into another, empty one of the same schema, whatever the kinds of the two are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from balsam_core.errors import DatabaseError
from balsam_core.state.database import Database
from balsam_core.state.tables import batch_events, events, facts, jobs, metadata

_PAGE = 1000
_NUMBERED = ((jobs, "seq"), (events, "event_id"), (batch_events, "event_id"))
# Which machine an SQLite site belongs to is not for its copy.
_LEFT_OUT = ("machine_id", "host")


def transfer(source: Database, target: Database) -> dict[str, int]:
    """Copy every row, ids and order too; how many of each table. Raises DatabaseError when the target has rows.

    No launcher may live: whoever calls this has looked.
    """
    copied: dict[str, int] = {}
    with source.read() as old, target.write() as new:
        _refuse_full(new, target.name)
        for table in metadata.sorted_tables:
            copied[table.name] = sum(_insert(new, table, rows) for rows in _pages(old, table))
        if target.serves_many_hosts:
            _go_on_counting(new)
    return copied


def _refuse_full(tx: Connection, name: str) -> None:
    for table in metadata.tables.values():
        counted = select(func.count()).select_from(table)
        if table is facts:
            # A new site has been bound to its machine, and nothing else.
            counted = counted.where(facts.c.name.not_in(_LEFT_OUT))
        if tx.execute(counted).scalar():
            raise DatabaseError(f"{name} has rows in its table {table.name}; give an empty database")


def _pages(tx: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    keys = list(table.primary_key.columns)
    query = select(table).order_by(*keys).limit(_PAGE)
    last: Any = None
    while True:
        page = query if last is None else query.where(_after(keys, last))
        rows = [dict(row) for row in tx.execute(page).mappings()]
        if not rows:
            return
        last = [rows[-1][key.name] for key in keys]
        if table is facts:
            rows = [row for row in rows if row["name"] not in _LEFT_OUT]
        yield rows


def _after(keys: list[Any], last: list[Any]) -> Any:
    from sqlalchemy import literal, tuple_

    if len(keys) == 1:
        return keys[0] > last[0]
    return tuple_(*keys) > tuple_(*(literal(value, key.type) for key, value in zip(keys, last, strict=True)))


def _insert(tx: Connection, table: Table, rows: list[dict[str, Any]]) -> int:
    if rows:
        tx.execute(insert(table).inline(), rows)
    return len(rows)


def _go_on_counting(tx: Connection) -> None:
    # Rows that came with their numbers do not move PostgreSQL's counters.
    for table, column in _NUMBERED:
        tx.exec_driver_sql(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column}'), "
            f"(SELECT coalesce(max({column}), 0) + 1 FROM {table.name}), false)"
        )
