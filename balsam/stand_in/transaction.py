"""`django.db.transaction`: every call is a transaction of its own already, so that a block adds nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from typing import Any, TypeVar, overload

_F = TypeVar("_F", bound=Callable[..., Any])


class Atomic(ContextDecorator):
    """A block, or a decorator; an error in it undoes nothing that was saved before."""

    def __enter__(self) -> Atomic:
        return self

    def __exit__(self, *error: object) -> None:
        return None


@overload
def atomic(using: _F) -> _F: ...
@overload
def atomic(using: str | None = None, savepoint: bool = True, durable: bool = False) -> Atomic: ...
def atomic(using: Any = None, savepoint: bool = True, durable: bool = False) -> Any:
    """As `with transaction.atomic():`, `@transaction.atomic` or `@transaction.atomic()`."""
    return Atomic()(using) if callable(using) else Atomic()


def on_commit(func: Callable[[], Any], using: str | None = None) -> None:
    """Call `func` now: what came before is committed."""
    func()


def commit(using: str | None = None) -> None:
    """Everything is committed already."""


def get_autocommit(using: str | None = None) -> bool:
    """Always: every call commits."""
    return True


def set_autocommit(autocommit: bool, using: str | None = None) -> None:
    """Every call commits, whatever is set."""
