"""The fields of jobs and applications: what each is called, where SQL finds it, and how programs see it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from sqlalchemy import String, Table, cast, func, select
from sqlalchemy.sql import ColumnElement

from balsam.core.dialects import json_pairs, json_rows
from balsam.core.exceptions import FieldDoesNotExist, FieldError, InvalidFieldError
from balsam.core.history import history_text
from balsam_core.errors import suggestion
from balsam_core.models.job import parse_environ
from balsam_core.state.tables import apps, dependencies, events, jobs, launchers


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Field:
    """One field.

    show: from what the database has to what programs see; parse: back, for look-ups and updates.
    stored: a column of the row; others are worked out by SQL when somebody asks. text: what text look-ups search.
    """

    name: str
    sql: ColumnElement[Any]
    show: Callable[[Any], Any] = _same
    parse: Callable[[Any], Any] = _same
    stored: bool = True
    is_json: bool = False
    text: ColumnElement[Any] | None = None
    holds: Callable[[Any], ColumnElement[bool]] | None = None


@dataclass(frozen=True)
class Meta:
    """A model: its table and its fields; programs find it as `BalsamJob._meta`.

    aliases: other names of fields, such as those that Balsam 0.2 had.
    """

    object_name: str
    table: Table
    by_name: Mapping[str, Field]
    key: str
    order: tuple[ColumnElement[Any], ...]
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """`core.BalsamJob`."""
        return f"core.{self.object_name}"

    @property
    def pk(self) -> Field:
        """The field that tells rows apart."""
        return self.by_name[self.key]

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every field."""
        return tuple(self.by_name.values())

    def name_of(self, name: str) -> str:
        """The name of a field, from that name or an alias of it."""
        return self.aliases.get(name, name)

    def get_fields(self) -> tuple[Field, ...]:
        """Every field."""
        return self.fields

    def get_field(self, name: str) -> Field:
        """The field of that name; raises FieldDoesNotExist."""
        found = self.by_name.get(self.name_of(name))
        if found is None:
            raise FieldDoesNotExist(f"{self.object_name} has no field {name!r}; {suggestion(name, self.by_name)}")
        return found

    def find(self, name: str) -> Field:
        """The field of that name in a query; raises FieldError."""
        try:
            return self.get_field(name)
        except FieldDoesNotExist as error:
            raise FieldError(str(error)) from None


# ---- how programs see values


def parse_id(value: Any) -> UUID:
    """An id from an id, its text, or an object that has one; raises InvalidFieldError."""
    value = getattr(value, "pk", value)
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise InvalidFieldError(f"{value!r} is no id; ids are 32 hexadecimal digits") from None


class EnvironText(str):
    """Variables as Balsam's text `A=1:B=2`, which knows them: a value may hold what looks like the next variable."""

    variables: Mapping[str, str]


def environ_text(variables: Mapping[str, str]) -> EnvironText:
    """The text of variables."""
    text = EnvironText(":".join(f"{name}={value}" for name, value in variables.items()))
    text.variables = variables
    return text


def _variables(value: Any) -> Any:
    return value.variables if isinstance(value, EnvironText) else parse_environ(value)


class _Undeclared(int):
    """A wall time that nobody declared: it reads as a minute, and keeps no job from starting."""


UNDECLARED = _Undeclared(1)


def _declared_minutes(value: Any) -> int | None:
    return None if value is None or isinstance(value, _Undeclared) else int(value)


def as_text(value: Any) -> str:
    """The text of a text field; an application stands for its name, and None for none."""
    return "" if value is None else str(getattr(value, "name", value) if not isinstance(value, str) else value)


def _as_time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _seconds(value: datetime | float) -> float:
    if not isinstance(value, datetime):
        return value
    return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()


def _rows(value: Any) -> list[Any]:
    return sorted(json.loads(value) if isinstance(value, str) else value or [])


def _parents_text(value: Any) -> str:
    return json.dumps([str(UUID(parent)) for _, parent in _rows(value)])


def _history_text(value: Any) -> str:
    return "".join(history_text(state, at, message) for _, state, at, message in _rows(value))


# ---- what SQL works out


_PARENT = jobs.alias("parent")
_PARENTS = (
    select(json_rows(_PARENT.c.seq, _PARENT.c.job_id))
    .select_from(dependencies.join(_PARENT, dependencies.c.parent_id == _PARENT.c.job_id))
    .where(dependencies.c.child_id == jobs.c.job_id)
    .correlate(jobs)
    .scalar_subquery()
)
_HISTORY = (
    select(json_rows(events.c.event_id, events.c.to_state, events.c.at, events.c.message))
    .select_from(events)
    .where(events.c.job_id == jobs.c.job_id)
    .correlate(jobs)
    .scalar_subquery()
)
_HOLDER = (
    select(launchers.c.host + ":" + cast(launchers.c.pid, String))
    .where(launchers.c.launcher_id == jobs.c.launcher_id)
    .correlate(jobs)
    .scalar_subquery()
)


def _has_parent(part: Any) -> ColumnElement[bool]:
    mine = select(dependencies.c.parent_id).where(dependencies.c.child_id == jobs.c.job_id).correlate(jobs)
    return mine.where(dependencies.c.parent_id == parse_id(part)).exists()


def _in_history(part: Any) -> ColumnElement[bool]:
    mine = select(events.c.event_id).where(events.c.job_id == jobs.c.job_id).correlate(jobs)
    shown = events.c.to_state + "] " + events.c.message
    return mine.where(func.replace(shown, str(part), "") != shown).exists()


# ---- the models


def _id(name: str, column: ColumnElement[Any]) -> Field:
    return Field(name, column, parse=parse_id, text=func.replace(cast(column, String), "-", ""))


def _texts(table: Table, *names: str) -> list[Field]:
    return [Field(name, table.c[name], parse=as_text, text=table.c[name]) for name in names]


def _typed(kind: Callable[[Any], Any], *names: str) -> list[Field]:
    return [Field(name, jobs.c[name], parse=lambda value: None if value is None else kind(value)) for name in names]


_TEXTS_BEFORE = ("workflow", "name", "description")
_TEXTS = (
    "application",
    "args",
    "input_files",
    "stage_in_url",
    "stage_out_files",
    "stage_out_url",
    "cpu_affinity",
    "mpi_flags",
    "user_workdir",
)
_COUNTS = (
    "num_nodes",
    "coschedule_num_nodes",
    "ranks_per_node",
    "threads_per_rank",
    "threads_per_core",
    "node_packing_count",
)
_FLAGS = ("wait_for_parents", "post_error_handler", "post_timeout_handler", "auto_timeout_retry")

JOB_FIELDS: list[Field] = [
    _id("job_id", jobs.c.job_id),
    *_texts(jobs, *_TEXTS_BEFORE),
    Field("lock", func.coalesce(_HOLDER, ""), show=as_text, parse=as_text, stored=False, text=_HOLDER),
    Field("tick", jobs.c.state_at, show=_as_time, parse=_seconds, stored=False),
    Field("parents", _PARENTS, show=_parents_text, stored=False, holds=_has_parent),
    *_texts(jobs, *_TEXTS),
    Field(
        "wall_time_minutes",
        func.coalesce(jobs.c.wall_time_minutes, 1),
        show=lambda value: UNDECLARED if value is None else value,
        parse=_declared_minutes,
    ),
    *_typed(int, *_COUNTS),
    Field(
        "environ_vars",
        jobs.c.environ_vars,
        show=environ_text,
        parse=_variables,
        text=json_pairs(jobs.c.environ_vars),
    ),
    *_typed(bool, *_FLAGS),
    *_texts(jobs, "state"),
    Field("state_history", _HISTORY, show=_history_text, stored=False, holds=_in_history),
    *_texts(jobs, "queued_launch"),
    Field("data", jobs.c.data, is_json=True),
    # What Balsam 0.5 did not have.
    *_typed(int, "gpus_per_rank", "memory_mb"),
    *_typed(float, "timeout_seconds"),
    *_typed(int, "max_retries", "priority", "attempt", "exit_code"),
    *_typed(bool, "hold"),
    Field("tags", jobs.c.tags, is_json=True),
    *_texts(jobs, "node"),
]
JOB = Meta(
    "BalsamJob",
    jobs,
    {each.name: each for each in JOB_FIELDS},
    "job_id",
    (jobs.c.seq,),
    {
        "pk": "job_id",
        "queued_launch_id": "queued_launch",
        "application_args": "args",
        "direct_command": "application",
        "serial_node_packing_count": "node_packing_count",
    },
)
APP_FIELDS: list[Field] = [
    _id("id", apps.c.app_id),
    *_texts(apps, "name", "description", "executable", "preprocess", "envscript", "postprocess"),
]
APP = Meta("ApplicationDefinition", apps, {each.name: each for each in APP_FIELDS}, "id", (apps.c.name,), {"pk": "id"})
