"""Brings the jobs of dead launchers back: first their processes are ended, then their jobs are runnable again."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from balsam_core.errors import DatabaseLocked
from balsam_core.launcher.journal import read_journal
from balsam_core.launcher.sweep import sweep
from balsam_core.state.hosts import boot_id, is_stopped
from balsam_core.state.leases import ExpiredLauncher
from balsam_core.state.store import Store

_log = logging.getLogger(__name__)


def recover(store: Store, journals: Path, machine_id: str) -> int:
    """Take back the jobs of every launcher whose lease is over; how many launchers those were.

    On their own host its leftover processes are ended first, so that no job runs twice at once. Raises DatabaseError.
    """
    dead_launchers = store.expired_launchers(machine_id)
    for dead in dead_launchers:
        is_here = dead.machine_id == machine_id and dead.boot_id == boot_id()
        if is_here:
            swept = sweep(str(dead.launcher_id), dead.processes)
            _log.warning("launcher %s is gone (%s); ended %d of its processes", dead.launcher_id, dead.why, swept)
        running = _take_back(store, dead, StartedAttempts(journals, dead.launcher_id), is_here)
        _log.warning("took back %d running jobs of launcher %s", running, dead.launcher_id)
        remove_files(journals, dead.launcher_id)
    return len(dead_launchers)


def _take_back(store: Store, dead: ExpiredLauncher, started: StartedAttempts, is_here: bool) -> int:
    try:
        return store.take_back(dead, started)
    except DatabaseLocked:
        # One that was stopped inside a transaction keeps SQLite locked for as long as it lives.
        if not is_here or not is_stopped(dead.pid, dead.process_clock):
            raise
        _log.warning("launcher %s hangs and keeps the database locked; ended it, pid %d", dead.launcher_id, dead.pid)
        os.kill(dead.pid, signal.SIGKILL)
        return store.take_back(dead, started)


def journal_path(journals: Path, launcher_id: UUID, node: int | None = None) -> Path:
    """Where a worker writes down what it is about to start: the launcher's own, or the one of a node by its number."""
    return journals / f"launcher-{launcher_id}{'' if node is None else f'.n{node}'}.starts"


@dataclass(frozen=True)
class StartedAttempts:
    """The attempts that a launcher's workers may have started, on all nodes: read when they are asked for."""

    journals: Path
    launcher_id: UUID

    def __iter__(self) -> Iterator[tuple[UUID, int]]:
        for file in self.journals.glob(f"launcher-{self.launcher_id}*.starts"):
            for key in read_journal(file):
                job_id, _, attempt = key.partition(".")
                # Scripts are in the journal too, as `<job id>.preprocess`: they are no attempts.
                if attempt.isdigit():
                    yield UUID(job_id), int(attempt)


def remove_node_journals(journals: Path, launcher_id: UUID) -> None:
    """Remove the journals of a launcher's ranks, after the database knows all that they say."""
    _remove(journals, f"launcher-{launcher_id}.n*.starts")


def remove_files(journals: Path, launcher_id: UUID) -> None:
    """Remove a launcher's journals likewise, and a plan that no master has read."""
    _remove(journals, f"launcher-{launcher_id}*")


def _remove(folder: Path, pattern: str) -> None:
    for file in folder.glob(pattern):
        file.unlink(missing_ok=True)
