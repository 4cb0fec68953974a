"""`django.db.models.functions`: functions of the database."""

from __future__ import annotations

from typing import Any

from django.db.models import Func, Value

__all__ = ["Cast", "Coalesce", "Concat", "Length", "Lower", "Substr", "Upper"]


class Concat(Func):  # type: ignore[misc]
    """Texts, one after the other."""


class Coalesce(Func):  # type: ignore[misc]
    """The first that is not null."""


class Length(Func):  # type: ignore[misc]
    """How many characters a text has."""


class Lower(Func):  # type: ignore[misc]
    """A text in small letters."""


class Upper(Func):  # type: ignore[misc]
    """A text in capitals."""


class Substr(Func):  # type: ignore[misc]
    """A part of a text, from a position that counts from one."""

    def __init__(self, expression: Any, pos: Any, length: Any = None, **extra: Any) -> None:
        parts = [expression, Value(pos), *([] if length is None else [Value(length)])]
        super().__init__(*parts, **extra)


class Cast(Func):  # type: ignore[misc]
    """A value as another type."""

    def __init__(self, expression: Any, output_field: Any) -> None:
        super().__init__(expression, output_field=output_field)
