"""Reads a file of jobs: CSV with a header, or one JSON object per line; every error names the file and the line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from balsam_core.cli.job_options import from_folder, parse_data, split_ids
from balsam_core.errors import JobSpecError, suggestion
from balsam_core.models.job import JobSpec
from balsam_core.models.wording import reasons

_SUFFIXES = (".csv", ".jsonl")


@dataclass(frozen=True)
class Row:
    """One job and the line that it comes from."""

    file: Path
    line: int
    spec: JobSpec

    def error(self, what: str) -> JobSpecError:
        """The error that this row is wrong."""
        return _wrong(self.file, self.line, what)


def read_jobs(file: Path, defaults: Mapping[str, Any], folder: Path) -> list[Row]:
    """The jobs of a .csv or .jsonl file; paths in it are relative to `folder`. Raises JobSpecError.

    defaults: fields for rows that do not give them.
    """
    if file.suffix.lower() not in _SUFFIXES:
        raise JobSpecError(f"{file} is neither .csv nor .jsonl; the ending tells how to read it")
    try:
        rows = _csv_rows(file) if file.suffix.lower() == ".csv" else _json_rows(file)
        return [_row(file, line, {**defaults, **from_folder(fields, folder)}) for line, fields in rows]
    except OSError as error:
        raise JobSpecError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise JobSpecError(f"cannot read {file}: it is not UTF-8 ({error.reason} at byte {error.start})") from error


def _csv_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    # utf-8-sig: spreadsheets put a mark at the beginning.
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_header(file, header)
            for cells in reader:
                if not any(cells):
                    continue
                if len(cells) != len(header):
                    raise _wrong(file, reader.line_num, f"{len(cells)} cells for {len(header)} columns")
                # An empty cell is a field that was not given.
                given = {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}
                yield reader.line_num, _from_text(file, reader.line_num, given)
        except csv.Error as error:
            raise _wrong(file, reader.line_num, str(error)) from error


def _check_header(file: Path, header: list[str]) -> None:
    if not header:
        raise JobSpecError(f"{file} is empty; its first line names the columns, like name,workflow,application,args")
    for name in header:
        _check_field(file, 1, name)
        if header.count(name) > 1:
            raise _wrong(file, 1, f"the column {name!r} is there twice")


def _from_text(file: Path, line: int, cells: dict[str, Any]) -> dict[str, Any]:
    if "data" in cells:
        try:
            cells["data"] = parse_data(cells["data"])
        except JobSpecError as error:
            raise _wrong(file, line, str(error)) from None
    if "parents" in cells:
        cells["parents"] = split_ids(cells["parents"])
    return cells


def _json_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with file.open(encoding="utf-8-sig") as stream:
        for line, text in enumerate(stream, start=1):
            if text.strip():
                yield line, _json_row(file, line, text)


def _json_row(file: Path, line: int, text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except ValueError as error:
        raise _wrong(file, line, f"not JSON ({error})") from None
    if not isinstance(row, dict):
        raise _wrong(file, line, "not a JSON object")
    for name in row:
        _check_field(file, line, name)
    return row


def _row(file: Path, line: int, fields: Mapping[str, Any]) -> Row:
    try:
        return Row(file, line, JobSpec.model_validate(fields))
    except ValidationError as error:
        raise _wrong(file, line, reasons(error)) from None


def _check_field(file: Path, line: int, name: str) -> None:
    if name not in JobSpec.model_fields:
        raise _wrong(file, line, f"a job has no field {name!r}; {suggestion(name, JobSpec.model_fields)}")


def _wrong(file: Path, line: int, what: str) -> JobSpecError:
    return JobSpecError(f"{file} line {line}: {what}; nothing was added")
