"""The edges between jobs: parents, children, and the refusal of circles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection, and_, delete, insert, or_, select

from balsam_core.errors import CircularDependency, JobNotFound, JobSpecError
from balsam_core.models.job import JobSpec
from balsam_core.state.machine import State
from balsam_core.state.moves import chunks, fail_children, move, recount, words
from balsam_core.state.tables import dependencies, jobs

_CHUNK = 500


def insert_edges(tx: Connection, specs: Sequence[JobSpec]) -> dict[UUID, int]:
    """Insert the edges of jobs that are about to be inserted; returns how many unmet parents each has.

    Raises JobNotFound for a parent that neither exists nor is among `specs`, CircularDependency for a circle.
    """
    new = {spec.job_id: spec for spec in specs}
    with_parents = [spec for spec in specs if spec.parents]
    if not with_parents:
        return {}
    _refuse_circles_among(new)
    finished = _finished(tx, {parent for spec in with_parents for parent in spec.parents} - new.keys(), with_parents)
    rows, unmet = [], {}
    for spec in with_parents:
        parents = dict.fromkeys(spec.parents)
        satisfied = {parent: finished.get(parent, False) for parent in parents}
        unmet[spec.job_id] = sum(not done for done in satisfied.values())
        rows += [{"child_id": spec.job_id, "parent_id": p, "satisfied": done} for p, done in satisfied.items()]
    tx.execute(insert(dependencies), rows)
    return unmet


def add_edge(tx: Connection, parent: UUID, child: UUID, *, now: float) -> None:
    """Make `child` wait for `parent`.

    A child that has already started is not held up. Raises JobNotFound, JobSpecError when the edge exists,
    CircularDependency for a circle.
    """
    finished = _finished(tx, {parent, child}, ())[parent]
    if parent in parents_of(tx, child):
        raise JobSpecError(f"job {child} already depends on {parent}")
    _refuse_circle(tx, parent, child)
    tx.execute(insert(dependencies), {"child_id": child, "parent_id": parent, "satisfied": finished})
    _edges_changed(tx, child, now=now)


def set_parents(tx: Connection, child: UUID, parents: Sequence[UUID], *, now: float) -> None:
    """Replace the parents of a job; those that it had are forgotten."""
    finished = _finished(tx, {child, *parents}, ())
    tx.execute(delete(dependencies).where(dependencies.c.child_id == child))
    for parent in dict.fromkeys(parents):
        _refuse_circle(tx, parent, child)
        tx.execute(insert(dependencies), {"child_id": child, "parent_id": parent, "satisfied": finished[parent]})
    _edges_changed(tx, child, now=now)


def parents_of(tx: Connection, child: UUID) -> list[UUID]:
    """The ids of a job's parents, oldest first."""
    query = (
        select(dependencies.c.parent_id)
        .join(jobs, jobs.c.job_id == dependencies.c.parent_id)
        .where(dependencies.c.child_id == child)
        .order_by(jobs.c.seq)
    )
    return list(tx.execute(query).scalars())


def parents_of_many(tx: Connection, children: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """The ids of the parents of each of these jobs; jobs without parents are left out."""
    found: dict[UUID, list[UUID]] = {}
    for chunk in chunks(children, _CHUNK):
        query = select(dependencies.c.child_id, dependencies.c.parent_id).where(dependencies.c.child_id.in_(chunk))
        for child, parent in tx.execute(query):
            found.setdefault(child, []).append(parent)
    return found


def children_of(tx: Connection, parents: Iterable[UUID]) -> list[UUID]:
    """The ids of the jobs that directly depend on any of `parents`, oldest first."""
    found: dict[UUID, None] = {}
    for chunk in chunks(parents, _CHUNK):
        query = (
            select(dependencies.c.child_id)
            .join(jobs, jobs.c.job_id == dependencies.c.child_id)
            .where(dependencies.c.parent_id.in_(chunk))
            .order_by(jobs.c.seq)
        )
        found.update(dict.fromkeys(tx.execute(query).scalars()))
    return list(found)


def descendants_of(tx: Connection, parents: Iterable[UUID]) -> list[UUID]:
    """Children, their children, and so on; without `parents` themselves."""
    roots = list(parents)
    seen = dict.fromkeys(roots)
    frontier = roots
    while frontier:
        frontier = [child for child in children_of(tx, frontier) if child not in seen]
        seen.update(dict.fromkeys(frontier))
    return list(seen)[len(dict.fromkeys(roots)) :]


def drop_edges(tx: Connection, gone: Sequence[UUID], *, now: float) -> None:
    """Take jobs that are about to be deleted out of the graph; jobs that wait for them fail."""
    fail_children(tx, gone, now=now, deleted=True)
    children = children_of(tx, gone)
    tx.execute(delete(dependencies).where(dependencies.c.parent_id.in_(gone)))
    tx.execute(delete(dependencies).where(dependencies.c.child_id.in_(gone)))
    recount(tx, children, now=now)


def settle_waiting(tx: Connection, children: Iterable[UUID], *, now: float) -> None:
    """Release or fail those of the jobs that are AWAITING_PARENTS: nobody polls that state."""
    for chunk in chunks(children, _CHUNK):
        recount(tx, chunk, now=now)
        parents = select(dependencies.c.parent_id).where(dependencies.c.child_id.in_(chunk)).distinct()
        fail_children(tx, tx.execute(parents).scalars().all(), now=now)


def hold_up(tx: Connection, children: Iterable[UUID], *, now: float, why: str) -> None:
    """Make jobs wait that were free to go, as long as nobody has begun with them."""
    idle = or_(jobs.c.launcher_id.is_(None), jobs.c.state == State.PREPROCESSED.value)
    untouched = and_(jobs.c.state.in_(words(_FREE)), jobs.c.attempt == 0, idle)
    for chunk in chunks(children, _CHUNK):
        waits = and_(jobs.c.job_id.in_(chunk), untouched, jobs.c.unmet_parents > 0, jobs.c.wait_for_parents)
        move(tx, waits, State.AWAITING_PARENTS, now=now, message=f"by hand: {why}", by_hand=True)


def _edges_changed(tx: Connection, child: UUID, *, now: float) -> None:
    recount(tx, [child], now=now)
    hold_up(tx, [child], now=now, why="was given another parent")
    settle_waiting(tx, [child], now=now)


def _refuse_circle(tx: Connection, parent: UUID, child: UUID) -> None:
    if parent == child or child in _ancestors(tx, parent):
        raise CircularDependency(f"Detected circular dependency: {parent} already depends on {child}")


def _finished(tx: Connection, parents: set[UUID], children: Sequence[JobSpec]) -> dict[UUID, bool]:
    found: dict[UUID, bool] = {}
    for chunk in chunks(parents, _CHUNK):
        for row in tx.execute(select(jobs.c.job_id, jobs.c.state).where(jobs.c.job_id.in_(chunk))):
            found[row.job_id] = row.state == State.JOB_FINISHED.value
    missing = parents - found.keys()
    if missing:
        parent = min(missing)
        whose = next((f" (a parent of {spec.cute_id})" for spec in children if parent in spec.parents), "")
        raise JobNotFound(f"no job has the id {parent}{whose}; add that job first")
    return found


def _ancestors(tx: Connection, job_id: UUID) -> set[UUID]:
    above = select(dependencies.c.parent_id).where(dependencies.c.child_id == job_id).cte(recursive=True)
    above = above.union(select(dependencies.c.parent_id).join(above, dependencies.c.child_id == above.c.parent_id))
    return set(tx.execute(select(above)).scalars())


def _refuse_circles_among(new: dict[UUID, JobSpec]) -> None:
    # Old jobs cannot depend on new ones, so a circle can only lie among the new; Kahn's algorithm.
    waiting = {key: {parent for parent in spec.parents if parent in new} for key, spec in new.items() if spec.parents}
    children: dict[UUID, list[UUID]] = {}
    for key, parents in waiting.items():
        for parent in parents:
            children.setdefault(parent, []).append(key)
    free = [key for key in new if not waiting.get(key)]
    while free:
        done = free.pop()
        for child in children.get(done, ()):
            waiting[child].discard(done)
            if not waiting[child]:
                free.append(child)
    stuck = [new[key].cute_id for key, parents in waiting.items() if parents]
    if stuck:
        raise CircularDependency(f"Detected circular dependency among {', '.join(stuck[:5])}")


# On the way from the parents' end to the first start.
_FREE = (State.READY, State.STAGED_IN, State.PREPROCESSED)
