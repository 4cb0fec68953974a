"""From the attributes of a BalsamJob to what the site keeps, and the errors on the way, by Balsam 0.5's names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from balsam.core.exceptions import (
    FieldError,
    IntegrityError,
    InvalidFieldError,
    InvalidParentsError,
    InvalidStateError,
)
from balsam.core.expressions import literal_or_sql
from balsam.core.fields import JOB, UNDECLARED, parse_id
from balsam_core.errors import CircularDependency, InvalidState, JobNotFound, JobSpecError, suggestion
from balsam_core.models.job import JobSpec
from balsam_core.models.wording import reasons
from balsam_core.state.database import from_json, to_json
from balsam_core.state.jobs import EDITABLE, check_change
from balsam_core.state.machine import State, parse_state

# What Balsam 0.5 kept for itself, and programs may name all the same.
OWN = frozenset({"state", "state_history", "parents", "lock", "tick", "queued_launch"})
# A job without these was possible in Balsam 0.5.
DEFAULTS = {"name": "unnamed", "workflow": "default"}
_SPEC_FIELDS = frozenset(JobSpec.model_fields)
# The attributes of a new job that nobody has set.
NEW: dict[str, Any] = {
    **{name: field.get_default(call_default_factory=True) for name, field in JobSpec.model_fields.items()
       if name not in {"job_id", "parents", "data", "tags", "name", "workflow"}},
    **DEFAULTS, "wall_time_minutes": UNDECLARED, "environ_vars": "", "state": "CREATED", "queued_launch": None,
    "attempt": 0, "exit_code": None, "node": "",
}  # fmt: skip
_UNSET = {name: value for name, value in NEW.items() if name in _SPEC_FIELDS - DEFAULTS.keys()}
_NOTHING = object()


def spec_of(fields: Mapping[str, Any]) -> JobSpec:
    """The job that these attributes make; raises InvalidFieldError, InvalidParentsError."""
    wishes = {
        name: _parsed(name, value)
        for name, value in fields.items()
        if name in _SPEC_FIELDS and value is not _UNSET.get(name, _NOTHING)
    }
    wishes["parents"] = tuple(parent_ids(fields.get("parents")))
    try:
        return JobSpec.model_validate(wishes)
    except ValidationError as error:
        raise InvalidFieldError(reasons(error)) from None


def checked_change(name: str, value: Any) -> Any:
    """A field's new value as the database takes it, or the SQL of an expression; raises InvalidFieldError."""
    sql = literal_or_sql(JOB, value)
    if sql is not None:
        return sql
    try:
        return check_change(name, _parsed(name, value))
    except JobSpecError as error:
        raise InvalidFieldError(str(error)) from None


def refuse_unknown(names: Sequence[str]) -> None:
    """Raise FieldError when one of the names is no field that can be changed."""
    for name in names:
        if name not in EDITABLE and name not in OWN:
            raise FieldError(f"no field {name!r} can be changed; {suggestion(name, EDITABLE | {'state'})}")


def state_of(word: Any) -> State:
    """The state of that name; raises InvalidStateError."""
    try:
        return parse_state(str(word))
    except InvalidState as error:
        raise InvalidStateError(str(error)) from None


def parent_ids(parents: Any) -> list[UUID]:
    """The ids in `parents`: JSON text as Balsam 0.5 kept it, or jobs and ids; raises InvalidParentsError."""
    try:
        listed = json.loads(parents or "[]") if isinstance(parents, str) else list(parents or [])
        return [parse_id(parent) for parent in listed]
    except (TypeError, ValueError) as error:
        raise InvalidParentsError(f"parents cannot be {parents!r}: {error}") from None


@contextmanager
def balsam05_errors() -> Iterator[None]:
    """What the store refuses, as what Balsam 0.5 raised."""
    try:
        yield
    except InvalidState as error:
        raise InvalidStateError(str(error)) from None
    except JobNotFound as error:
        raise InvalidParentsError(str(error)) from None
    except CircularDependency as error:
        raise RuntimeError(str(error)) from error
    except JobSpecError as error:
        raise IntegrityError(str(error)) from None


def _parsed(name: str, value: Any) -> Any:
    if name in DEFAULTS:
        return str(value) if value is not None and str(value).strip() else DEFAULTS[name]
    field = JOB.by_name.get(name)
    if field is None or name == "job_id":
        return value
    if field.is_json:
        # As it will be read back: keys are texts, tuples are lists.
        return from_json(to_json(value)) if value else value
    try:
        return field.parse(value)
    except (TypeError, ValueError) as error:
        raise InvalidFieldError(f"{name} cannot be {value!r}: {error}") from None
