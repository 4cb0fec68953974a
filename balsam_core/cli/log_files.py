"""Prints the ends of log files, and what is added to them."""

from __future__ import annotations

import time
from pathlib import Path

from balsam_core.cli.output import print_text
from balsam_core.growing import Growing

_POLL_SECONDS = 0.3


def show_ends(folder: Path, lines: int) -> dict[Path, Growing]:
    """Print the last lines of each log file; the files, as far as they were read."""
    read = {file: Growing(file) for file in _log_files(folder)}
    for file, log in read.items():
        _print(file, log.last_lines(lines))
    return read


def follow_files(folder: Path, read: dict[Path, Growing]) -> None:
    """Print what is added to log files, new ones too, until interrupted."""
    while True:
        for file in _log_files(folder):
            _print(file, read.setdefault(file, Growing(file)).added())
        time.sleep(_POLL_SECONDS)


def _log_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))


def _print(file: Path, text: str) -> None:
    if text:
        print_text(f"==> {file.name} <==\n{text}")
