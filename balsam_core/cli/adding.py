"""Adds jobs from the command line: one, or a file of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from pydantic import ValidationError

from balsam_core.cli import jobfile
from balsam_core.cli.asking import ask
from balsam_core.cli.context import current_folder
from balsam_core.cli.doubts import doubts
from balsam_core.cli.job_options import split_ids
from balsam_core.cli.output import print_lines, tell, warn
from balsam_core.counting import counted
from balsam_core.errors import JobSpecError
from balsam_core.models.job import JobSpec
from balsam_core.models.wording import reasons
from balsam_core.state.apps import unknown_app
from balsam_core.state.store import Store


def require(options: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise a usage error that names the options which are missing."""
    missing = [f"--{name}" for name in names if options[name] is None]
    if missing:
        raise click.UsageError(f"missing {', '.join(missing)}")


def with_parents(fields: dict[str, Any], store: Store) -> dict[str, Any]:
    """The fields with parts of parents' ids made whole. Raises JobNotFound."""
    if "parents" not in fields:
        return fields
    return {**fields, "parents": [store.find_job(part).job_id for part in split_ids(fields["parents"])]}


def spec_of(fields: Mapping[str, Any]) -> JobSpec:
    """The job that these fields make; raises JobSpecError."""
    try:
        return JobSpec.model_validate(fields)
    except ValidationError as error:
        raise JobSpecError(reasons(error)) from None


def add_one(store: Store, spec: JobSpec, *, yes: bool, skip_existing: bool, message: str = "") -> None:
    """Show a job, ask, add it, and print its id."""
    store.app(spec.application)
    if not yes:
        tell(_shown(spec))
    ask("Confirm adding job to DB", yes=yes)
    if skip_existing and not store.add_missing_jobs([spec]):
        tell(f"skipped: there is a job {spec.name!r} in the workflow {spec.workflow!r} already")
        return
    if not skip_existing:
        store.add_jobs([spec], message)
    for field, wrong in doubts(spec):
        warn(f"{wrong}; so it will fail: correct it with `balsam modify {str(spec.job_id)[:8]} {field} ...`")
    print_lines([f"Added job {spec.name} [{spec.job_id}]"])


def add_file(store: Store, file: Path, defaults: Mapping[str, Any], *, yes: bool, skip_existing: bool) -> None:
    """Add the jobs of a file, all or none. Raises JobSpecError with the file and the row that is wrong."""
    rows = jobfile.read_jobs(file, defaults, current_folder())
    _check_apps(store, rows)
    _check_parents(store, rows)
    specs = [row.spec for row in rows]
    if not yes:
        tell(f"{file}: {counted(len(specs), 'job')}" + (f", the first:\n{_shown(specs[0])}" if specs else ""))
    ask(f"Confirm adding {counted(len(specs), 'job')} to DB", yes=yes)
    try:
        added = store.add_missing_jobs(specs) if skip_existing else store.add_jobs(specs)
    except JobSpecError as error:
        raise type(error)(f"{file}: {error}; nothing was added") from error
    skipped = f", skipped {len(specs) - len(added)} that were there already" if skip_existing else ""
    print_lines([f"Added {counted(len(added), 'job')} from {file}{skipped}"])


def _check_apps(store: Store, rows: Sequence[jobfile.Row]) -> None:
    known = {app.name for app in store.apps()}
    for row in rows:
        if not row.spec.application:
            raise row.error("application is missing; name one in the row, or for all rows by --application")
        if row.spec.application not in known:
            raise row.error(str(unknown_app(row.spec.application, known)))


def _check_parents(store: Store, rows: Sequence[jobfile.Row]) -> None:
    here = {row.spec.job_id for row in rows}
    wanted = {parent for row in rows for parent in row.spec.parents} - here
    known: set[UUID] = set(store.jobs_by_id(list(wanted))) if wanted else set()
    for row in rows:
        for parent in row.spec.parents:
            if parent not in here and parent not in known:
                raise row.error(f"no job has the id {parent}, given in parents; `balsam ls` lists the ids")


def _shown(spec: JobSpec) -> str:
    given = spec.model_dump(exclude_unset=True)
    return "\n".join(f"{field:>20}: {_plain(value)}" for field, value in given.items())


def _plain(value: object) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, tuple) else str(value)
