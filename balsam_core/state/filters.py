"""The one filter grammar of `ls`, `modify`, `rm`, `killjob` and the Python API, as SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Boolean, Connection, String, cast, func, select, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement, and_, or_
from sqlalchemy.sql.compiler import SQLCompiler

from balsam_core.errors import JobNotFound, JobSpecError
from balsam_core.state.machine import State
from balsam_core.state.moves import words
from balsam_core.state.tables import jobs

_SHOWN_CANDIDATES = 5


class Selection(Protocol):
    """Anything that says which jobs are meant: a `JobFilter`, or a query of the Python API."""

    def where(self) -> ColumnElement[bool]:
        """The condition on the table of jobs."""


@dataclass(frozen=True)
class JobFilter:
    """Which jobs; what is left out matches all.

    name: a part of the name, whatever its case. ids: whole ids or beginnings of ids. workflow: the whole name, `*`
    stands for anything. states: any of them. tags: all of them; an empty value asks for the tag alone.
    """

    name: str = ""
    ids: Sequence[str] = ()
    workflow: str = ""
    states: Sequence[State] = ()
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def matches_all(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.name or self.ids or self.workflow or self.states or self.tags)

    def where(self) -> ColumnElement[bool]:
        """The condition on the table of jobs."""
        conditions: list[ColumnElement[bool]] = []
        if self.name:
            conditions.append(_NameHolds(self.name))
        if self.ids:
            conditions.append(_id_is_one_of(self.ids))
        if self.workflow:
            conditions.append(workflow_is(self.workflow))
        if self.states:
            conditions.append(jobs.c.state.in_(words(self.states)))
        for key, value in self.tags.items():
            tag = jobs.c.tags[key].as_string()
            conditions.append(tag == value if value else tag.is_not(None))
        return and_(true(), *conditions)


def workflow_is(pattern: str) -> ColumnElement[bool]:
    """The condition that a workflow is `pattern`, in which `*` stands for anything."""
    return _Fits(pattern) if "*" in pattern else jobs.c.workflow == pattern


def to_be_changed(tx: Connection, wanted: Selection) -> ColumnElement[bool]:
    """The condition of a selection whose jobs are to be changed: a part of an id must mean one job.

    Raises JobNotFound for a part that no job or several jobs have.
    """
    if not isinstance(wanted, JobFilter):
        return wanted.where()
    ids = [part if len(_hex_part(part)) == _WHOLE else str(find_one(tx, part)) for part in wanted.ids]
    return replace(wanted, ids=ids).where()


def find_one(tx: Connection, part: str) -> UUID:
    """The id of the one job whose id starts with `part` (or holds it, when none starts so).

    Raises JobNotFound when there is none, or several; the message lists them.
    """
    for condition in (_id_starts_with(part), _id_holds(part)):
        rows = tx.execute(select(jobs.c.job_id, jobs.c.name).where(condition).limit(_SHOWN_CANDIDATES + 1)).all()
        if len(rows) == 1:
            found: UUID = rows[0].job_id
            return found
        if rows:
            listed = ", ".join(f"{row.job_id} ({row.name})" for row in rows[:_SHOWN_CANDIDATES])
            raise JobNotFound(f"the id {part!r} fits several jobs: {listed}; give more of it")
    raise JobNotFound(f"no job has the id {part!r}; `balsam ls` lists the ids")


def _hex_part(part: str) -> str:
    digits = part.replace("-", "").lower()
    if not re.fullmatch("[0-9a-f]{1,32}", digits):
        raise JobSpecError(f"{part!r} is not part of a job's id; ids are hexadecimal digits, as `balsam ls` shows them")
    return digits


def _id_is_one_of(parts: Sequence[str]) -> ColumnElement[bool]:
    digits = [_hex_part(part) for part in parts]
    whole = [UUID(part) for part in digits if len(part) == _WHOLE]
    beginnings = [_id_starts_with(part) for part in digits if len(part) != _WHOLE]
    return or_(jobs.c.job_id.in_(whole), *beginnings)


def _id_starts_with(part: str) -> ColumnElement[bool]:
    digits = _hex_part(part)
    # A range instead of LIKE, so that the index on job_id serves it.
    first, last = UUID(digits.ljust(_WHOLE, "0")), UUID(digits.ljust(_WHOLE, "f"))
    return and_(jobs.c.job_id >= first, jobs.c.job_id <= last)


def _id_holds(part: str) -> ColumnElement[bool]:
    digits = func.replace(cast(jobs.c.job_id, String), "-", "")
    return digits.contains(_hex_part(part), autoescape=True)


class _Fits(ColumnElement[bool]):
    """`workflow` fits a pattern in which `*` stands for anything."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern


@compiles(_Fits)
def _fits(element: _Fits, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(jobs.c.workflow.like(like_pattern(element.pattern), escape="/"), **options)


@compiles(_Fits, "sqlite")
def _fits_sqlite(element: _Fits, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite's LIKE ignores the case of letters, its GLOB does not.
    return compiler.process(jobs.c.workflow.op("GLOB")(glob_pattern(element.pattern)), **options)


class _NameHolds(ColumnElement[bool]):
    """`name` holds a text, whatever the case of letters."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, text: str) -> None:
        self.text = text


@compiles(_NameHolds)
def _name_holds(element: _NameHolds, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(jobs.c.name.icontains(element.text, autoescape=True), **options)


@compiles(_NameHolds, "sqlite")
def _name_holds_sqlite(element: _NameHolds, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite's LIKE ignores the case by itself, of the letters that its lower() knows: half the time of a scan.
    return compiler.process(jobs.c.name.contains(element.text, autoescape=True), **options)


def glob_pattern(pattern: str) -> str:
    """The pattern for SQLite's GLOB, in which `?` and `[` have a meaning too."""
    return re.sub(r"[?\[]", r"[\g<0>]", pattern)


def like_pattern(pattern: str) -> str:
    """The pattern for LIKE with the escape character `/`."""
    return pattern.replace("/", "//").replace("%", "/%").replace("_", "/_").replace("*", "%")


_WHOLE = 32
