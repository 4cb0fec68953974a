"""Many jobs at once: inserted, changed and deleted through the store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from balsam.core.conversion import (
    OWN,
    balsam05_errors,
    checked_change,
    parent_ids,
    refuse_unknown,
    spec_of,
    state_of,
)
from balsam.core.exceptions import FieldError
from balsam.core.fields import JOB
from balsam.core.history import last_message
from balsam.core.query import QuerySet
from balsam.core.site import store
from balsam_core.state.jobs import EDITABLE
from balsam_core.state.machine import State


def insert(jobs: Sequence[Mapping[str, Any]], messages: Sequence[str]) -> None:
    """Insert the jobs that these attributes make, all or none, each in the state that it has.

    messages: what each history says of that state. Raises InvalidFieldError, InvalidStateError, InvalidParentsError.
    """
    specs = [spec_of(fields) for fields in jobs]
    begun: dict[UUID, tuple[State, str]] = {}
    created: dict[UUID, str] = {}
    for spec, fields, message in zip(specs, jobs, messages, strict=True):
        state = state_of(fields["state"])
        if state is State.CREATED:
            created[spec.job_id] = message
        else:
            begun[spec.job_id] = (state, message)
    with balsam05_errors():
        store().add_jobs(specs, lambda spec: created.get(spec.job_id, ""), known_apps_only=False, begun=begun)


def update(query: QuerySet, values: Mapping[str, Any], holder: UUID | None) -> int:
    """Set fields of all jobs of a query, and move them when `state` is one; how many were changed.

    holder: who keeps what it holds; `lock=""` releases that. Raises FieldError for a name that cannot be set.
    """
    values = {JOB.name_of(name): value for name, value in values.items()}
    refuse_unknown(list(values))
    if values.get("lock"):
        raise FieldError("lock cannot be set; acquire jobs with BalsamJob.source.acquire(ids)")
    target = state_of(values["state"]) if "state" in values else None
    plain = {name: checked_change(name, value) for name, value in values.items() if name in EDITABLE}
    with balsam05_errors():
        # Those that are meant by now: the query may ask for what is changed here.
        ids = list(query.values_list("pk", flat=True)) if values.keys() & OWN - {"state", "state_history"} else []
        changed = store().update_jobs(query, plain, target, _message(values.get("state_history")), holder=holder)
        for pk in ids if "parents" in values else ():
            store().set_parents(pk, parent_ids(values["parents"]))
        if "lock" in values and holder is not None and ids:
            store().release(holder, QuerySet(query.model).filter(pk__in=ids))
    return changed


def delete(query: QuerySet, holder: UUID | None) -> int:
    """Delete the jobs of a query, running ones after they were stopped; how many.

    Raises RuntimeError when a launcher does not let go of some; the others are gone.
    """
    from balsam_core.deletion import delete_jobs
    from balsam_core.state.hosts import machine_id

    if holder is not None:
        store().release(holder, query)
    rows = store().listed(("job_id", "launcher_id"), query)
    came = delete_jobs(
        store(),
        [row.job_id for row in rows],
        [row.job_id for row in rows if row.launcher_id is not None],
        machine_id=machine_id(os.environ),
        message="deleted by a program",
    )
    if came.trouble:
        raise RuntimeError(came.trouble)
    return came.deleted


def _message(history: Any) -> str:
    """The message in `state_history=Concat("state_history", Value(line))`, or in a whole history."""
    return last_message(history if isinstance(history, str) else "".join(_texts(history)))


def _texts(expression: Any) -> Iterator[str]:
    # A real Django nests the parts of Concat in pairs.
    if isinstance(getattr(expression, "value", None), str):
        yield expression.value
    elif hasattr(expression, "get_source_expressions"):
        for part in expression.get_source_expressions():
            yield from _texts(part)
