"""Prints listings: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

_SEPARATOR = " | "


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table whose columns are joined by ` | `; every row is one line."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    lines = [_line(headers, widths), "-" * (sum(widths) + len(_SEPARATOR) * (len(widths) - 1))]
    lines += [_line(row, widths) for row in cells]
    print_lines(lines)


def print_json(listing: BaseModel) -> None:
    """A listing with its schema_version."""
    print_lines([listing.model_dump_json(indent=2)])


def print_lines(lines: Iterable[str]) -> None:
    """Data, in one write."""
    print_text("".join(f"{line}\n" for line in lines))


def print_text(text: str) -> None:
    """Data as it is, seen at once by whoever reads it."""
    # What the terminal's encoding cannot show is escaped instead of ending the command.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def tell(message: str) -> None:
    """Progress and remarks: to stderr."""
    click.echo(message, err=True)


def warn(message: str) -> None:
    """A warning in one line on stderr."""
    tell(f"balsam: warning: {message}")


def plain(value: object) -> str:
    """A value as text: nothing for None, JSON for what has parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _cell(value: object) -> str:
    text = plain(value)
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _SEPARATOR.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
