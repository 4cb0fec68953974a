"""Runs the installed `balsam launcher` on a temporary site, and looks at what became of the jobs."""

from __future__ import annotations

import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from balsam_core.models.app import AppSpec
from balsam_core.models.job import JobSpec
from balsam_core.site import create_site
from balsam_core.state.machine import END
from balsam_core.state.store import Store
from balsam_core.workdirs import Workdirs
from tests.helpers import temporary_store

BALSAM = str(Path(sys.executable).with_name("balsam"))
PLAIN = ["CREATED", "PREPROCESSED", "RUNNING", "RUN_DONE", "JOB_FINISHED"]
# Every test waits at most so long for anything.
SECONDS = 90.0


class Site:
    """A site with the applications `sh` (a shell script as its argument) and `true`.

    On SQLite; where `temporary_store` makes PostgreSQL databases, on one of those.
    """

    def __init__(self, folder: Path) -> None:
        stores: list[Store] = []
        self.folder = folder / "site"
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("BALSAM_")}
        self.environ.update(
            HOME=str(folder),
            BALSAM_DB_PATH=str(self.folder),
            BALSAM_LAUNCHER__LEASE_SECONDS="3",
            BALSAM_LAUNCHER__STOP_GRACE_SECONDS="1",
        )
        create_site(self.folder, lambda site: stores.append(temporary_store(site.path)), self.environ)
        self.store = stores[0]
        if self.store.database.serves_many_hosts:
            self.environ["BALSAM_SITE__DATABASE"] = self.store.database.url.render_as_string(False)
        self.app("sh", "/bin/sh -c")
        self.launchers: list[Launcher] = []

    def app(self, name: str, executable: str, **fields: str) -> None:
        """Add an application."""
        self.store.add_app(AppSpec(name=name, executable=executable, **fields))

    def program(self, name: str, text: str) -> str:
        """Write a Python program; the command that runs it."""
        file = self.folder / name
        file.write_text(text)
        return f"{sys.executable} {file}"

    def shell(self, name: str, text: str) -> str:
        """Write an executable shell script; its path."""
        file = self.folder / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        return str(file)

    def add(self, name: str = "job", script: str | None = None, **fields: Any) -> UUID:
        """Add a job that runs `script`, else one of the application `true`; its id."""
        if script is not None:
            fields = {"application": "sh", "args": shlex.quote(script), **fields}
        return self.store.add_jobs([JobSpec(**{"name": name, "workflow": "test", "application": "true", **fields})])[0]

    def add_many(self, count: int, script: str, **fields: Any) -> list[UUID]:
        """Add jobs that differ by their name only."""
        args = {"workflow": "test", "application": "sh", "args": shlex.quote(script), **fields}
        return self.store.add_jobs([JobSpec(**{"name": f"job{number}", **args}) for number in range(count)])

    def start(self, *options: str, mode: str = "serial", prefix: Sequence[str] = (), **environ: str) -> Launcher:
        """A launcher in the background, by a command that `prefix` begins; what it writes goes to a file."""
        choice = [] if any(option.startswith("--wf-filter") for option in options) else ["--consume-all"]
        argv = [*prefix, BALSAM, "launcher", *choice, "--job-mode", mode, *options]
        output = self.folder / f"launcher{len(self.launchers)}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(argv, stderr=file, stdout=file, cwd=self.folder, env={**self.environ, **environ})
        self.launchers.append(Launcher(process, output))
        return self.launchers[-1]

    def run(self, *options: str, mode: str = "serial", seconds: float = SECONDS, **environ: str) -> Launcher:
        """A launcher that ended with exit code 0."""
        launcher = self.start(*options, mode=mode, **environ)
        assert launcher.wait(seconds) == 0, launcher.text
        return launcher

    def balsam(self, *words: str, prefix: Sequence[str] = ()) -> str:
        """What another command prints, by a command that `prefix` begins; it succeeds."""
        done = subprocess.run(
            [*prefix, BALSAM, *words], env=self.environ, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self, job_id: UUID) -> str:
        return str(self.store.job(job_id).state)

    def states(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return {str(state): count for state, count in self.store.count_by_state().items()}

    def history(self, job_id: UUID) -> list[str]:
        """The states that a job went through."""
        return [event.to_state for event in self.store.history([job_id])]

    def message(self, job_id: UUID, state: str) -> str:
        """The message of a job's last move to that state."""
        return [str(event.message) for event in self.store.history([job_id]) if event.to_state == state][-1]

    def workdir(self, job_id: UUID) -> Path:
        return Workdirs(self.folder / "data").of(self.store.job(job_id))

    def output(self, job_id: UUID) -> str:
        """What a job printed; nothing when it has not begun."""
        file = Workdirs(self.folder / "data").output_of(self.store.job(job_id))
        return file.read_text() if file.exists() else ""

    def wait_state(self, job_id: UUID, *states: str, seconds: float = SECONDS) -> str:
        """Wait until the job is in one of the states."""
        wait_until(lambda: self.state(job_id) in states, seconds, lambda: self.story(job_id))
        return self.state(job_id)

    def wait_output(self, job_id: UUID, words: str = "\n", seconds: float = SECONDS) -> str:
        """Wait until the job has printed that."""
        wait_until(lambda: words in self.output(job_id), seconds, lambda: self.story(job_id))
        return self.output(job_id)

    def wait_all_ended(self, seconds: float = SECONDS) -> None:
        """Wait until every job is in a state that nothing follows."""
        ends = {str(state) for state in END}
        wait_until(lambda: self.states().keys() <= ends, seconds, lambda: str(self.states()))

    def story(self, job_id: UUID) -> str:
        """All that is known of a job, for a failed test."""
        events = "\n".join(f"{row.attempt} {row.to_state} {row.message}" for row in self.store.history([job_id]))
        logs = "\n".join(launcher.text for launcher in self.launchers)
        return f"{events}\n{self.output(job_id)}\n{logs}"

    def close(self) -> None:
        """End every launcher that still lives, by its own pid; its worker ends with it."""
        for launcher in self.launchers:
            if launcher.process.poll() is None:
                launcher.process.kill()
                launcher.process.send_signal(signal.SIGCONT)
                launcher.process.wait(SECONDS)
        self.store.database.close()


class Launcher:
    """A `balsam launcher` of a test."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output
        self._seen = 0

    @property
    def text(self) -> str:
        """What it has written so far."""
        return self._output.read_text()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def worker(self) -> psutil.Process:
        """Its worker process."""
        found: list[psutil.Process] = []

        def is_there() -> bool:
            children = psutil.Process(self.pid).children()
            found[:] = [one for one in children if "worker" in " ".join(one.cmdline())]
            return bool(found)

        wait_until(is_there)
        return found[0]

    def send(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    def wait(self, seconds: float = SECONDS) -> int:
        """Its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the launcher still runs after {seconds:g} s\n{self.text}") from None

    def wait_started(self) -> Launcher:
        """Wait until it works."""
        wait_until(lambda: "launcher started" in self.text, SECONDS, lambda: self.text)
        return self


@contextmanager
def temporary_site(folder: Path) -> Iterator[Site]:
    """A site whose launchers have ended afterwards."""
    site = Site(folder)
    try:
        yield site
    finally:
        site.close()


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Another program writes to the database all the while."""
    with closing(sqlite3.connect(site.store.database.name, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def wait_until(
    is_so: Callable[[], bool], seconds: float = SECONDS, explain: Callable[[], str] = lambda: "waited too long"
) -> float:
    """Wait for a condition; how long it took."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() < began + seconds, explain()
        time.sleep(0.02)
    return time.monotonic() - began


def is_alive(pid: int) -> bool:
    """Whether the process runs."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(mark: str) -> list[int]:
    """The processes whose environment holds MARK=`mark`: jobs of this test and all that they started."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.environ().get("MARK") == mark and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one.pid)
        except psutil.Error:
            continue
    return found


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """How many of these (start, stop) overlap at the worst moment."""
    moments = sorted([(start, 1) for start, _ in spans] + [(stop, -1) for _, stop in spans])
    running = worst = 0
    for _, change in moments:
        running += change
        worst = max(worst, running)
    return worst
