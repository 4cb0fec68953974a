"""The fake scheduler's queue: so many nodes, first come first served."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from balsam_core.testing.fake_batch.folder import Folder
from balsam_core.testing.fake_batch.jobs import ENDING, HELD, OVER, QUEUED, RUNNING, BatchJob

ROOT = Path(__file__).parents[3]
# Isolated, and without site: a command of the fake starts in a hundredth of a second, whatever is installed.
_START = "import sys; sys.path.insert(0, sys.argv[1]); from balsam_core.testing.fake_batch.command import main; main()"
PROGRAM = (sys.executable, "-I", "-S", "-c", _START, str(ROOT))


class Queue:
    """What the commands see and do; forget_after_seconds: older batch jobs are not seen. For who holds the lock."""

    def __init__(self, folder: Folder, forget_after_seconds: float | None = None) -> None:
        self.folder = folder
        self.config = folder.config
        self._forget_after_seconds = forget_after_seconds

    def jobs(self) -> list[BatchJob]:
        """Those that are not forgotten, also those that are over."""
        jobs, most = self.folder.jobs(), self._forget_after_seconds
        return jobs if most is None else [job for job in jobs if time.time() - job.submitted_at < most]

    def submit(self, make: Callable[[int], BatchJob]) -> BatchJob:
        """Put the batch job into the queue that `make` makes for a number, and start what fits."""
        job = make(self.folder.new_number())
        self.folder.save(job)
        self.attend()
        return job

    def delete(self, job: BatchJob, by: str) -> None:
        """End a batch job: at once when it waits; its runner does when it runs."""
        # Another one that was deleted may have left its nodes to this one.
        found = self.folder.read(job.number)
        stopped = replace(found, stopped="delete", stopped_by=by)
        if found.has_nodes:
            self.folder.save(replace(stopped, state=ENDING))
        else:
            self.folder.save(replace(stopped, state=OVER, ended_at=time.time()))
        self.attend()

    def attend(self) -> None:
        """Start all that fit, in order; one that never fits is passed over."""
        jobs = self.folder.jobs()
        used = {host for job in jobs if job.has_nodes for host in job.hosts}
        free = [host for host in self.config.nodes if host not in used]
        for job in jobs:
            if job.state != QUEUED or job.nodes > len(self.config.nodes):
                continue
            if job.nodes > len(free):
                return
            self._start(job, tuple(free[: job.nodes]))
            free = free[job.nodes :]

    def _start(self, job: BatchJob, hosts: tuple[str, ...]) -> None:
        self.folder.save(replace(job, state=RUNNING, hosts=hosts, started_at=time.time()))
        with self.folder.log.open("ab") as log:
            subprocess.Popen(
                [*PROGRAM, str(self.folder.path), "run", str(job.number)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                # A daemon has nothing of its user's environment.
                env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
                start_new_session=True,
            )


def first_state(held: bool) -> str:
    """Of a new batch job."""
    return HELD if held else QUEUED
