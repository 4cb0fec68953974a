"""Facts as JSON has them: dictionaries, lists, words and numbers; moments in ISO 8601, UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID

from pydantic import BaseModel


def plain(value: object) -> Any:
    """The value with all its parts; what is at hand for JSON already stays as it is."""
    if isinstance(value, BaseModel):
        return plain({name: getattr(value, name) for name in type(value).model_fields})
    if is_dataclass(value) and not isinstance(value, type):
        return plain({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, Mapping):
        return {_key(name): _moment(name, part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    return float(value) if isinstance(value, Fraction) else value


def _key(name: object) -> str:
    return str(name.value) if isinstance(name, Enum) else str(name)


def _moment(name: object, value: object) -> Any:
    if isinstance(value, float) and isinstance(name, str) and (name in {"at", "now"} or name.endswith("_at")):
        return datetime.fromtimestamp(value, timezone.utc).isoformat()
    return plain(value)
