"""ApplicationDefinition, as programs written for Balsam 0.5 use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID, uuid4

from pydantic import ValidationError, field_validator

from balsam.core.exceptions import (
    FieldError,
    IntegrityError,
    InvalidFieldError,
    MultipleObjectsReturned,
    ObjectDoesNotExist,
)
from balsam.core.fields import APP, as_text
from balsam.core.instances import Instance
from balsam.core.query import Manager, QuerySet
from balsam.core.site import store
from balsam_core.errors import JobSpecError
from balsam_core.models.app import AppSpec
from balsam_core.models.wording import reasons

_FIELDS = tuple(name for name in APP.by_name if name != "id")


class _Unfinished(AppSpec):
    """An application that may get its executable later, as in Django; jobs that come to run before that fail."""

    @field_validator("name")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        return super()._not_blank(value)


class ApplicationDefinition(Instance):
    """An application of the site; its fields are attributes, `save` writes those that changed."""

    class DoesNotExist(ObjectDoesNotExist):
        """There is no such application."""

    class MultipleObjectsReturned(MultipleObjectsReturned):
        """There are several such applications."""

    _meta = APP
    objects: ClassVar[Manager] = Manager()

    id: UUID
    name: str
    executable: str
    description: str
    preprocess: str
    postprocess: str
    envscript: str

    def __init__(self, **fields: Any) -> None:
        unknown = fields.keys() - {*_FIELDS, "id", "pk"}
        if unknown:
            raise TypeError(f"ApplicationDefinition() got an unexpected keyword argument {min(unknown)!r}")
        self.id = fields.pop("pk", None) or fields.pop("id", None) or uuid4()
        for name in _FIELDS:
            setattr(self, name, fields.get(name, ""))
        self._saved: dict[str, Any] | None = None

    @classmethod
    def from_rows(cls, rows: Sequence[Any], extra: Sequence[str]) -> list[Any]:
        return [cls._from_row(row._mapping, extra) for row in rows]

    @classmethod
    def _from_row(cls, row: Mapping[str, Any], extra: Sequence[str]) -> ApplicationDefinition:
        self = cls.__new__(cls)
        self.id = row["app_id"]
        self.__dict__.update({name: row[name] for name in (*_FIELDS, *extra)})
        self._saved = {name: row[name] for name in _FIELDS}
        return self

    @property
    def cute_id(self) -> str:
        """`[name | first 8 of the id]`."""
        return f"[{self.name} | {str(self.pk)[:8]}]"

    def save(
        self,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Sequence[str] | None = None,
    ) -> None:
        """Insert the application, or write what changed; raises IntegrityError when the name is taken."""
        now = {name: as_text(getattr(self, name)) for name in _FIELDS}
        if self._saved is None:
            _insert([self])
            return
        names = set(_FIELDS if update_fields is None else update_fields)
        changed = {name: now[name] for name in names & now.keys() if now[name] != self._saved[name]}
        if changed:
            _change(self._saved["name"], changed)
        self._saved.update(changed)

    def full_clean(self, exclude: Sequence[str] | None = None, validate_unique: bool = True) -> None:
        """Raise InvalidFieldError when a field has a value that it cannot have."""
        _spec(self)

    clean = full_clean

    def refresh_from_db(self, using: str | None = None, fields: Sequence[str] | None = None) -> None:
        """Read all fields anew; raises DoesNotExist."""
        self.__dict__.update(self._mine().get().__dict__)

    @classmethod
    def update_rows(cls, query: QuerySet, values: Mapping[str, Any]) -> int:
        unknown = values.keys() - set(_FIELDS)
        if unknown:
            raise FieldError(f"an application has no field {min(unknown)!r} to update")
        names = list(query.values_list("name", flat=True))
        for name in names:
            _change(name, {field: as_text(value) for field, value in values.items()})
        return len(names)

    @classmethod
    def delete_rows(cls, query: QuerySet) -> int:
        return store().delete_apps(list(query.values_list("name", flat=True)))

    @classmethod
    def insert_all(cls, made: Sequence[Any]) -> None:
        _insert(made)

    def __repr__(self) -> str:
        return self._listing(f"Application {self.pk}:", {"id"})


class DirectCommand(str):
    """A command line in the place of an application's name, as jobs of Balsam 0.2 could have one."""

    def define(self) -> None:
        """Make the application that runs it, unless there is one; it has the command line as its name."""
        ApplicationDefinition.objects.get_or_create(name=str(self), defaults={"executable": str(self)})


def _insert(made: Sequence[ApplicationDefinition]) -> None:
    for one in made:
        try:
            store().add_app(_spec(one))
        except InvalidFieldError:
            raise
        except JobSpecError as error:
            raise IntegrityError(str(error)) from None
        one._saved = {name: as_text(getattr(one, name)) for name in _FIELDS}


def _change(name: str, values: Mapping[str, Any]) -> None:
    try:
        store().change_app(name, values)
    except JobSpecError as error:
        raise IntegrityError(str(error)) from None


def _spec(app: ApplicationDefinition) -> AppSpec:
    fields = {name: as_text(getattr(app, name)) for name in _FIELDS}
    try:
        return _Unfinished(app_id=app.id, **fields)
    except ValidationError as error:
        raise InvalidFieldError(reasons(error)) from None
