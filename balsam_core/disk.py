"""How much room a file system has left, and a warning before it has none."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from balsam_core.job_files import readable

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 60.0
_FEWEST_INODES = 10_000


@dataclass(frozen=True)
class Room:
    """What is left for this user on a file system; inodes None: it does not count them."""

    size: int
    inodes: int | None

    def shortage(self, folder: Path, min_free_mb: float) -> str:
        """What to warn of; empty: there is room."""
        if self.size < min_free_mb * 1_000_000:
            return f"only {readable(self.size)} are left on the disk of {folder}; `balsam clean` frees space"
        if self.inodes is not None and self.inodes < _FEWEST_INODES:
            return f"only {self.inodes} inodes are left on the disk of {folder}; `balsam clean` frees some"
        return ""


def room(folder: Path) -> Room | None:
    """What is left where `folder` lies; None: that cannot be told. Quotas are not seen."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    # File systems that make inodes as they need them say that they have none at all: see statvfs(3), f_files.
    return Room(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)


class DiskWatch:
    """Warns in the log when a disk is almost full; again only after there was room in between."""

    def __init__(self, folder: Path, min_free_mb: float) -> None:
        self._folder = folder
        self._min_free_mb = min_free_mb
        self._next_look = 0.0
        self._warned = False

    def look(self) -> None:
        """Look now and then; to be called often."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        left = room(self._folder)
        shortage = "" if left is None else left.shortage(self._folder, self._min_free_mb)
        if shortage and not self._warned:
            _log.warning("%s; jobs that write there will fail", shortage)
        self._warned = bool(shortage)
