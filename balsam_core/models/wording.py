"""What pydantic finds wrong, as people say it: `num_nodes cannot be 0: should be greater than or equal to 1`."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def reasons(error: ValidationError) -> str:
    """All that is wrong, in one line: each with its field, its value and what it should be."""
    return "; ".join(map(_reason, error.errors()))


def in_plain_words(message: str) -> str:
    """A message of pydantic without what speaks of Python."""
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return message[:1].lower() + message[1:]


def _reason(found: ErrorDetails) -> str:
    field = ".".join(map(str, found["loc"]))
    if found["type"] == "missing":
        return f"{field} is missing"
    words = in_plain_words(found["msg"]).replace("a valid dictionary", "an object, as {}")
    return f"{field} cannot be {found['input']!r}: {words}"
