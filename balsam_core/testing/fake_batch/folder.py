"""The folder of a fake scheduler.

config.json   what it is
faults.json   the faults that it plays, over those of the environment
jobs/3.json   a batch job
spool/        scripts, node files and output of batch jobs
calls         the commands that were run, a line each
lock          held while batch jobs are looked at or changed
bin/          its commands
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from balsam_core.testing.fake_batch.jobs import BatchJob, Config, from_json


class Folder:
    """A fake scheduler's files; batch jobs are for those who hold the lock, reading one is for all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bin = path / "bin"
        self.spool = path / "spool"
        self.log = path / "runners.log"
        self._jobs = path / "jobs"

    def make(self, config: Config) -> None:
        """A new fake scheduler, or the same one, changed."""
        for folder in (self.path, self.bin, self.spool, self._jobs):
            folder.mkdir(parents=True, exist_ok=True)
        _write(self.path / "config.json", vars(config))

    @property
    def config(self) -> Config:
        """What it is."""
        config: Config = from_json(Config, json.loads((self.path / "config.json").read_text()))
        return config

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else looks at or changes batch jobs meanwhile."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def jobs(self) -> list[BatchJob]:
        """All batch jobs, in the order of their submission."""
        return [self.read(number) for number in self._numbers()]

    def read(self, number: int) -> BatchJob:
        """One batch job."""
        job: BatchJob = from_json(BatchJob, json.loads((self._jobs / f"{number}.json").read_text()))
        return job

    def save(self, job: BatchJob) -> None:
        """Write one batch job."""
        _write(self._jobs / f"{job.number}.json", vars(job))

    def new_number(self) -> int:
        """The next batch job's."""
        return max(self._numbers(), default=self.config.first_id - 1) + 1

    def _numbers(self) -> list[int]:
        names = os.listdir(self._jobs)  # noqa: PTH208 - only names are wanted, of thousands
        return sorted(int(name[:-5]) for name in names if name.endswith(".json"))

    @property
    def faults(self) -> dict[str, str]:
        """The faults that are set in the folder, by their variables' names."""
        try:
            faults: dict[str, str] = json.loads((self.path / "faults.json").read_text())
        except FileNotFoundError:
            return {}
        return faults

    def set_faults(self, faults: Mapping[str, str]) -> None:
        """Play these faults, and no others that are set here."""
        _write(self.path / "faults.json", dict(faults))

    def note_call(self, words: Sequence[str]) -> None:
        """Remember that a command was run."""
        line = json.dumps({"at": time.time(), "words": list(words)}) + "\n"
        descriptor = os.open(self.path / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def calls(self) -> list[tuple[str, ...]]:
        """The commands that were run, in order."""
        try:
            lines = (self.path / "calls").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [tuple(json.loads(line)["words"]) for line in lines]


def _write(file: Path, values: Mapping[str, Any]) -> None:
    """Readers see the old text or the new one."""
    new = file.with_name(f"{file.name}.{os.getpid()}.new")
    new.write_text(json.dumps(values))
    new.rename(file)
