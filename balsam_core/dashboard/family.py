"""Reads the jobs around one job: those that it waits for, those that wait for it, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.sql import ColumnElement

from balsam_core.dashboard.graph import Family, Kin
from balsam_core.models.job import Job
from balsam_core.state.store import Store
from balsam_core.state.tables import dependencies, jobs

# Upwards, and as many downwards: so many steps, each one statement, and so many jobs.
_STEPS = 5
_SHOWN = 40
# Of a step: a job may have a million children.
_LOOKED_AT = 10_000


def read_family(store: Store, job: Job) -> Family:
    """The nearest of those around a job, as of one moment."""
    parent, child = dependencies.c.parent_id, dependencies.c.child_id
    with store.database.read() as tx:
        above, hidden_above = _walk(tx, job.job_id, child, parent)
        below, hidden_below = _walk(tx, job.job_id, parent, child)
        found = _kin(tx, [*above, *below])
        shown = [job.job_id, *found]
        edges = tx.execute(select(parent, child).where(parent.in_(shown), child.in_(shown))).all()
    return Family(
        job=Kin(job.job_id, job.name, job.state.value),
        above=[found[one] for one in above if one in found],
        below=[found[one] for one in below if one in found],
        edges=[(one, other) for one, other in edges],
        hidden_above=hidden_above,
        hidden_below=hidden_below,
    )


def _walk(tx: Connection, start: UUID, here: ColumnElement[UUID], there: ColumnElement[UUID]) -> tuple[list[UUID], int]:
    """The nearest jobs on one side, and how many more were seen beside them."""
    shown: dict[UUID, None] = {}
    hidden: set[UUID] = set()
    last = [start]
    for step in range(_STEPS + 1):
        seen = tx.execute(select(there).where(here.in_(last)).limit(_LOOKED_AT)).scalars()
        new = [one for one in dict.fromkeys(seen) if one not in shown]
        room = _SHOWN - len(shown) if step < _STEPS else 0
        last = new[:room]
        shown |= dict.fromkeys(last)
        hidden.update(new[room:])
        if not last:
            break
    return list(shown), len(hidden - shown.keys())


def _kin(tx: Connection, job_ids: Sequence[UUID]) -> dict[UUID, Kin]:
    query = select(jobs.c.job_id, jobs.c.name, jobs.c.state).where(jobs.c.job_id.in_(job_ids))
    return {row.job_id: Kin(*row) for row in tx.execute(query)}
