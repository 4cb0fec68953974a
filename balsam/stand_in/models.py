"""`django.db.models`: conditions and expressions with which queries are built."""

from __future__ import annotations

from typing import Any


class Q:
    """A condition: `Q(num_nodes__gt=1) | Q(ranks_per_node__gt=1)`, `~Q(state="FAILED")`."""

    AND = "AND"
    OR = "OR"

    def __init__(self, *args: Any, _connector: str | None = None, _negated: bool = False, **lookups: Any) -> None:
        self.children: list[Any] = [*args, *sorted(lookups.items())]
        self.connector = _connector or self.AND
        self.negated = _negated

    def __or__(self, other: Q) -> Q:
        return self._joined(other, self.OR)

    def __and__(self, other: Q) -> Q:
        return self._joined(other, self.AND)

    def __invert__(self) -> Q:
        return Q(self, _negated=True)

    def __bool__(self) -> bool:
        return bool(self.children)

    def __repr__(self) -> str:
        return f"<Q: ({'NOT ' if self.negated else ''}{self.connector}: {', '.join(map(str, self.children))})>"

    def _joined(self, other: Q, connector: str) -> Q:
        if not isinstance(other, Q):
            raise TypeError(other)
        if not self or not other:
            return self or other
        return Q(self, other, _connector=connector)


class Combinable:
    """What can be added, multiplied and so on; the database does it."""

    def __add__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(self, "+", _wrapped(other))

    def __sub__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(self, "-", _wrapped(other))

    def __mul__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(self, "*", _wrapped(other))

    def __truediv__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(self, "/", _wrapped(other))

    def __mod__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(self, "%%", _wrapped(other))

    def __radd__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(_wrapped(other), "+", self)

    def __rsub__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(_wrapped(other), "-", self)

    def __rmul__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(_wrapped(other), "*", self)

    def __rtruediv__(self, other: Any) -> CombinedExpression:
        return CombinedExpression(_wrapped(other), "/", self)


class F(Combinable):
    """The value of a field of the same row."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"F({self.name})"


class Value(Combinable):
    """A value, where a name would mean a field."""

    def __init__(self, value: Any, output_field: Any = None) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Value({self.value!r})"


class CombinedExpression(Combinable):
    """Two expressions and what is done with them."""

    def __init__(self, lhs: Any, connector: str, rhs: Any) -> None:
        self.lhs, self.connector, self.rhs = lhs, connector, rhs


class Func(Combinable):
    """A function of the database; a text among its arguments is the name of a field."""

    def __init__(self, *expressions: Any, output_field: Any = None, **extra: Any) -> None:
        self.output_field = output_field
        self.extra = extra
        self.source_expressions = [F(part) if isinstance(part, str) else _wrapped(part) for part in expressions]

    def get_source_expressions(self) -> list[Any]:
        """Its arguments."""
        return self.source_expressions


class Aggregate(Func):
    """A function of many rows."""

    def __init__(self, *expressions: Any, distinct: bool = False, **extra: Any) -> None:
        super().__init__(*expressions, **extra)
        self.distinct = distinct


class Count(Aggregate):
    """How many; `Count("*")` counts rows."""


class Sum(Aggregate):
    """The sum."""


class Avg(Aggregate):
    """The mean."""


class Min(Aggregate):
    """The smallest."""


class Max(Aggregate):
    """The largest."""


class CharField:
    """The type of a text, for `Cast`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.options = options


class TextField(CharField):
    """The type of a text."""


class IntegerField(CharField):
    """The type of a whole number."""


class FloatField(CharField):
    """The type of a number."""


def _wrapped(value: Any) -> Any:
    return value if isinstance(value, Combinable) else Value(value)
