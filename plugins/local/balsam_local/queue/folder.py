"""The folder of a queue: a file for each batch job, two locks, and a pipe that wakes the runner.

active/7.json   waits or runs
ended/6.json    is over; the last 1,000 to end are kept
lock            held while anything here is looked at or changed
runner          held by the runner for as long as it lives; holds its pid
wake            a named pipe: a byte says that something changed
machine         whose processes the pids are
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from balsam_local.queue.errors import QueueUnavailable
from balsam_local.queue.jobs import BatchJob, State, from_json

MOST_ENDED = 1000
_MACHINE_ID = Path("/etc/machine-id")


class Folder:
    """A queue's files. All but `locked`, `make` and `wake_up` are for those who hold the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._active = path / "active"
        self._ended = path / "ended"
        self._runner = path / "runner"
        self._wake = path / "wake"

    def make(self) -> None:
        """What is missing; raises QueueUnavailable when others may enter."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.stat().st_mode & 0o077:
            raise QueueUnavailable(f"{self.path} is open to other users; chmod 700 it, or set [local] queue_path")
        self._active.mkdir(mode=0o700, exist_ok=True)
        self._ended.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._wake, 0o600)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else looks at or changes the queue meanwhile; the lock ends with the process, however it ends."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._check_machine()
            yield
        finally:
            os.close(descriptor)

    # ---- batch jobs ----

    def active(self) -> list[int]:
        """The ids of all that wait or run, in the order of their submission."""
        return _ids(self._active)

    def ended(self) -> list[int]:
        """The ids of all that are over and not forgotten."""
        return _ids(self._ended)

    def new_id(self) -> int:
        """One more than any so far."""
        return max([0, *self.active(), *self.ended()]) + 1

    def read(self, job_id: int) -> BatchJob | None:
        """The batch job of that id; None: there is none."""
        for folder in (self._active, self._ended):
            with contextlib.suppress(FileNotFoundError):
                return from_json(job_id, _file(folder, job_id).read_text(errors="replace"))
        return None

    def save(self, job: BatchJob) -> None:
        """Write a batch job that is not over; a crash leaves the old file or the new one."""
        _write(_file(self._active, job.id), job.to_json())

    def end(self, job: BatchJob, state: State, reason: str = "") -> None:
        """Write that a batch job is over, and put it away; after a crash in between, `settle` does the rest."""
        self.save(replace(job, state=state, reason=reason, environ={}, ended_at=time.time()))
        self.settle(job.id)

    def settle(self, job_id: int) -> None:
        """Put away a batch job whose file says that it is over."""
        _file(self._active, job_id).rename(_file(self._ended, job_id))
        self._forget()

    # ---- the runner ----

    def take_runner(self) -> int | None:
        """The descriptor that holds the runner's lock: whoever has it open is the runner; None: one lives."""
        descriptor = os.open(self._runner, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def is_runner(self, descriptor: int) -> bool:
        """Whether that descriptor is still of the lock in this folder, and the folder no other of the same name."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._runner.stat())
        except FileNotFoundError:
            return False

    def open_wake(self) -> int:
        """The end of the pipe that the runner reads; it also holds the other end, so that there is never an end."""
        return os.open(self._wake, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def wake_up(self) -> None:
        """Tell the runner that something changed; one that just begins looks by itself."""
        try:
            descriptor = os.open(self._wake, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads
                return
            raise
        try:
            with contextlib.suppress(BlockingIOError):  # full: it will wake anyway
                os.write(descriptor, b"\n")
        finally:
            os.close(descriptor)

    def _check_machine(self) -> None:
        """Take an idle queue over to this host; one that is busy on another host is refused."""
        file = self.path / "machine"
        mine = f"{_machine_id()}\n{platform.node()}\n"
        try:
            known = file.read_text()
        except FileNotFoundError:
            known = ""
        if known.partition("\n")[0] == _machine_id():
            return
        if known and self.active():
            host = known.split("\n")[1]
            raise QueueUnavailable(
                f"the queue {self.path} runs batch jobs on {host}; go there, or set another [local] queue_path"
            )
        _write(file, mine)

    def _forget(self) -> None:
        """Only the last to end are kept, and the newest id, from which ids count on."""
        ids = self.ended()
        if len(ids) > MOST_ENDED:
            by_age = sorted(ids, key=lambda job_id: _file(self._ended, job_id).stat().st_mtime_ns)
            for job_id in by_age[: len(ids) - MOST_ENDED]:
                if job_id != ids[-1]:
                    _file(self._ended, job_id).unlink()


def _machine_id() -> str:
    try:
        return _MACHINE_ID.read_text().strip() or platform.node()
    except OSError:
        return platform.node()


def _file(folder: Path, job_id: int) -> Path:
    return folder / f"{job_id}.json"


def _ids(folder: Path) -> list[int]:
    names = (name.partition(".json") for name in os.listdir(folder))  # noqa: PTH208 - only names are wanted
    return sorted(int(stem) for stem, suffix, rest in names if suffix and not rest and stem.isdecimal())


def _write(file: Path, text: str) -> None:
    """The file is the old one or the new one, whenever the power fails."""
    new = file.with_name(f"{file.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    new.rename(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
