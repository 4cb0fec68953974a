"""Claims: which runnable jobs a launcher takes, and how it gives back what it did not start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, text, update
from sqlalchemy.sql import and_

from balsam_core.models.job import Job
from balsam_core.state.filters import glob_pattern, like_pattern
from balsam_core.state.jobs import COLUMNS
from balsam_core.state.leases import is_live
from balsam_core.state.machine import State
from balsam_core.state.moves import chunks
from balsam_core.state.prepared import Prepared
from balsam_core.state.tables import CLAIM_ORDER, CLAIMABLE, SERIAL_CLAIM_ORDER, SERIAL_CLAIMABLE, jobs

_CHUNK = 500
_MAX_PAGES = 50


@dataclass(frozen=True)
class Limits:
    """What a claim may choose from, as far as SQL can tell; the rest is the placement's.

    most_gpus, most_memory_mb: of any node; None: as many as one likes.
    """

    workflow: str = ""
    max_nodes: int = 1
    serial: bool = True
    minutes_left: float | None = None
    most_gpus: int | None = None
    most_memory_mb: int | None = None


def claim(
    tx: Connection,
    launcher_id: UUID,
    limits: Limits,
    choose: Callable[[Sequence[Job]], Iterable[UUID]],
    *,
    page: int,
) -> list[Job]:
    """Claim the runnable jobs that `choose` picks out of a page of candidates, which come in claim order.

    While it picks none, the next page is tried: a page of jobs that do not fit hides nothing behind it.
    A launcher whose lease is over gets none.
    """
    if not is_live(tx, launcher_id):
        return []
    claimed: list[Job] = []
    # PostgreSQL: rows that another claim looks at are passed over, and ours are locked as they are read.
    query, values = _candidates(limits, tx.dialect.name)
    for rows in islice(query.rows(tx, values, page=page), _MAX_PAGES):
        candidates = [Job.from_row(dict(zip(COLUMNS, row, strict=True))) for row in rows]
        chosen = set(choose(candidates))
        claimed = [job for job in candidates if job.job_id in chosen]
        if claimed:
            break
    _SET_HOLDER.run(tx, [(launcher_id, job.seq) for job in claimed])
    return claimed


def give_back(tx: Connection, launcher_id: UUID, job_ids: Iterable[UUID]) -> None:
    """Give back jobs that were claimed and not started; no attempt is counted. Running ones stay where they are."""
    for chunk in chunks(job_ids, _CHUNK):
        mine = and_(jobs.c.job_id.in_(chunk), jobs.c.launcher_id == launcher_id)
        not_running = jobs.c.state != State.RUNNING.value
        tx.execute(update(jobs).where(mine, not_running).values(launcher_id=None))


def held(tx: Connection, launcher_id: UUID) -> dict[UUID, State]:
    """The jobs that a launcher holds, as the database sees it: what is missing here was taken away from it."""
    query = select(jobs.c.job_id, jobs.c.state).where(jobs.c.launcher_id == launcher_id)
    return {job_id: State(state) for job_id, state in tx.execute(query)}


def _candidates(limits: Limits, dialect: str) -> tuple[Prepared, list[Any]]:
    values: dict[str, Any] = {} if limits.serial else {"max_nodes": limits.max_nodes}
    if limits.workflow:
        fits = glob_pattern if dialect == "sqlite" else like_pattern
        values["workflow"] = fits(limits.workflow) if "*" in limits.workflow else limits.workflow
    bounds = {name: getattr(limits, name) for name in _BOUNDS}
    values.update((name, most) for name, most in bounds.items() if most is not None)
    return _candidates_query(tuple(values), limits.serial, "*" in limits.workflow, dialect), list(values.values())


@cache
def _candidates_query(parameters: tuple[str, ...], serial: bool, pattern: bool, dialect: str) -> Prepared:
    # Literal SQL over a partial index in its own order: 1 ms among 1,000,000, where bound IN lists take 500.
    # Without statistics SQLite would rather sort: the index is named (sqlite.org/lang_indexedby.html).
    exact = "workflow" in parameters and not pattern
    index, order = "jobs_claimable_workflow" if exact else "jobs_claimable", CLAIM_ORDER
    if not serial:
        conditions = [CLAIMABLE, "num_nodes <= :max_nodes"]
    elif exact:
        # `num_nodes = 1` would make SQLite sort: it does not see that the index still has the order.
        conditions = [CLAIMABLE, "num_nodes <= 1", "ranks_per_node = 1"]
    else:
        index, order, conditions = "jobs_claimable_serial", SERIAL_CLAIM_ORDER, [SERIAL_CLAIMABLE]
    if "workflow" in parameters:
        fits = "workflow GLOB :workflow" if dialect == "sqlite" else "workflow LIKE :workflow ESCAPE '/'"
        conditions.append(fits if pattern else "workflow = :workflow")
    bounds = [_BOUNDS[name] for name in parameters if name in _BOUNDS]
    conditions += [f"({column} IS NULL OR {column} <= {most})" for column, most in bounds]
    table, lock = (f"jobs INDEXED BY {index}", "") if dialect == "sqlite" else ("jobs", " FOR UPDATE SKIP LOCKED")
    query = f"SELECT {', '.join(COLUMNS)} FROM {table} WHERE {' AND '.join(conditions)} ORDER BY {order}{lock}"
    return Prepared(text(query), parameters, list(jobs.c))


# What a job may ask for at most. A product of GPUs and ranks may be more than an integer of PostgreSQL holds.
_BOUNDS = {
    "minutes_left": ("wall_time_minutes", ":minutes_left"),
    "most_gpus": ("gpus_per_rank", ":most_gpus / ranks_per_node"),
    "most_memory_mb": ("memory_mb", ":most_memory_mb"),
}
_SET_HOLDER = Prepared(
    update(jobs).where(jobs.c.seq == bindparam("the_seq")).values(launcher_id=bindparam("launcher")),
    ["launcher", "the_seq"],
)
