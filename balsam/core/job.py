"""BalsamJob, as programs written for Balsam 0.5 use it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, ClassVar
from uuid import UUID, uuid4

from balsam.core import job_rows
from balsam.core.application import ApplicationDefinition, DirectCommand
from balsam.core.conversion import NEW, OWN, balsam05_errors, checked_change, parent_ids, spec_of, state_of
from balsam.core.exceptions import InvalidStateError, MultipleObjectsReturned, ObjectDoesNotExist
from balsam.core.fields import JOB, parse_id
from balsam.core.history import history_line, last_message
from balsam.core.job_facts import LAZY, JobFacts
from balsam.core.query import Manager, QuerySet
from balsam.core.site import store
from balsam.core.source import JobSource
from balsam_core.state.database import to_json
from balsam_core.state.jobs import EDITABLE
from balsam_core.state.machine import State

_STORED = tuple(field for field in JOB.fields if field.stored)
_KEPT_AS_JSON = ("data", "tags")
_OF_ATTEMPTS = ("attempt", "exit_code", "node")


class _Batch:
    """The jobs that one query brought, and what was read of them later."""

    def __init__(self, ids: Sequence[UUID]) -> None:
        self.ids = ids
        self._read: dict[str, dict[UUID, Any]] = {}

    def value(self, name: str, pk: UUID) -> Any:
        """A lazy field of one job; read for all jobs of the batch by one statement. KeyError: the job is gone."""
        if name not in self._read:
            pairs = QuerySet(BalsamJob).filter(pk__in=self.ids).order_by().values_list("pk", name)
            self._read[name] = dict(pairs)
        return self._read[name][pk]


class BalsamJob(JobFacts):
    """A job; its fields are attributes. `save` writes those that changed, `refresh_from_db` reads them anew."""

    class DoesNotExist(ObjectDoesNotExist):
        """There is no such job."""

    class MultipleObjectsReturned(MultipleObjectsReturned):
        """There are several such jobs."""

    _meta = JOB
    objects: ClassVar[Manager] = Manager()
    source: ClassVar[JobSource] = JobSource()

    def __init__(self, **fields: Any) -> None:
        unknown = fields.keys() - JOB.by_name.keys() - JOB.aliases.keys()
        if unknown:
            raise TypeError(f"BalsamJob() got an unexpected keyword argument {min(unknown)!r}")
        self._saved = self._folder = None
        self._batch: _Batch | None = None
        self.__dict__.update(NEW, data={}, tags={})
        self.job_id = uuid4()
        for name, value in fields.items():
            setattr(self, name, value)

    @classmethod
    def from_rows(cls, rows: Sequence[Any], extra: Sequence[str]) -> list[Any]:
        batch = _Batch([row._mapping["job_id"] for row in rows])
        return [cls._from_row(row._mapping, extra, batch) for row in rows]

    @classmethod
    def _from_row(cls, row: Mapping[str, Any], extra: Sequence[str], batch: _Batch) -> BalsamJob:
        self = cls.__new__(cls)
        values = {field.name: field.show(row[field.name]) for field in _STORED}
        self.__dict__.update(values, _batch=batch, _folder=row["folder"], **{name: row[name] for name in extra})
        self._remember()
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "application" and isinstance(value, ApplicationDefinition):
            value = value.name
        if name == "direct_command":
            if not value:
                return
            value = DirectCommand(value)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in LAZY:
            return super().__getattr__(name)
        value = self.__dict__[name] = self._read(name)
        return value

    def _read(self, name: str) -> Any:
        if self._saved is None:
            unsaved = {"lock": "", "parents": "[]", "tick": datetime.now(timezone.utc)}
            return history_line() if name == "state_history" else unsaved[name]
        if self._batch is None:
            self._batch = _Batch([self.pk])
        try:
            return self._batch.value(name, self.pk)
        except KeyError:
            raise self.DoesNotExist(f"job {self.cute_id} was deleted") from None

    def _remember(self) -> None:
        self._saved = {name: _snapshot(name, self.__dict__[name]) for name in EDITABLE} | {"state": self.state}

    def _leave_row(self) -> None:
        parents = self.parents
        self._forget_lazy()
        self._saved = self._folder = None
        self.__dict__.update({name: NEW[name] for name in _OF_ATTEMPTS}, parents=parents)

    def _forget_lazy(self) -> None:
        self._batch = None
        for name in LAZY:
            self.__dict__.pop(name, None)

    # ---- changes

    def set_parents(self, parents: Iterable[Any]) -> None:
        """Replace its parents, and save it if it is new; raises InvalidParentsError, RuntimeError for a circle."""
        wanted = parent_ids(parents)
        if self._saved is None:
            self.__dict__["parents"] = json.dumps([str(parent) for parent in wanted])
            self.save()
            return
        with balsam05_errors():
            store().set_parents(self.pk, wanted)
        self._forget_lazy()

    def save(
        self,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Insert the job, or write the fields that changed since it was read; JSON changed in place counts.

        A changed `state` goes through the state machine. Raises InvalidFieldError, InvalidStateError.
        """
        names = None if update_fields is None else [update_fields] if isinstance(update_fields, str) else update_fields
        if names is not None:
            names = [JOB.name_of(name) for name in names]
            unknown = set(names) - JOB.by_name.keys()
            if unknown:
                raise ValueError(f"BalsamJob has no field {min(unknown)!r}, which update_fields names")
        if self._saved is None:
            self.insert_all([self])
        else:
            self._save_changes(set(EDITABLE | OWN if names is None else names), self._saved)

    def _save_changes(self, names: set[str], saved: Mapping[str, Any]) -> None:
        wishes = {name: self.__dict__[name] for name in sorted(names & EDITABLE) if self._has_changed(name, saved)}
        target = state_of(self.state) if "state" in names and str(self.state) != str(saved["state"]) else None
        values = {name: checked_change(name, value) for name, value in wishes.items()}
        message = "" if target is None else self._added_message()
        if "parents" in names & self.__dict__.keys() and self._parent_ids() != parent_ids(self._read("parents")):
            self.set_parents(self._parent_ids())
        if values or target is not None:
            self._write(values, target, message)
        kept = {name: _snapshot(name, value) for name, value in wishes.items()}
        self._saved = {**saved, **kept, **({} if target is None else {"state": target.value})}

    def _has_changed(self, name: str, saved: Mapping[str, Any]) -> bool:
        return bool(_snapshot(name, self.__dict__[name]) != saved[name])

    def _write(self, values: Mapping[str, Any], target: State | None, message: str) -> None:
        if "application" in values:
            self._define_application()
        with balsam05_errors():
            found = store().update_jobs(self._mine(), values, target, message, holder=self.source.holder)
        if not found:
            self._explain_nothing_saved(target)
        if values.keys() & {"name", "workflow"}:
            self._folder = None
        if target is not None:
            self._forget_lazy()

    def _define_application(self) -> None:
        if isinstance(self.application, DirectCommand):
            self.application.define()

    def _explain_nothing_saved(self, target: State | None) -> None:
        if not self._mine().exists():
            raise self.DoesNotExist(f"job {self.cute_id} was deleted; nothing was saved")
        self.refresh_from_db(fields=["state"])
        raise InvalidStateError(f"job {self.cute_id} is {self.state} and cannot become {target}; add it anew")

    def _added_message(self) -> str:
        if "state_history" not in self.__dict__:
            return ""
        text, before = str(self.state_history), "" if self._saved is None else str(self._read("state_history"))
        return last_message(text[len(before) :]) if text != before and text.startswith(before) else ""

    def update_state(self, new_state: str, message: str = "", release: bool = False) -> None:
        """Move the job by hand to any state; an unsaved one is inserted first. Raises InvalidStateError.

        release: give it back too, if this program acquired it.
        """
        target = state_of(new_state)
        if self._saved is None:
            self.state_history += history_line(target.value, message)
            self.state = target.value
            self.insert_all([self])
        else:
            self._write({}, target, message)
            self.state = self._saved["state"] = target.value
        if release:
            self.source.release([self.pk])

    @classmethod
    def batch_update_state(
        cls, pk_list: Iterable[Any], new_state: str, message: str = "", release: bool = False
    ) -> None:
        """Move many jobs by hand; those that are USER_KILLED stay so. Raises InvalidStateError."""
        target = state_of(new_state)
        ids = [parse_id(pk) for pk in pk_list]
        if ids:
            query = QuerySet(cls).filter(pk__in=ids)
            store().update_jobs(query, {}, target, message, holder=cls.source.holder)
        if ids and release:
            cls.source.release(ids)

    def refresh_from_db(self, using: str | None = None, fields: Sequence[str] | None = None) -> None:
        """Read all fields anew, or those that are named; raises DoesNotExist."""
        fresh: BalsamJob = self._mine().get()
        assert fresh._saved is not None
        if fields is None:
            self._forget_lazy()
            self.__dict__.update(fresh.__dict__)
            return
        for name in map(JOB.name_of, fields):
            self.__dict__.pop(name, None)
            if name in fresh.__dict__:
                self.__dict__[name] = fresh.__dict__[name]
            if self._saved is not None and name in fresh._saved:
                self._saved[name] = fresh._saved[name]
        self._batch = None

    def full_clean(self, exclude: Iterable[str] | None = None, validate_unique: bool = True) -> None:
        """Raise InvalidFieldError or InvalidStateError when a field has a value that it cannot have."""
        state_of(self.state)
        spec_of(self.__dict__)

    clean = clean_fields = full_clean

    # ---- many at once

    @classmethod
    def insert_all(cls, made: Sequence[Any]) -> None:
        for job in made:
            job._define_application()
        fields = [{**job.__dict__, "parents": job.__dict__.get("parents")} for job in made]
        job_rows.insert(fields, [job._added_message() for job in made])
        for job in made:
            job._forget_lazy()
            job._folder = None
            job._remember()

    @classmethod
    def update_rows(cls, query: QuerySet, values: Mapping[str, Any]) -> int:
        return job_rows.update(query, values, cls.source.holder)

    @classmethod
    def delete_rows(cls, query: QuerySet) -> int:
        return job_rows.delete(query, cls.source.holder)


def _snapshot(name: str, value: Any) -> Any:
    """What a later value is compared with: not the object itself, where it may be changed in place."""
    if name in _KEPT_AS_JSON:
        return to_json(value)
    return dict(value) if isinstance(value, dict) else value
