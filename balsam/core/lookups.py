"""Look-ups as conditions: `name__contains="task"`, `state__in=[...]`, `data__reward__gt=0`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import JSON, String, cast, false, func, select
from sqlalchemy.sql import ColumnElement, and_, not_, or_

from balsam.core.dialects import JsonAt, is_among
from balsam.core.exceptions import FieldError
from balsam.core.fields import Field, Meta
from balsam_core.errors import suggestion

# A longer list travels as one value.
_FEW = 200

_Test = Callable[[ColumnElement[Any], Any], ColumnElement[bool]]


def _holds(column: ColumnElement[Any], part: str) -> ColumnElement[bool]:
    # Not LIKE: SQLite's ignores the case of letters, and `delete` would take more than was meant.
    return func.replace(column, part, "") != column if part else column.is_not(None)


def _ends(column: ColumnElement[Any], part: str) -> ColumnElement[bool]:
    return func.substr(column, func.length(column) - len(part) + 1) == part


_TEXT_TESTS: Mapping[str, _Test] = {
    "contains": _holds,
    "icontains": lambda column, part: _holds(func.lower(column), part.lower()),
    "startswith": lambda column, part: func.substr(column, 1, len(part)) == part,
    "istartswith": lambda column, part: func.substr(func.lower(column), 1, len(part)) == part.lower(),
    "endswith": _ends,
    "iendswith": lambda column, part: _ends(func.lower(column), part.lower()),
    "iexact": lambda column, part: func.lower(column) == part.lower(),
    "regex": lambda column, pattern: column.regexp_match(pattern),
    "iregex": lambda column, pattern: column.regexp_match(f"(?i){pattern}"),
}
_ORDER_TESTS: Mapping[str, _Test] = {
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
}
_LOOKUPS = {"exact", "in", "isnull", "range", *_TEXT_TESTS, *_ORDER_TESTS}
_KEY_LOOKUPS = {"has_key", "has_keys", "has_any_keys"}


def negated(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The opposite, also for rows that have nothing to compare: those match `exclude`."""
    return not_(func.coalesce(condition, false()))


def condition(
    meta: Meta, lookup: str, value: Any, annotations: Mapping[str, ColumnElement[Any]], resolve: Callable[[Any], Any]
) -> ColumnElement[bool]:
    """The condition of one look-up.

    annotations: further names and what they stand for. resolve: an expression as SQL, None for a plain value.
    Raises FieldError for a name or a look-up that there is not, ValueError for a value that the field cannot have.
    """
    name, *rest = lookup.split("__")
    if name in annotations:
        return _plain(Field(name, annotations[name], text=annotations[name]), rest, value, resolve, lookup)
    field = meta.find(name)
    if field.is_json:
        return _in_json(field, rest, value, lookup)
    return _plain(field, rest, value, resolve, lookup)


def _plain(
    field: Field, rest: list[str], value: Any, resolve: Callable[[Any], Any], lookup: str
) -> ColumnElement[bool]:
    kind = rest[0] if rest else "exact"
    if len(rest) > 1 or kind not in _LOOKUPS:
        raise FieldError(f"no look-up {'__'.join(rest)!r} in {lookup!r}; {suggestion(kind, _LOOKUPS)}")
    if kind == "isnull" or (kind == "exact" and value is None):
        wanted = bool(value) if kind == "isnull" else True
        return field.sql.is_(None) if wanted else field.sql.is_not(None)
    if field.holds is not None:
        return _held(field, kind, value, lookup)
    if isinstance(field.sql.type, JSON) and kind not in _TEXT_TESTS:
        if kind != "exact":
            raise FieldError(f"{lookup!r} cannot be looked up: {field.name} has exact, isnull and those of texts only")
        return JsonAt(field.sql, ()).equals(field.parse(value))
    if kind == "in":
        return _is_one_of(field, value)
    if kind == "range":
        first, last = value
        return field.sql.between(field.parse(first), field.parse(last))
    if kind in _TEXT_TESTS:
        return _TEXT_TESTS[kind](field.text if field.text is not None else cast(field.sql, String), _part(field, value))
    expression = resolve(value)
    parsed = field.parse(value) if expression is None else expression
    return field.sql == parsed if kind == "exact" else _ORDER_TESTS[kind](field.sql, parsed)


def _held(field: Field, kind: str, value: Any, lookup: str) -> ColumnElement[bool]:
    assert field.holds is not None
    if kind in {"contains", "icontains"}:
        return field.holds(value)
    if kind == "exact" and value in ("", "[]", []):
        return func.coalesce(cast(field.sql, String), "[]") == "[]"
    raise FieldError(f"{lookup!r} cannot be looked up: {field.name} has contains, icontains, and exact '[]' only")


def _part(field: Field, value: Any) -> str:
    text = str(value)
    # Ids are compared without their dashes: SQLite keeps them so.
    return text.replace("-", "").lower() if field.name in {"job_id", "id"} else text


def _is_one_of(field: Field, values: Any) -> ColumnElement[bool]:
    if hasattr(values, "as_subquery"):
        return field.sql.in_(select(values.as_subquery(field.name)))
    parsed = [field.parse(value) for value in values]
    return field.sql.in_(parsed) if len(parsed) <= _FEW else is_among(field.sql, parsed)


def _in_json(field: Field, rest: list[str], value: Any, lookup: str) -> ColumnElement[bool]:
    kinds = _LOOKUPS | _KEY_LOOKUPS
    kind = rest.pop() if rest and rest[-1] in kinds else "exact"
    here = JsonAt(field.sql, rest)
    if kind == "isnull":
        return here.is_missing if value else not_(here.is_missing)
    if kind in _KEY_LOOKUPS:
        keys = [value] if kind == "has_key" else list(value)
        there = [not_(here.below(str(key)).is_missing) for key in keys]
        return or_(false(), *there) if kind == "has_any_keys" else and_(*there)
    if kind == "exact":
        return here.equals(value)
    if kind == "in":
        return or_(false(), *(here.equals(item) for item in value))
    if kind == "contains" and not isinstance(value, str):
        return here.contains(value)
    if kind in _TEXT_TESTS:
        return _TEXT_TESTS[kind](here.text, str(value))
    if kind == "range":
        first, last = value
        return _comparable(here, first).between(first, last)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise FieldError(f"{lookup!r} compares with a number or a text, not with {value!r}")
    return _ORDER_TESTS[kind](_comparable(here, value), value)


def _comparable(here: JsonAt, value: Any) -> ColumnElement[Any]:
    return here.text if isinstance(value, str) else here.number
