"""Keeps the log folder of a site small: long logs are cut, old ones are removed."""

from __future__ import annotations

import contextlib
from logging.handlers import RotatingFileHandler
from pathlib import Path

_MAX_BYTES = 10_000_000
_KEEP = 100


def rotating_handler(file: Path) -> RotatingFileHandler:
    """Writes log lines into a file; when it is long it becomes `<file>.1`, and a new one is begun."""
    return RotatingFileHandler(file, maxBytes=_MAX_BYTES, backupCount=1)


def cut(file: Path, max_bytes: int = _MAX_BYTES) -> None:
    """Before a file is written by others: if it is long, let it become `<file>.1`."""
    with contextlib.suppress(FileNotFoundError):
        if file.stat().st_size >= max_bytes:
            file.rename(f"{file}.1")


def remove_old(folder: Path, pattern: str, keep: int = _KEEP) -> None:
    """Remove the files of a pattern but for the newest ones, by the time of their last line."""
    for old in sorted(folder.glob(pattern), key=_written_at, reverse=True)[keep:]:
        old.unlink(missing_ok=True)


def _written_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        # Another program that starts at the same time has removed it.
        return 0.0
