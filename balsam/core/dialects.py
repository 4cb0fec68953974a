"""SQL that SQLite and PostgreSQL spell differently: values inside JSON, rows as JSON, long lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Double, String, case, cast, func, literal, null, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement, and_
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType


class _Named(UserDefinedType[Any]):
    """A type of PostgreSQL by its name: importing its dialect takes 57 ms, which SQLite's users need not spend."""

    cache_ok = True

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling

    def get_col_spec(self, **options: Any) -> str:
        return self.spelling


_JSONB = _Named("JSONB")
_KEYS = _Named("TEXT[]")


class Either(ColumnElement[Any]):
    """One expression in two spellings; the one that is needed is built when a statement is compiled."""

    inherit_cache = False

    def __init__(
        self,
        sqlite: Callable[[], ColumnElement[Any]],
        postgresql: Callable[[], ColumnElement[Any]],
        type_: TypeEngine[Any] | None = None,
    ) -> None:
        self.sqlite, self.postgresql = sqlite, postgresql
        self.type = type_ or NullType()


@compiles(Either)
def _on_postgresql(element: Either, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.postgresql().self_group(), **options)


@compiles(Either, "sqlite")
def _on_sqlite(element: Either, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.sqlite().self_group(), **options)


def json_rows(*columns: ColumnElement[Any]) -> ColumnElement[Any]:
    """All rows of a group as one list of lists, in no order."""
    return Either(
        lambda: func.json_group_array(func.json_array(*columns)),
        lambda: func.json_agg(func.json_build_array(*columns)),
    )


def json_pairs(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A JSON object of texts as one text `key=value:key=value`."""

    def joined(each: Any, aggregate: Any) -> ColumnElement[Any]:
        pairs = each(column).table_valued("key", "value").c
        return select(func.coalesce(aggregate(pairs.key + "=" + pairs.value, ":"), "")).scalar_subquery()

    return Either(
        lambda: joined(func.json_each, func.group_concat),
        lambda: joined(func.json_each_text, func.string_agg),
        String(),
    )


def is_among(column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Whether a column has one of many values: they travel as one, since SQLite takes 32,766 at most."""
    text = json.dumps([value.hex if isinstance(value, UUID) else value for value in values])

    def sqlite() -> ColumnElement[bool]:
        return column.in_(select(func.json_each(text).table_valued("value").c.value))

    def postgresql() -> ColumnElement[bool]:
        each = func.json_array_elements_text(cast(literal(text, String), _Named("JSON")))
        return column.in_(select(cast(each, column.type)))

    return Either(sqlite, postgresql, Boolean())


class JsonAt:
    """The value at a path inside a JSON column, as SQL sees it by its type; null where there is none."""

    def __init__(self, column: ColumnElement[Any], path: Sequence[str]) -> None:
        self.column, self.path = column, tuple(path)

    def below(self, key: str) -> JsonAt:
        """What lies one level deeper."""
        return JsonAt(self.column, (*self.path, key))

    @property
    def is_missing(self) -> ColumnElement[bool]:
        """Whether there is nothing at the path."""
        return Either(lambda: self._type().is_(None), lambda: self._jsonb().is_(None), Boolean())

    @property
    def number(self) -> ColumnElement[Any]:
        """The number there, if it is one."""
        return Either(
            lambda: case((self._type().in_(["integer", "real"]), self._extract())),
            lambda: case((self._kind("number"), cast(self._plain(), Double))),
            Double(),
        )

    @property
    def text(self) -> ColumnElement[Any]:
        """The text there, if it is one."""
        return Either(
            lambda: case((self._type() == "text", self._extract())),
            lambda: case((self._kind("string"), self._plain())),
            String(),
        )

    @property
    def encoded(self) -> ColumnElement[Any]:
        """The value as JSON text."""
        words = {word: word for word in ("true", "false", "null")}
        return Either(
            lambda: case(
                (self._type().is_(None), null()), (self._type().in_(words), self._type()), else_=self._quoted()
            ),
            lambda: cast(self._jsonb(), String),
            String(),
        )

    def equals(self, value: Any) -> ColumnElement[bool]:
        """Whether it is that value."""
        if isinstance(value, str):
            return self.text == value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.number == value
        text = json.dumps(value)
        if isinstance(value, dict | list | tuple):
            return Either(
                lambda: func.json(self._extract()) == func.json(text),
                lambda: self._jsonb() == cast(literal(text, String), _JSONB),
                Boolean(),
            )
        return Either(
            lambda: self._type() == text, lambda: self._jsonb() == cast(literal(text, String), _JSONB), Boolean()
        )

    def contains(self, value: Any) -> ColumnElement[bool]:
        """Whether all of `value` is part of it: every key of an object, every item of a list."""
        text = json.dumps(value)
        return Either(
            lambda: self._contains(value),
            lambda: self._jsonb().op("@>", return_type=Boolean())(cast(literal(text, String), _JSONB)),
            Boolean(),
        )

    def _contains(self, value: Any) -> ColumnElement[bool]:
        if isinstance(value, dict):
            inside = [self.below(str(key)).contains(item) for key, item in value.items()]
            return and_(self._type() == "object", *inside)
        if isinstance(value, list | tuple):
            return and_(self._type() == "array", *(self._lists(item) for item in value))
        return self.equals(value)

    def _lists(self, item: Any) -> ColumnElement[bool]:
        each = func.json_each(self.column, self._sqlite_path()).table_valued("value", "type")
        same = each.c.type == json.dumps(item) if item is None or isinstance(item, bool) else each.c.value == item
        return select(literal(1)).select_from(each).where(same).exists()

    def _type(self) -> ColumnElement[Any]:
        return func.json_type(self.column, self._sqlite_path())

    def _extract(self) -> ColumnElement[Any]:
        return func.json_extract(self.column, self._sqlite_path())

    def _quoted(self) -> ColumnElement[Any]:
        return func.json_quote(self._extract())

    def _sqlite_path(self) -> str:
        return "$" + "".join(f"[{key}]" if key.isdigit() else f'."{key}"' for key in self.path)

    def _jsonb(self) -> ColumnElement[Any]:
        keys = "{" + ",".join(json.dumps(key, ensure_ascii=False) for key in self.path) + "}"
        return cast(self.column, _JSONB).op("#>", return_type=_JSONB)(cast(literal(keys, String), _KEYS))

    def _kind(self, word: str) -> ColumnElement[bool]:
        return func.jsonb_typeof(self._jsonb()) == word

    def _plain(self) -> ColumnElement[Any]:
        return self._jsonb().op("#>>", return_type=String())(cast(literal("{}", String), _KEYS))
