"""The rows of jobs: inserted, listed, changed by their users, deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection, Row, case, delete, func, select, true, update
from sqlalchemy.sql import ColumnElement, and_

from balsam_core.errors import AppNotFound, JobSpecError, suggestion
from balsam_core.models.job import Job, JobSpec, safe_folder
from balsam_core.models.wording import reasons
from balsam_core.state.dependencies import drop_edges, hold_up, insert_edges, settle_waiting
from balsam_core.state.machine import RUNNABLE, State
from balsam_core.state.moves import RUNS, chunks, event_row, record, words
from balsam_core.state.prepared import Prepared
from balsam_core.state.tables import apps, events, jobs

_CHUNK = 500
_BULK = 5_000

COLUMNS = tuple(jobs.c.keys())

# What a user may change of a job that exists: all that one may ask for, but its id and its edges.
EDITABLE = frozenset(JobSpec.model_fields) - {"job_id", "parents"}


def insert_jobs(
    tx: Connection,
    specs: Sequence[JobSpec],
    *,
    now: float,
    message: Callable[[JobSpec], str] | str = "",
    known_apps_only: bool = True,
) -> list[UUID]:
    """Insert jobs with their edges, folders and CREATED events; their ids, in order.

    known_apps_only: False for jobs whose application may be added later; until then they fail when they come to run.
    Raises AppNotFound, JobNotFound (a parent), CircularDependency, JobSpecError (an id used twice).
    """
    if known_apps_only:
        refuse_unknown_apps(tx, {spec.application for spec in specs})
    _refuse_known_ids(tx, specs)
    unmet = insert_edges(tx, specs)
    wording = message if callable(message) else lambda _: message
    for chunk in chunks(specs, _BULK):
        _insert_rows(tx, chunk, unmet, now)
        record(tx, [event_row(spec.job_id, 0, "", State.CREATED, now, wording(spec)) for spec in chunk])
    return [spec.job_id for spec in specs]


def select_jobs(
    tx: Connection,
    where: ColumnElement[bool],
    *,
    limit: int | None = None,
    order: Sequence[Any] = (),
    skip_locked: bool = False,
) -> list[Job]:
    """The jobs for which `where` holds, oldest first unless `order` says otherwise.

    skip_locked: lock them until the end of the transaction, and leave out those that another one has locked.
    """
    query = select(jobs).where(where).order_by(*(order or (jobs.c.seq,))).limit(limit)
    if skip_locked:
        query = query.with_for_update(skip_locked=True)
    return [Job.from_row(dict(zip(COLUMNS, row, strict=True))) for row in tx.execute(query)]


def select_columns(
    tx: Connection, columns: Sequence[str], where: ColumnElement[bool], *, limit: int | None = None
) -> list[Row[Any]]:
    """These columns of the jobs for which `where` holds, oldest first: for listings, which build no Job."""
    query = select(*(jobs.c[name] for name in columns)).where(where).order_by(jobs.c.seq).limit(limit)
    return list(tx.execute(query).all())


def count_by_state(tx: Connection, where: ColumnElement[bool]) -> dict[State, int]:
    """How many jobs there are in each state, in the order of the states; states without jobs are left out."""
    # Grouped as the index on (workflow, state) has them: 0.1 s for 1,000,000 jobs, by the state alone 0.5 s.
    counted = select(jobs.c.state, func.count().label("jobs")).where(where).group_by(jobs.c.workflow, jobs.c.state)
    parts = counted.subquery()
    query = select(parts.c.state, func.sum(parts.c.jobs)).group_by(parts.c.state)
    found: dict[str, int] = dict(tx.execute(query).all())
    return {state: int(found[state.value]) for state in State if state.value in found}


def has_any(tx: Connection, where: ColumnElement[bool]) -> bool:
    """Whether there is such a job; looks no further than the first."""
    return tx.execute(select(1).select_from(jobs).where(where).limit(1)).first() is not None


def count_by_workflow(tx: Connection, where: ColumnElement[bool]) -> dict[str, dict[State, int]]:
    """For each workflow, how many of its jobs are in each state."""
    query = (
        select(jobs.c.workflow, jobs.c.state, func.count())
        .where(where)
        .group_by(jobs.c.workflow, jobs.c.state)
        .order_by(jobs.c.workflow)
    )
    found: dict[str, dict[State, int]] = {}
    for workflow, state, count in tx.execute(query):
        found.setdefault(workflow, {})[State(state)] = count
    return found


def existing_names(tx: Connection, workflows: Sequence[str]) -> set[tuple[str, str]]:
    """The (workflow, name) pairs that are taken in these workflows."""
    found: set[tuple[str, str]] = set()
    for chunk in chunks(workflows, _CHUNK):
        query = select(jobs.c.workflow, jobs.c.name).where(jobs.c.workflow.in_(chunk))
        found.update((workflow, name) for workflow, name in tx.execute(query))
    return found


def parse_change(name: str, value: str) -> Any:
    """The value of a field as typed on a command line, by the field's type (`False` is false).

    Raises JobSpecError for an unknown field, and for a value that the field does not take.
    """
    _refuse_unknown_field(name)
    return check_change(name, _typed(name, value))


def check_change(name: str, value: Any) -> Any:
    """A field's new value, as JobSpec takes it; raises JobSpecError."""
    _refuse_unknown_field(name)
    try:
        checked = JobSpec.__pydantic_validator__.validate_assignment(_PATTERN.model_copy(), name, value)
    except ValidationError as error:
        raise JobSpecError(reasons(error)) from None
    return getattr(checked, name)


def change_jobs(
    tx: Connection,
    where: ColumnElement[bool],
    values: Mapping[str, Any],
    *,
    now: float,
    known_apps_only: bool = True,
    holder: UUID | None = None,
) -> int:
    """Set fields of jobs. One that is claimed but not yet started is given back, so that it starts as it now is.

    A new name or workflow is a new folder, too, for a job that has none yet; one that has begun keeps its own.
    holder: what this program acquired stays its own.

    Raises AppNotFound when the new application does not exist, unless it may be added later.
    """
    if known_apps_only and "application" in values:
        refuse_unknown_apps(tx, {values["application"]})
    wanted = list(tx.execute(select(jobs.c.job_id).where(where)).scalars())
    others = true() if holder is None else jobs.c.launcher_id != holder
    claimed = and_(jobs.c.state.in_(words(RUNNABLE)), ~RUNS, others)
    not_started = case((claimed, None), else_=jobs.c.launcher_id)
    for chunk in chunks(wanted, _CHUNK):
        tx.execute(update(jobs).where(jobs.c.job_id.in_(chunk)).values({**values, "launcher_id": not_started}))
        if values.keys() & {"name", "workflow"}:
            _rename_folders(tx, chunk)
    if "wait_for_parents" in values:
        hold_up(tx, wanted, now=now, why="wait_for_parents was set")
        settle_waiting(tx, wanted, now=now)
    return len(wanted)


def delete_jobs(tx: Connection, job_ids: Sequence[UUID], *, now: float) -> int:
    """Delete jobs with their edges and events; jobs that wait for them fail."""
    deleted = 0
    for chunk in chunks(job_ids, _CHUNK):
        drop_edges(tx, chunk, now=now)
        tx.execute(delete(events).where(events.c.job_id.in_(chunk)))
        deleted += tx.execute(delete(jobs).where(jobs.c.job_id.in_(chunk))).rowcount
    return deleted


def _insert_rows(tx: Connection, specs: Sequence[JobSpec], unmet: Mapping[UUID, int], now: float) -> None:
    # The unique index on the folder finds a clash: cheaper than asking for each folder first.
    if _insert(tx, specs, unmet, now, digits=8) < len(specs):
        left_out = {spec.job_id: spec for spec in specs}
        for chunk in chunks(list(left_out), _CHUNK):
            for job_id in tx.execute(select(jobs.c.job_id).where(jobs.c.job_id.in_(chunk))).scalars():
                del left_out[job_id]
        _insert(tx, list(left_out.values()), unmet, now, digits=32)


def _insert(tx: Connection, specs: Sequence[JobSpec], unmet: Mapping[UUID, int], now: float, *, digits: int) -> int:
    return _insert_job(tx.dialect.name).run(
        tx,
        (
            (*_wishes(spec.__dict__), job_folder(spec, digits), _NEW, unmet.get(spec.job_id, 0), now, now)
            for spec in specs
        ),
    )


def _refuse_unknown_field(name: str) -> None:
    if name not in EDITABLE:
        raise JobSpecError(f"no field {name!r} can be changed; {suggestion(name, EDITABLE | {'state'})}")


def refuse_unknown_apps(tx: Connection, names: set[str]) -> None:
    """Raise AppNotFound when one of the names is no application's; an empty name is none at all."""
    known = set(tx.execute(select(apps.c.name)).scalars())
    unknown = names - known - {""}
    if unknown:
        name = min(unknown)
        way_out = suggestion(name, known) if known else f"add it with `balsam app --name {name} --executable ...`"
        raise AppNotFound(f"no application named {name!r}; {way_out}")


def _refuse_known_ids(tx: Connection, specs: Sequence[JobSpec]) -> None:
    if len({spec.job_id for spec in specs}) < len(specs):
        raise JobSpecError("two of the jobs to be added have the same job_id; leave the ids out")
    for chunk in chunks((spec.job_id for spec in specs), _CHUNK):
        taken = tx.execute(select(jobs.c.job_id).where(jobs.c.job_id.in_(chunk)).limit(1)).scalar()
        if taken is not None:
            raise JobSpecError(f"there is a job with the id {taken} already; leave job_id out to get a new one")


def _rename_folders(tx: Connection, job_ids: Sequence[UUID]) -> None:
    without = and_(jobs.c.job_id.in_(job_ids), jobs.c.state.in_(_WITHOUT_FOLDER), jobs.c.attempt == 0)
    columns = (jobs.c.job_id, jobs.c.workflow, jobs.c.name, jobs.c.folder)
    wishes: dict[Any, str] = {row: job_folder(row) for row in list[Any](tx.execute(select(*columns).where(without)))}
    taken = set(tx.execute(select(jobs.c.folder).where(jobs.c.folder.in_(wishes.values()))).scalars())
    for row, wish in wishes.items():
        if wish != row.folder:
            folder = job_folder(row, 32) if wish in taken else wish
            taken.add(folder)
            tx.execute(update(jobs).where(jobs.c.job_id == row.job_id).values(folder=folder))


_NEW = State.CREATED.value
# What comes before the first step that makes a folder.
_WITHOUT_FOLDER = words({State.CREATED, State.AWAITING_PARENTS})


def job_folder(spec: JobSpec, digits: int = 8) -> str:
    """The folder of a job below the site's data folder; it gets all 32 digits of the id when this one is taken."""
    return f"{safe_folder(spec.workflow)}/{safe_folder(spec.name)}_{spec.job_id.hex[:digits]}"


def _typed(name: str, value: str) -> Any:
    annotation = JobSpec.model_fields[name].annotation
    optional = annotation is not None and type(None) in getattr(annotation, "__args__", ())
    if optional and value.strip().lower() in {"", "none", "null"}:
        return None
    if name == "data":
        import json

        try:
            return json.loads(value)
        except ValueError as error:
            raise JobSpecError(f"data cannot be {value!r}: it is not JSON ({error})") from None
    return value


_PATTERN = JobSpec(name="pattern", workflow="pattern")

_WISHES = [name for name in JobSpec.model_fields if name != "parents"]
_wishes = itemgetter(*_WISHES)


@cache
def _insert_job(dialect: str) -> Prepared:
    # Both spell it alike, but neither compiles the other's.
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
    return Prepared(
        insert(jobs).inline().on_conflict_do_nothing(index_elements=["folder"]),
        [*_WISHES, "folder", "state", "unmet_parents", "created_at", "state_at"],
    )
