"""What jobs and applications have in common as instances: they are told apart by their key, and know what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import uuid4

from balsam.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist
from balsam.core.fields import Meta
from balsam.core.query import Manager, QuerySet


class Instance:
    """One row of a model; any further attribute may be set on it, and stays with the object."""

    _meta: ClassVar[Meta]
    objects: ClassVar[Manager]
    DoesNotExist: ClassVar[type[ObjectDoesNotExist]]
    MultipleObjectsReturned: ClassVar[type[MultipleObjectsReturned]]

    # What was read or saved last; None: it has no row yet.
    _saved: dict[str, Any] | None = None

    @property
    def pk(self) -> Any:
        """The key."""
        return getattr(self, self._meta.key)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"pk", self._meta.key}:
            self._take_key(value)
        else:
            self.__dict__[self._meta.name_of(name)] = value

    def __getattr__(self, name: str) -> Any:
        if name not in self._meta.aliases:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self, self._meta.aliases[name])

    def _take_key(self, key: Any) -> None:
        """Have this key, None: a new one. Another key than that of its row makes it a copy, which is not saved yet."""
        if self._saved is not None and key != self.pk:
            self._leave_row()
        self.__dict__[self._meta.key] = uuid4() if key is None else key

    def _leave_row(self) -> None:
        self._saved = None

    @classmethod
    def from_rows(cls, rows: Sequence[Any], extra: Sequence[str]) -> list[Any]:
        """The instances of whole rows; `extra` names what follows the columns of the table in each."""
        raise NotImplementedError

    @classmethod
    def update_rows(cls, query: QuerySet, values: Mapping[str, Any]) -> int:
        """Set fields of the rows of a query; how many were changed."""
        raise NotImplementedError

    @classmethod
    def delete_rows(cls, query: QuerySet) -> int:
        """Delete the rows of a query; how many."""
        raise NotImplementedError

    @classmethod
    def insert_all(cls, made: Sequence[Any]) -> None:
        """Insert new instances; of jobs all or none."""
        raise NotImplementedError

    def save(
        self,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Sequence[str] | None = None,
    ) -> None:
        """Insert the row, or write what changed."""
        raise NotImplementedError

    def _mine(self) -> QuerySet:
        return QuerySet(type(self)).filter(pk=self.pk)

    def delete(self, using: str | None = None) -> tuple[int, dict[str, int]]:
        """Delete the row; a running job is stopped first."""
        return self._mine().delete()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other.pk == self.pk

    def __hash__(self) -> int:
        return hash(self.pk)

    def __str__(self) -> str:
        return repr(self)

    def _listing(self, first: str, skipped: set[str]) -> str:
        lines = [f"{name}:".ljust(32) + str(getattr(self, name)) for name in self._meta.by_name if name not in skipped]
        return "\n".join([first, "-" * 46, *lines])
