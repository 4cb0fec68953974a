"""Lazy, chainable queries, in the words of Balsam 0.5: `BalsamJob.objects.filter(name__contains="task")`.

The database is asked when an answer is needed, by one statement; what was read is kept, as Django keeps it.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Select, func, select

from balsam.core.exceptions import IntegrityError, NotSupportedError
from balsam.core.selection import Selection, as_number
from balsam.core.site import store

if TYPE_CHECKING:
    from balsam.core.instances import Instance

_MANY = 21  # As many rows as a repr shows, and one more.


class QuerySet(Selection):
    """A selection that can be asked, changed and deleted."""

    # ---- answers

    def get(self, *conditions: Any, **lookups: Any) -> Any:
        """The one row; raises DoesNotExist, MultipleObjectsReturned."""
        found = list(self.filter(*conditions, **lookups)._limited(2) if conditions or lookups else self._limited(2))
        if len(found) == 1:
            return found[0]
        what = ", ".join([*map(str, conditions), *(f"{name}={value!r}" for name, value in lookups.items())])
        name = self.model._meta.object_name
        if found:
            raise self.model.MultipleObjectsReturned(f"several {name} match {what or 'the query'}; one was asked for")
        raise self.model.DoesNotExist(f"no {name} matches {what or 'the query'}")

    def first(self) -> Any:
        """The first row; None: there is none."""
        return next(iter(self._limited(1)), None)

    def last(self) -> Any:
        """The last row; None: there is none."""
        self._refuse_slice("reverse")
        return self.reverse().first() if self._found is None else next(reversed(self._found), None)

    def latest(self, *names: str) -> Any:
        """The row with the largest value; raises DoesNotExist."""
        return self.order_by(*(f"-{name}" for name in names or ("tick",)))._one_of_order()

    def earliest(self, *names: str) -> Any:
        """The row with the smallest value; raises DoesNotExist."""
        return self.order_by(*(names or ("tick",)))._one_of_order()

    def in_bulk(self, ids: Sequence[Any] | None = None) -> dict[Any, Any]:
        """Instances by their key."""
        wanted = self if ids is None else self.filter(pk__in=ids)
        return {each.pk: each for each in wanted}

    def count(self) -> int:
        """How many rows."""
        if self._found is not None:
            return len(self._found)
        if self._names is None and self._slice is None:
            counted: Select[Any] = select(func.count()).select_from(self.model._meta.table).where(self._where)
        else:
            counted = select(func.count()).select_from(self._statement().subquery())
        return int(store().rows(counted)[0][0])

    def exists(self) -> bool:
        """Whether there is any row."""
        return bool(self._limited(1)._with(_names=(self.model._meta.key,), _as="flat")._all())

    def iterator(self, chunk_size: int = 2000) -> Iterator[Any]:
        """The rows, read anew and not kept."""
        return iter(self._with()._all())

    def contains(self, obj: Any) -> bool:
        """Whether an instance is among the rows."""
        return bool(self.filter(pk=obj.pk).exists())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __bool__(self) -> bool:
        return bool(self._all())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._sliced(index)
        if index < 0:
            raise ValueError("Negative indexing is not supported.")
        if self._found is not None:
            return self._found[index]
        return self._sliced(slice(index, index + 1))._all()[0]

    def __repr__(self) -> str:
        shown = list(self._found if self._found is not None else self._limited(_MANY))
        more = ["...(remaining elements truncated)..."] if len(shown) >= _MANY else []
        return f"<QuerySet {[*shown[: _MANY - 1], *more]!r}>"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # SQL does not survive a pickle: another process gets what was found, not the question.
        found = self._all()
        return (_of_found, (self.model, found)) if self._names is None else (list, (found,))

    def __deepcopy__(self, memo: dict[int, Any]) -> QuerySet:
        return self._with()

    @property
    def query(self) -> str:
        """The SQL, for people to read."""
        return str(self._statement())

    def aggregate(self, *aggregates: Any, **expressions: Any) -> dict[str, Any]:
        """Values of all rows together, such as `aggregate(Max("num_nodes"))`."""
        is_distinct = self._distinct and self._names is not None
        if is_distinct or any(column.is_aggregate for column in self._annotations.values()):
            raise NotSupportedError("aggregate is of plain rows, not of groups or distinct ones")
        counted = self._with(_names=(), _as="dicts", _order=()).annotate(*aggregates, **expressions)
        meta = self.model._meta
        names = [name for name, column in counted._annotations.items() if column.is_aggregate]
        columns = [counted._annotations[name].sql.label(name) for name in names]
        (row,) = store().rows(select(*columns).select_from(meta.table).where(self.where()))
        return {name: as_number(value) for name, value in zip(names, row, strict=True)}

    # ---- changes

    def update(self, **values: Any) -> int:
        """Set fields of all rows, at once; a `state` goes through the state machine. How many were changed."""
        self._refuse_slice("update")
        return self.model.update_rows(self, values)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the rows; how many, in all and by model.

        Running jobs are stopped first. Raises RuntimeError when a launcher does not let go of some; the others are
        gone.
        """
        self._refuse_slice("delete")
        if self._names is not None:
            raise TypeError("Cannot call delete() after .values() or .values_list()")
        count = self.model.delete_rows(self)
        self._found = None
        return count, {self.model._meta.label: count}

    def create(self, **fields: Any) -> Any:
        """Build an instance and save it."""
        made = self.model(**fields)
        made.save(force_insert=True)
        return made

    def bulk_create(self, objs: Sequence[Any], batch_size: int | None = None, **options: Any) -> list[Any]:
        """Save many new instances; jobs in one transaction, all or none."""
        made = list(objs)
        self.model.insert_all(made)
        return made

    def bulk_update(self, objs: Sequence[Any], fields: Sequence[str], batch_size: int | None = None) -> int:
        """Save these fields of many instances."""
        for obj in objs:
            obj.save(update_fields=fields)
        return len(objs)

    def get_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[Any, bool]:
        """The one row that matches, or a new one; and whether it is new. Raises MultipleObjectsReturned."""
        try:
            return self.get(**lookups), False
        except self.model.DoesNotExist:
            plain = {name.removesuffix("__exact"): value for name, value in lookups.items()}
            fields = {**{name: value for name, value in plain.items() if "__" not in name}, **(defaults or {})}
            try:
                return self.create(**_called(fields)), True
            except IntegrityError:
                # Another program was quicker.
                return self.get(**lookups), False

    def update_or_create(self, defaults: Mapping[str, Any] | None = None, **lookups: Any) -> tuple[Any, bool]:
        """The one row that matches, changed by `defaults`, or a new one; and whether it is new."""
        found, created = self.get_or_create(defaults, **lookups)
        if not created:
            for name, value in _called(defaults or {}).items():
                setattr(found, name, value)
            found.save()
        return found, created

    # ---- reading

    def _all(self) -> list[Any]:
        if self._found is None:
            start, stop = self._slice or (0, None)
            empty = stop is not None and stop <= start
            rows = [] if empty else store().rows(self._statement())
            self._found = self._shaped(rows)
        return self._found

    def _shaped(self, rows: Sequence[Any]) -> list[Any]:
        if self._names is None:
            return self.model.from_rows(rows, list(self._annotations))
        shows = [column.show for column in self._columns()]
        # A row may end with what it was ordered by.
        shown = [tuple(show(value) for show, value in zip(shows, row, strict=False)) for row in rows]
        if self._as == "flat":
            return [row[0] for row in shown]
        if self._as == "dicts":
            labels = self._labels()
            return [dict(zip(labels, row, strict=True)) for row in shown]
        if self._as == "named":
            made: Callable[..., Any] = namedtuple("Row", self._labels())  # type: ignore[misc]
            return [made(*row) for row in shown]
        return shown

    def _sliced(self, index: slice) -> Any:
        start, stop = index.start or 0, index.stop
        if start < 0 or (stop is not None and stop < 0) or (index.step is not None and index.step < 0):
            raise ValueError("Negative indexing is not supported.")
        if self._found is not None:
            return self._found[index]
        before, end = self._slice or (0, None)
        last = end if stop is None else before + stop if end is None else min(end, before + stop)
        taken = self._with(_slice=(before + start, last))
        return list(taken)[:: index.step] if index.step else taken

    def _limited(self, most: int) -> QuerySet:
        if self._found is not None:
            kept = self._with()
            kept._found = self._found[:most]
            return kept
        limited: QuerySet = self._sliced(slice(0, most))
        return limited

    def _one_of_order(self) -> Any:
        found = self.first()
        if found is None:
            raise self.model.DoesNotExist(f"no {self.model._meta.object_name} matches the query")
        return found


def _called(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `defaults`; one that can be called is called."""
    return {name: value() if callable(value) else value for name, value in values.items()}


def _of_found(model: type[Instance], found: list[Any]) -> QuerySet:
    """The query of just these instances, which has its answer already."""
    query = QuerySet(model).filter(pk__in=[each.pk for each in found])
    query._found = found
    return query


class Manager:
    """Where queries of a model begin: `BalsamJob.objects`; each begins anew."""

    model: type[Instance]
    _starts: ClassVar[frozenset[str]] = frozenset(
        name for name in dir(QuerySet) if not name.startswith("_") and name not in {"where", "as_subquery", "query"}
    )

    def __set_name__(self, owner: type[Instance], name: str) -> None:
        self.model = owner

    def get_queryset(self) -> QuerySet:
        """All rows."""
        return QuerySet(self.model)

    def __getattr__(self, name: str) -> Any:
        if name not in self._starts:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.get_queryset(), name)
