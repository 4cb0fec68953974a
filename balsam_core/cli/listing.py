"""Shows what `balsam ls` lists, as tables or as the models of balsam_core/models/listings.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from balsam_core.cli.apps import chosen_apps
from balsam_core.cli.context import Opened
from balsam_core.cli.output import plain, print_json, print_lines, print_table, tell
from balsam_core.cli.selection import NOTHING_FOUND, Chosen
from balsam_core.counting import counted
from balsam_core.errors import JobSpecError, suggestion
from balsam_core.models import listings
from balsam_core.state.filters import JobFilter
from balsam_core.state.hosts import boot_id, machine_id
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from balsam_core.state.tables import jobs as job_table
from balsam_core.workdirs import Workdirs

_COLUMNS = ("job_id", "name", "workflow", "application", "state")


def extra_fields(text: str | None) -> list[str]:
    """The further columns of BALSAM_LS_FIELDS (`a:b`); raises JobSpecError for one that is no field of a job."""
    names = [name.strip() for name in (text or "").split(":") if name.strip()]
    for name in names:
        if name not in job_table.c:
            raise JobSpecError(f"no field {name!r} to list; {suggestion(name, job_table.c.keys())}")
    return [name for name in dict.fromkeys(names) if name not in _COLUMNS]


def show_jobs(store: Store, wanted: JobFilter, limit: int | None, extra: Sequence[str], *, as_json: bool) -> None:
    """`ls jobs`."""
    columns = (*_COLUMNS, *extra)
    rows = store.listed(columns, wanted, limit=limit)
    total = _total(store, wanted, len(rows), limit)
    if as_json:
        lines = [listings.JobLine.model_construct(**row._mapping) for row in rows]
        print_json(listings.JobListing(total=total, jobs=lines))
    elif rows:
        print_table(columns, [tuple(row) for row in rows])
    _tell_what_is_missing(len(rows), total, as_json)


def show_records(here: Opened, wanted: JobFilter, limit: int | None, *, as_json: bool) -> None:
    """`ls jobs --verbose`."""
    columns = job_table.c.keys()
    rows = here.store.listed(columns, wanted, limit=limit)
    total = _total(here.store, wanted, len(rows), limit)
    parents = here.store.parents_of([row.job_id for row in rows])
    records = [_record(row._mapping, parents, here) for row in rows]
    if as_json:
        print_json(listings.JobRecords(total=total, jobs=records))
    else:
        for record in records:
            print_lines([*(f"{key:>20}: {plain(value)}" for key, value in record.items()), ""])
    _tell_what_is_missing(len(rows), total, as_json)


def show_history(store: Store, wanted: JobFilter, limit: int | None, *, as_json: bool) -> None:
    """`ls jobs --history`."""
    rows = store.listed(_COLUMNS, wanted, limit=limit)
    total = _total(store, wanted, len(rows), limit)
    events: dict[UUID, list[listings.Event]] = {row.job_id: [] for row in rows}
    for event in store.history(list(events)):
        events[event.job_id].append(_event(event))
    if as_json:
        jobs = [
            listings.JobHistory(
                job_id=row.job_id, name=row.name, workflow=row.workflow, state=row.state, events=events[row.job_id]
            )
            for row in rows
        ]
        print_json(listings.HistoryListing(total=total, jobs=jobs))
    else:
        for row in rows:
            print_lines([f"Job {row.name} [{row.job_id}]", "-" * 40])
            print_lines([*map(_history_line, events[row.job_id]), ""])
    _tell_what_is_missing(len(rows), total, as_json)


def show_counts(store: Store, wanted: JobFilter, *, as_json: bool) -> None:
    """`ls jobs --by-states`."""
    counts = store.count_by_state(wanted)
    total = sum(counts.values())
    if as_json:
        print_json(listings.StateListing(total=total, states=counts))
    elif counts:
        # As 0.5 wrote it; scripts read these lines.
        print_lines([f"{state:>16}  {count}" for state, count in counts.items()])
    else:
        print_lines([NOTHING_FOUND])


def show_tree(store: Store, wanted: JobFilter, limit: int | None, *, as_json: bool) -> None:
    """`ls jobs --tree`."""
    rows = store.listed(_COLUMNS, wanted, limit=limit)
    total = _total(store, wanted, len(rows), limit)
    listed = {row.job_id for row in rows}
    parents = store.parents_of(list(listed))
    lines = [
        listings.TreeLine(
            job_id=row.job_id,
            name=row.name,
            state=row.state,
            parents=[parent for parent in parents.get(row.job_id, ()) if parent in listed],
        )
        for row in rows
    ]
    if as_json:
        print_json(listings.TreeListing(total=total, jobs=lines))
    else:
        print_lines(_tree(lines))
    _tell_what_is_missing(len(rows), total, as_json)


def show_workflows(store: Store, wanted: Chosen, *, as_json: bool) -> None:
    """`ls wf`; the filter options choose the jobs that are counted."""
    counts = store.count_by_workflow(wanted.filter())
    lines = [
        listings.WorkflowLine(workflow=workflow, total=sum(states.values()), states=_in_order(states))
        for workflow, states in counts.items()
    ]
    if as_json:
        print_json(listings.WorkflowListing(workflows=lines))
    elif lines:
        print_table(("workflow", "jobs", "states"), [(line.workflow, line.total, _counts(line)) for line in lines])
    else:
        print_lines(["No workflows found matching query"])


def show_apps(store: Store, wanted: Chosen, *, verbose: bool, as_json: bool) -> None:
    """`ls apps`."""
    lines = [listings.AppLine(**app.model_dump()) for app in chosen_apps(store, wanted)]
    columns = ["name", "executable", "description"]
    if verbose:
        columns += ["preprocess", "postprocess", "envscript", "app_id"]
    if as_json:
        print_json(listings.AppListing(apps=lines))
    elif lines:
        print_table(columns, [[getattr(line, column) for column in columns] for line in lines])
    else:
        print_lines(["No apps found matching query"])


def show_launchers(store: Store, *, ended: bool, as_json: bool) -> None:
    """`ls launchers`."""
    here = machine_id(os.environ)
    expired = {dead.launcher_id: dead.why for dead in store.expired_launchers(here)}
    with store.database.read() as tx:
        clock = store.database.lease_clock(tx)
    lines = [_launcher(row, held, expired, here, clock) for row, held in store.launchers(ended=ended)]
    columns = ("launcher_id", "host", "pid", "job_mode", "workflow", "nodes", "jobs", "started_at", "status")
    if as_json:
        print_json(listings.LauncherListing(launchers=lines))
    elif lines:
        print_table(columns, [[_short(getattr(line, column)) for column in columns] for line in lines])
    else:
        print_lines(["No launchers found"])


def _total(store: Store, wanted: JobFilter, shown: int, limit: int | None) -> int:
    if limit is None or shown < limit:
        return shown
    return sum(store.count_by_state(wanted).values())


def _tell_what_is_missing(shown: int, total: int, as_json: bool) -> None:
    if not total and not as_json:
        print_lines([NOTHING_FOUND])
    if shown < total:
        tell(f"showing {shown} of {counted(total, 'job')}; --limit or BALSAM_LS_LIMIT sets how many")


def _record(row: Mapping[Any, Any], parents: Mapping[UUID, Sequence[UUID]], here: Opened) -> listings.Record:
    record = dict(row)
    record["created_at"], record["state_at"] = _utc(row["created_at"]).isoformat(), _utc(row["state_at"]).isoformat()
    record["parents"] = [str(parent) for parent in parents.get(record["job_id"], ())]
    record["working_directory"] = str(Workdirs(here.site.data).at(record["user_workdir"], record["folder"]))
    return record


def _event(row: Any) -> listings.Event:
    return listings.Event(
        attempt=row.attempt, from_state=row.from_state, to_state=row.to_state, at=_utc(row.at), message=row.message
    )


def _history_line(event: listings.Event) -> str:
    # As 0.5 wrote it; programs read these lines.
    return f"[{event.at:%m-%d-%Y %H:%M:%S.%f} {event.to_state}] {event.message}".rstrip()


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _tree(jobs: Sequence[listings.TreeLine]) -> list[str]:
    """The jobs, each below every job that it waits for; its own children stand at its first place only."""
    children: dict[UUID, list[listings.TreeLine]] = {}
    for job in jobs:
        for parent in job.parents:
            children.setdefault(parent, []).append(job)
    lines: list[str] = []
    seen: set[UUID] = set()
    # A list of work instead of recursion: a chain of jobs may be longer than Python's stack.
    waiting = [(job, 0) for job in reversed(jobs) if not job.parents]
    while waiting:
        job, depth = waiting.pop()
        below = children.get(job.job_id, [])
        tail = " (see above)" if below and job.job_id in seen else ""
        lines.append(f"{'    ' * depth}|- [{job.name} | {str(job.job_id)[:8]}] {job.state}{tail}")
        if job.job_id not in seen:
            seen.add(job.job_id)
            waiting += [(child, depth + 1) for child in reversed(below)]
    return lines


def _in_order(states: Mapping[State, int]) -> dict[State, int]:
    return {state: states[state] for state in State if state in states}


def _counts(line: listings.WorkflowLine) -> str:
    return ", ".join(f"{count} {state}" for state, count in line.states.items())


def _launcher(row: Any, held: int, expired: Mapping[UUID, str], here: str, clock: float) -> listings.LauncherLine:
    # Leases are counted on the clock of one boot; another machine's heartbeat says nothing here.
    comparable = row.machine_id == here and row.boot_id == boot_id()
    return listings.LauncherLine(
        launcher_id=row.launcher_id,
        host=row.host,
        pid=row.pid,
        batch_job_id=row.batch_job_id,
        job_mode=row.job_mode,
        workflow=row.wf_filter,
        nodes=row.nodes,
        jobs=held,
        started_at=_utc(row.started_at),
        lease_seconds=row.lease_seconds,
        silent_seconds=max(0.0, clock - row.heartbeat) if comparable else None,
        status=_status(row, expired),
    )


def _status(row: Any, expired: Mapping[UUID, str]) -> str:
    if row.ended_at is not None:
        return f"ended: {row.end_reason}"
    why = expired.get(row.launcher_id)
    return f"lease expired: {why}" if why else "live"


def _short(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)[:8]
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else value
