"""Q, F and functions, a real Django's or the stand-in's, as SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Double, Integer, String, case, cast, func, literal, null
from sqlalchemy.sql import ColumnElement, and_, or_, true

from balsam.core.dialects import JsonAt
from balsam.core.exceptions import FieldError
from balsam.core.fields import Meta
from balsam.core.lookups import condition, negated

_AGGREGATES: Mapping[str, Callable[..., Any]] = {
    "Count": func.count,
    "Sum": func.sum,
    "Avg": func.avg,
    "Min": func.min,
    "Max": func.max,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "Coalesce": func.coalesce,
    "Length": func.length,
    "Lower": func.lower,
    "Upper": func.upper,
    "Substr": func.substr,
}
_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%%": lambda a, b: a % b,
}
_TYPES = {"CharField": String, "TextField": String, "IntegerField": Integer, "FloatField": Double}


@dataclass(frozen=True)
class Column:
    """Something that a query selects: SQL, how programs see it, and whether it is of many rows."""

    sql: ColumnElement[Any]
    show: Callable[[Any], Any]
    is_aggregate: bool = False


def named_column(meta: Meta, name: str, annotations: Mapping[str, Column]) -> Column:
    """The field, the path into JSON or the annotation of that name; raises FieldError."""
    if name in annotations:
        return annotations[name]
    first, *path = name.split("__")
    field = meta.find(first)
    if not path:
        return Column(field.sql, field.show)
    if not field.is_json:
        raise FieldError(f"{name!r} is no field: {first} holds no JSON to look into")
    return Column(JsonAt(field.sql, path).encoded, lambda text: None if text is None else json.loads(text))


def is_expression(value: Any) -> bool:
    """Whether a value is something for the database to work out, and no plain value."""
    kind = type(value).__name__
    known = {"F", "Value", "CombinedExpression", "Concat", "ConcatPair", "Cast"}
    return kind in {*known, *_FUNCTIONS, *_AGGREGATES} and not isinstance(value, str | int | float)


def is_aggregate(expression: Any) -> bool:
    """Whether an expression is about many rows."""
    return type(expression).__name__ in _AGGREGATES


def sql_of(meta: Meta, expression: Any, annotations: Mapping[str, Column]) -> ColumnElement[Any]:
    """An expression as SQL; raises FieldError for one that is not provided."""
    kind = type(expression).__name__
    if kind == "F":
        return _value_of(meta, expression.name, annotations)
    if kind == "Value":
        return literal(expression.value)
    if kind == "CombinedExpression":
        return _combined(meta, expression, annotations)
    parts = expression.get_source_expressions() if hasattr(expression, "get_source_expressions") else []
    if kind == "Count" and type(parts[0]).__name__ in {"Star", "Value"}:
        return func.count()
    if kind == "Count" and getattr(parts[0], "name", "") == "*":
        return func.count()
    arguments = [sql_of(meta, part, annotations) for part in parts if part is not None]
    if kind in _AGGREGATES:
        what = arguments[0].distinct() if getattr(expression, "distinct", False) else arguments[0]
        counted: ColumnElement[Any] = _AGGREGATES[kind](what)
        return counted
    if kind in {"Concat", "ConcatPair"}:
        return _concat(arguments)
    if kind == "Cast":
        return _cast(arguments[0], expression.output_field)
    if kind in _FUNCTIONS:
        worked_out: ColumnElement[Any] = _FUNCTIONS[kind](*arguments)
        return worked_out
    known = ", ".join(sorted({*_AGGREGATES, *_FUNCTIONS, "Cast", "Concat", "F", "Value"}))
    raise FieldError(f"the expression {kind} is not provided; there are {known}")


def literal_or_sql(meta: Meta, value: Any) -> Any:
    """A value of an update: an expression as SQL, or None for a plain value."""
    if not is_expression(value):
        return None
    if is_aggregate(value):
        raise FieldError("an update cannot set a field to a value of many rows")
    found = sql_of(meta, value, {})
    return literal(found) if isinstance(found, str | int | float) else found


def condition_of(
    meta: Meta, args: tuple[Any, ...], lookups: Mapping[str, Any], annotations: Mapping[str, Column]
) -> ColumnElement[bool]:
    """The condition of `filter(*args, **lookups)`; raises FieldError."""
    return and_(true(), *(_q(meta, arg, annotations) for arg in [*args, *lookups.items()]))


def _q(meta: Meta, part: Any, annotations: Mapping[str, Column]) -> ColumnElement[bool]:
    if isinstance(part, tuple):
        name, value = part
        plain = {known: column.sql for known, column in annotations.items()}
        return condition(
            meta, name, value, plain, lambda one: sql_of(meta, one, annotations) if is_expression(one) else None
        )
    if not hasattr(part, "children"):
        raise FieldError(f"filter takes look-ups and Q objects, not {part!r}")
    inside = [_q(meta, child, annotations) for child in part.children]
    if not inside:
        return true()
    joined = or_(*inside) if part.connector == "OR" else and_(*inside)
    return negated(joined) if part.negated else joined


def _value_of(meta: Meta, name: str, annotations: Mapping[str, Column]) -> ColumnElement[Any]:
    if name == "*":
        return null()
    first, *path = name.split("__")
    if path and name not in annotations and meta.find(first).is_json:
        return JsonAt(meta.find(first).sql, path).number
    return named_column(meta, name, annotations).sql


def _combined(meta: Meta, expression: Any, annotations: Mapping[str, Column]) -> ColumnElement[Any]:
    if expression.connector not in _OPERATORS:
        raise FieldError(f"the operator {expression.connector!r} is not provided; there are + - * / %")
    left, right = (sql_of(meta, side, annotations) for side in (expression.lhs, expression.rhs))
    found: ColumnElement[Any] = _OPERATORS[expression.connector](left, right)
    return found


def _concat(parts: list[ColumnElement[Any]]) -> ColumnElement[Any]:
    joined: ColumnElement[Any] = func.coalesce(cast(parts[0], String), "")
    for part in parts[1:]:
        joined = joined.concat(func.coalesce(cast(part, String), ""))
    return joined


def _cast(value: ColumnElement[Any], output_field: Any) -> ColumnElement[Any]:
    kind = type(output_field).__name__
    if kind not in _TYPES:
        raise FieldError(f"no Cast to {kind}; there are {', '.join(sorted(_TYPES))}")
    return case((value.is_(None), null()), else_=cast(value, _TYPES[kind]))
