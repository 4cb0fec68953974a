"""Which rows of a model, in which order and what of them, as one statement; nothing is asked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, false, func, literal_column, select, true
from sqlalchemy.sql import ColumnElement, and_, or_

from balsam.core.dialects import JsonAt
from balsam.core.exceptions import NotSupportedError
from balsam.core.expressions import Column, condition_of, is_aggregate, named_column, sql_of
from balsam.core.lookups import negated

if TYPE_CHECKING:
    from typing_extensions import Self

    from balsam.core.instances import Instance


@dataclass(frozen=True)
class _Order:
    sql: ColumnElement[Any]
    is_descending: bool
    is_aggregate: bool


class Selection:
    """Which rows of one model, in which order, and what of them; each method gives a new one."""

    def __init__(self, model: type[Instance]) -> None:
        self.model = model
        self._where: ColumnElement[bool] = true()
        self._having: ColumnElement[bool] | None = None
        self._order: tuple[_Order, ...] = ()
        self._reversed = False
        self._slice: tuple[int, int | None] | None = None
        self._distinct = False
        self._names: tuple[str, ...] | None = None
        self._as: str = "instances"
        self._annotations: dict[str, Column] = {}
        self._found: list[Any] | None = None

    # ---- which rows

    def all(self) -> Self:
        """The same rows, to be read anew."""
        return self._with()

    def none(self) -> Self:
        """No rows."""
        return self._with(_where=false())

    def filter(self, *conditions: Any, **lookups: Any) -> Self:
        """Those for which all look-ups and Q objects hold; raises FieldError."""
        return self._narrowed(conditions, lookups, keep=True)

    def exclude(self, *conditions: Any, **lookups: Any) -> Self:
        """Those for which not all of them hold."""
        return self._narrowed(conditions, lookups, keep=False)

    def order_by(self, *names: str) -> Self:
        """Ordered by these fields; `-field` is descending, `?` is by chance, none is oldest first."""
        self._refuse_slice("reorder")
        order = tuple(part for name in names for part in self._ordering(name))
        return self._with(_order=order, _reversed=False)

    def reverse(self) -> Self:
        """In the opposite order."""
        self._refuse_slice("reverse")
        return self._with(_reversed=not self._reversed)

    def distinct(self, *names: str) -> Self:
        """Without repeated rows; of `values` and `values_list`."""
        if names:
            raise NotSupportedError("distinct takes no fields here; name them in values() before it")
        return self._with(_distinct=True)

    def union(self, *others: Self) -> Self:
        """Those that this or another one has."""
        joined = self
        for other in others:
            joined = joined | other
        return joined

    def select_for_update(self, nowait: bool = False, skip_locked: bool = False, of: Sequence[str] = ()) -> Self:
        """The same rows: each change looks at what it changes itself, and nothing is locked before it."""
        return self._with()

    def select_related(self, *names: str) -> Self:
        """The same rows."""
        return self._with()

    def defer(self, *names: str) -> Self:
        """The same rows."""
        return self._with()

    only = prefetch_related = using = defer

    def __or__(self, other: Self) -> Self:
        return self._with(_where=or_(self.where(), other.where()), _slice=None)

    def __and__(self, other: Self) -> Self:
        return self._with(_where=and_(self.where(), other.where()), _slice=None)

    def where(self) -> ColumnElement[bool]:
        """The condition on the table, for the store."""
        if self._slice is None and self._having is None:
            return self._where
        return self.model._meta.pk.sql.in_(select(self.as_subquery(self.model._meta.key)))

    def as_subquery(self, name: str) -> Any:
        """The one column that `__in` compares with: the one of `values`, else the field of that name or the key."""
        meta = self.model._meta
        wanted = self._names[0] if self._names else name if name in meta.by_name else meta.key
        table = self._with(_names=(wanted,), _as="flat")._statement().subquery()
        return table.c[0]

    # ---- what of them

    def values(self, *names: str, **expressions: Any) -> Self:
        """Dictionaries instead of instances."""
        return self.annotate(**expressions)._of((*names, *expressions), "dicts")

    def values_list(self, *names: str, flat: bool = False, named: bool = False) -> Self:
        """Tuples instead of instances; with `flat`, the values of the one field."""
        if flat and len(names) > 1:
            raise TypeError("values_list(flat=True) takes one field")
        return self._of(names, "flat" if flat else "named" if named else "tuples")

    def annotate(self, *aggregates: Any, **expressions: Any) -> Self:
        """With further values, such as `jobs=Count("pk")` after `values("state")`."""
        unnamed = {f"{one.get_source_expressions()[0].name}__{type(one).__name__.lower()}": one for one in aggregates}
        found = dict(self._annotations)
        for name, expression in {**unnamed, **expressions}.items():
            sql = sql_of(self.model._meta, expression, found)
            found[name] = Column(sql, as_number if is_aggregate(expression) else _same, is_aggregate(expression))
        if self._names is None and any(column.is_aggregate for column in found.values()):
            raise NotSupportedError("annotate counts groups only: say values('field') before it")
        return self._with(_annotations=found)

    # ---- as SQL

    def _with(self, **changes: Any) -> Self:
        made = type(self)(self.model)
        made.__dict__.update(self.__dict__, _found=None)
        made.__dict__.update(changes)
        return made

    def _narrowed(self, conditions: tuple[Any, ...], lookups: Mapping[str, Any], *, keep: bool) -> Self:
        conditions = tuple(each for each in conditions if getattr(each, "children", True))
        if not conditions and not lookups:
            return self._with()
        self._refuse_slice("filter")
        found = condition_of(self.model._meta, conditions, lookups, self._annotations)
        wanted = found if keep else negated(found)
        grouped = [name for name, column in self._annotations.items() if column.is_aggregate]
        if any(name.split("__")[0] in grouped for part in (*conditions, *lookups.items()) for name in _looked_up(part)):
            return self._with(_having=wanted if self._having is None else and_(self._having, wanted))
        return self._with(_where=and_(self._where, wanted))

    def _of(self, names: tuple[str, ...], shape: str) -> Self:
        named = names or (*self.model._meta.by_name, *self._annotations)
        for name in named:
            named_column(self.model._meta, name, self._annotations)
        return self._with(_names=named, _as=shape)

    def _ordering(self, name: str) -> list[_Order]:
        if name == "?":
            return [_Order(func.random(), False, False)]
        down, plain = name.startswith("-"), name.lstrip("-+")
        column = named_column(self.model._meta, plain, self._annotations)
        first, *path = plain.split("__")
        if plain in self._annotations or not path:
            return [_Order(column.sql, down, column.is_aggregate)]
        here = JsonAt(self.model._meta.find(first).sql, path)
        return [_Order(here.number, down, False), _Order(here.text, down, False)]

    def _refuse_slice(self, what: str) -> None:
        if self._slice is not None:
            raise TypeError(f"Cannot {what} a query once a slice has been taken.")

    def _columns(self) -> list[Column]:
        meta = self.model._meta
        names = list(self._names or ())
        if self._as in {"dicts", "tuples", "named"}:
            names += [name for name in self._annotations if name not in names]
        return [named_column(meta, name, self._annotations) for name in names]

    def _labels(self) -> list[str]:
        names = list(self._names or ())
        return names + [name for name in self._annotations if name not in names]

    def _statement(self) -> Select[Any]:
        statement = self._of_instances() if self._names is None else self._of_columns(self._columns())
        statement = statement.where(self._where)
        if self._having is not None:
            statement = statement.having(self._having)
        start, stop = self._slice or (0, None)
        if stop is not None:
            statement = statement.limit(max(0, stop - start))
        return statement.offset(start) if start else statement

    def _of_instances(self) -> Select[Any]:
        table = self.model._meta.table
        extra = [column.sql.label(name) for name, column in self._annotations.items()]
        return self._ordered(select(*table.c, *extra), [part.sql for part in self._order], by_age=True)

    def _of_columns(self, columns: Sequence[Column]) -> Select[Any]:
        """Of groups and distinct rows, what they are ordered by is selected too, and named: PostgreSQL wants that."""
        is_grouped = any(column.is_aggregate for column in columns)
        shown = [column.sql.label(f"c{number}") for number, column in enumerate(columns)]
        hidden = [part.sql.label(f"o{number}") for number, part in enumerate(self._order)]
        if not is_grouped and not self._distinct:
            statement = select(*shown).select_from(self.model._meta.table)
            return self._ordered(statement, [part.sql for part in self._order], by_age=True)
        statement = select(*shown, *hidden).select_from(self.model._meta.table)
        if is_grouped:
            groups = [label for label, column in zip(shown, columns, strict=True) if not column.is_aggregate]
            groups += [label for label, part in zip(hidden, self._order, strict=True) if not part.is_aggregate]
            statement = statement.group_by(*(literal_column(label.name) for label in groups))
        if self._distinct:
            statement = statement.distinct()
        return self._ordered(statement, [literal_column(label.name) for label in hidden], by_age=False)

    def _ordered(self, statement: Select[Any], order: Sequence[ColumnElement[Any]], *, by_age: bool) -> Select[Any]:
        downs = [part.is_descending != self._reversed for part in self._order]
        parts = [part.desc() if down else part.asc() for part, down in zip(order, downs, strict=True)]
        age = self.model._meta.order if by_age else ()
        return statement.order_by(*parts, *(part.desc() if self._reversed else part for part in age))


def _looked_up(part: Any) -> list[str]:
    """The names in a look-up or a Q object."""
    return [part[0]] if isinstance(part, tuple) else [name for child in part.children for name in _looked_up(child)]


def _same(value: Any) -> Any:
    return value


def as_number(value: Any) -> Any:
    """A number of the database as Python's own."""
    # PostgreSQL sums whole numbers to a Decimal.
    from decimal import Decimal

    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
