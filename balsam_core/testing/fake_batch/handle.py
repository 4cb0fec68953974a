"""A fake scheduler in the hands of a test: its faults, the calls that it saw, its batch jobs and their end."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from balsam_core.testing.fake_batch.faces import face_of
from balsam_core.testing.fake_batch.faults import variable
from balsam_core.testing.fake_batch.folder import Folder
from balsam_core.testing.fake_batch.jobs import HELD, OVER, BatchJob, Config
from balsam_core.testing.fake_batch.queue import PROGRAM, Queue
from balsam_core.testing.fake_batch.runner import MARK

_END_SECONDS = 20.0
# Compute nodes are other machines than the one that submits, and MPICH's mpiexec reaches none of these by ssh.
COMPUTE_NODES = {"BALSAM_MACHINE_ID": "fake-compute-nodes", "HYDRA_LAUNCHER": "fork"}
PBS = Config(
    kind="pbs",
    nodes=("node1", "node2", "node3", "node4"),
    queues={"workq": None, "debug": 60, "debug-cache-quad": 60},
    grace_seconds=10.0,
    environ=COMPUTE_NODES,
    first_id=0,
)
COBALT = Config(
    kind="cobalt",
    nodes=tuple(map(str, range(1, 9))),
    queues={"default": 60, "debug-cache-quad": 60},
    grace_seconds=300.0,
    environ=COMPUTE_NODES,
)


class FakeBatch:
    """A fake scheduler; its commands lie in `bin`."""

    def __init__(self, path: Path, config: Config) -> None:
        self._folder = Folder(path)
        self._folder.make(config)
        for name in face_of(config).commands:
            self._install(name)

    @property
    def path(self) -> Path:
        """Its state folder."""
        return self._folder.path

    @property
    def bin(self) -> Path:
        """What belongs at the head of PATH."""
        return self._folder.bin

    def configure(self, **changes: Any) -> None:
        """Change what it is: the fields of Config, such as nodes, queues, grace_seconds, environ, cluster."""
        self._folder.make(replace(self._folder.config, **changes))

    def fault(self, name: str, value: object, command: str = "") -> None:
        """From now on play a fault, such as ("EXIT_CODE", 1, "qstat"); no command: all of them."""
        self._folder.set_faults({**self._folder.faults, variable(name, command): str(value)})

    def heal(self) -> None:
        """Play no more faults."""
        self._folder.set_faults({})

    def calls(self, command: str = "") -> list[tuple[str, ...]]:
        """The commands that were run, in order: all, or those of one name."""
        return [words for words in self._folder.calls() if command in ("", words[0])]

    def jobs(self) -> list[BatchJob]:
        """Its batch jobs, also those that are over."""
        return self._folder.jobs()

    def add(self, jobs: list[BatchJob]) -> None:
        """Put batch jobs into the queue, as if they had been submitted; start what fits."""
        with self._folder.locked():
            for job in jobs:
                self._folder.save(job)
            Queue(self._folder).attend()

    def wait_idle(self, seconds: float = 60.0) -> None:
        """Wait until every batch job is over; raises TimeoutError."""
        until = time.monotonic() + seconds
        while waiting := [job.number for job in self.jobs() if job.state != OVER]:
            if time.monotonic() > until:
                raise TimeoutError(f"batch jobs {waiting} are not over after {seconds:g} s; see {self.path}")
            time.sleep(0.05)

    def end_all(self) -> None:
        """End every batch job, whether it waits or runs, and all its processes by their pids."""
        self._declare_over()
        until = time.monotonic() + _END_SECONDS
        while pids := self._processes():
            if time.monotonic() > until:
                raise TimeoutError(f"processes {pids} of batch jobs do not end; see {self.path}")
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        # Its runner may have said of one that it was ending, before it was killed itself.
        self._declare_over()

    def _declare_over(self) -> None:
        with self._folder.locked():
            for job in self.jobs():
                if job.state not in (HELD, OVER):
                    self._folder.save(replace(job, state=OVER, stopped="delete", ended_at=time.time()))

    def _install(self, name: str) -> None:
        words = shlex.join([*PROGRAM, str(self.path), name])
        file = self.bin / name
        file.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        file.chmod(0o755)

    def _processes(self) -> list[int]:
        """All that carry the mark of one of its batch jobs, and their runners."""
        mark, runner = os.fsencode(f"{MARK}={self.path}/"), os.fsencode(f"\0{self.path}\0run\0")
        found = []
        for name in os.listdir("/proc"):  # noqa: PTH208 - only names are wanted
            if name.isdigit() and _is_marked(Path("/proc", name), mark, runner):
                found.append(int(name))
        return found


def put_on_path(fake: FakeBatch, environ: Mapping[str, str]) -> str:
    """The PATH on which the fake's commands come first."""
    return f"{fake.bin}{os.pathsep}{environ.get('PATH', os.defpath)}"


def _is_marked(process: Path, mark: bytes, runner: bytes) -> bool:
    with contextlib.suppress(OSError):
        return runner in process.joinpath("cmdline").read_bytes() or any(
            one.startswith(mark) for one in process.joinpath("environ").read_bytes().split(b"\0")
        )
    return False
