"""`django.utils.timezone`: the time, in UTC."""

from __future__ import annotations

from datetime import datetime, timezone

utc = timezone.utc


def now() -> datetime:
    """The time now, aware, in UTC."""
    return datetime.now(utc)


def is_aware(value: datetime) -> bool:
    """Whether a time says which zone it is in."""
    return value.utcoffset() is not None


def is_naive(value: datetime) -> bool:
    """Whether a time says nothing of its zone."""
    return value.utcoffset() is None


def make_aware(value: datetime) -> datetime:
    """A naive time, taken as UTC."""
    return value.replace(tzinfo=utc)
