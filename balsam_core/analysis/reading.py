"""Reads many rows in pages, so that the memory of a program does not grow with the history of its site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Select, String, Table, type_coerce
from sqlalchemy.sql import ColumnElement

from balsam_core.state.filters import Selection
from balsam_core.state.store import Store
from balsam_core.state.tables import events, jobs

_PAGE = 10_000


def raw_job_id(table: Table = events) -> ColumnElement[str]:
    """The job of an event as the driver gives it: to build a UUID of each takes as long as to read them."""
    return type_coerce(table.c.job_id, String)


def of_jobs(query: Select[Any], wanted: Selection | None) -> Select[Any]:
    """A query of events as one of the events of these jobs (None: all); the table `jobs` is joined."""
    joined = query.join(jobs, jobs.c.job_id == events.c.job_id)
    return joined if wanted is None else joined.where(wanted.where())


def read_rows(store: Store, query: Select[Any]) -> Iterator[Any]:
    """The rows of a query, all as of one moment."""
    with store.database.read() as tx:
        yield from tx.execute(query, execution_options={"yield_per": _PAGE})
