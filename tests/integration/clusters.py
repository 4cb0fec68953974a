"""A site on a cluster whose scheduler is a fake: what a user types there, and what becomes of it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, select

from balsam_core.opening import open_site
from balsam_core.site import Site
from balsam_core.state import postgres, sqlite
from balsam_core.state.tables import batch_jobs
from balsam_core.testing import FakeBatch
from balsam_core.testing.fake_batch.jobs import RUNNING
from tests.acceptance.runner import BALSAM, CommandLine
from tests.conftest import mpiexec

SECONDS = 120.0
LOGIN = "the-login-node"
# A machine's own names are its preset's; where it has no preset of use here, what a site would set.
PRESETS = {"cobalt": "theta", "pbs": "polaris"}
HOLD = "--sched-flags=-h"

# Theta's aprun, played by MPICH on this host.
_APRUN = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    -n) ranks=$2 ;;
    -N) each=$2 ;;
    -L) nodes=nid$(echo "$2" | sed s/,/,nid/g) ;;
    -d | -j | -cc | -e) ;;
    *) break ;;
    esac
    shift 2
done
exec MPIEXEC -rmk user -launcher fork -hosts "$nodes" -n "$ranks" -ppn "$each" "$@"
"""


class Cluster:
    """The login node of a cluster with the scheduler `name`; the site is made by `make_site` or `make_shared_site`."""

    def __init__(self, name: str, fake: FakeBatch, balsam: CommandLine, folder: Path) -> None:
        self.name = name
        self.fake = fake
        self.balsam = balsam
        self.folder = folder
        self.site = folder / "site"
        self.compute_machine = f"a-compute-node-of-{name}"
        self._patch = balsam.monkeypatch
        self._seconds_later = 0.0
        self._patch.chdir(folder)
        self._patch.setenv("BALSAM_MACHINE_ID", LOGIN)
        # Batch scripts take these with them.
        self._patch.setenv("BALSAM_LAUNCHER__STOP_GRACE_SECONDS", "2")

    def make_site(self) -> None:
        """A SQLite site, which is of use because the compute nodes of this cluster are its login node."""
        self.fake.configure(environ={"BALSAM_MACHINE_ID": LOGIN}, cluster=True)
        self._init()
        self._patch.setenv("BALSAM_SCHEDULER__NAME", self.name)
        self._patch.setenv("BALSAM_SCHEDULER__SAME_HOST", "true")

    def make_shared_site(self, url: str) -> None:
        """A site on a PostgreSQL server that compute nodes reach, with the preset of a machine of that scheduler."""
        self._init("--machine", PRESETS[self.name], "--database", url)
        environ = {"BALSAM_MACHINE_ID": self.compute_machine, "HYDRA_LAUNCHER": "fork"}
        if self.name == "cobalt":
            programs = self.folder / "programs"
            programs.mkdir()
            (programs / "aprun").write_text(_APRUN.replace("MPIEXEC", str(mpiexec())))
            (programs / "aprun").chmod(0o755)
            environ["PATH"] = f"{programs}:/usr/local/bin:/usr/bin:/bin"
        else:
            self._patch.setenv("BALSAM_MPI__NAME", "mpiexec")
        self.fake.configure(environ=environ)

    def scheduler_id(self, place: int = 0) -> str:
        """What the scheduler calls one of its batch jobs."""
        number = self.fake.jobs()[place].number
        return f"{number}.vm" if self.name == "pbs" else str(number)

    def app(self, name: str, script: str) -> None:
        """Add an application: a shell script."""
        file = self.folder / f"{name}.sh"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        self.balsam.ok("app", "--name", name, "--executable", str(file))

    def add(self, app: str, *names: str, workflow: str = "TEST") -> None:
        """Add jobs."""
        for name in names:
            self.balsam.ok("job", "--name", name, "--workflow", workflow, "--application", app, "--yes")

    def submit(self, *more: str) -> None:
        """Submit a batch job of one node."""
        self.balsam.ok("submit-launch", "-n", "1", "-t", "10", "-A", "datascience", "--job-mode", "serial", *more)

    def queues(self, seconds_later: float = 11.0) -> list[dict[str, Any]]:
        """The rows of `ls queues`, asked so many seconds later: schedulers are asked every ten seconds at most."""
        self._later(seconds_later)
        listed: list[dict[str, Any]] = self.balsam.ok("ls", "queues", "--history", "--json").json["queues"]
        return listed

    def launch_states(self, seconds_later: float = 11.0) -> list[str]:
        """Our records of the batch jobs."""
        return [row["state"] for row in self.queues(seconds_later)]

    def job_states(self, *filters: str) -> list[str]:
        """Where the jobs stand."""
        return [job["state"] for job in self.balsam.jobs(*filters)]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A `balsam` of its own, as a shell starts it."""
        environ = {**os.environ, "BALSAM_DB_PATH": str(self.site)}
        command = [str(BALSAM), *words]
        return subprocess.Popen(
            command, env=environ, cwd=self.site, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so."""
        until = time.monotonic() + SECONDS
        while not is_so():
            assert time.monotonic() < until, self._story()
            time.sleep(0.1)

    def wait_running(self) -> None:
        """Wait until the scheduler runs a batch job."""
        self.wait(lambda: RUNNING in [job.state for job in self.fake.jobs()])

    def output(self, number: int = 1) -> str:
        """What a batch job printed, as far as it can be read."""
        files = sorted((self.site / "qsubmit").glob(f"qlaunch{number}.*"))
        return "\n".join(file.read_text() for file in files if file.suffix in (".out", ".output", ".error"))

    def multiply(self, count: int) -> None:
        """Make so many of the one batch job, here and at the scheduler."""
        (first,) = self.fake.jobs()
        numbers = range(1, count)
        self.fake.add([replace(first, number=first.number + more) for more in numbers])
        store = open_site(Site(self.site), os.environ)
        with store.database.write() as tx:
            row = dict(tx.execute(select(batch_jobs)).one()._mapping)
            suffix = ".vm" if self.name == "pbs" else ""
            changed = [
                {"number": 1 + more, "launch_id": uuid4(), "tag": f"ql{1 + more}-00000000"}
                | {"state": "RUNNING", "scheduler_id": f"{first.number + more}{suffix}"}
                for more in numbers
            ]
            tx.execute(insert(batch_jobs), [{**row, **fields} for fields in changed])
        store.database.close()

    def _init(self, *words: str) -> None:
        self.balsam.ok("init", str(self.site), *words)
        self._patch.chdir(self.site)

    def _later(self, seconds: float) -> None:
        """Move the clock of leases and polls in this process; launchers keep theirs."""
        self._seconds_later += seconds
        later = self._seconds_later
        for kind in (sqlite.SqliteDatabase, postgres.PostgresDatabase):
            real = _REAL_CLOCKS[kind]
            self._patch.setattr(kind, "lease_clock", lambda self, tx, real=real: real(self, tx) + later)

    def _story(self) -> str:
        """All that is known, for a failed test."""
        spooled = [file.read_text(errors="replace") for file in (self.fake.path / "spool").glob("*.output")]
        runners = (self.fake.path / "runners.log").read_text() if self.fake.jobs() else ""
        return "\n".join([str(self.fake.jobs()), str(self.fake.calls()), runners, *spooled, self.output()])


_REAL_CLOCKS: dict[Any, Callable[..., float]] = {
    kind: kind.lease_clock for kind in (sqlite.SqliteDatabase, postgres.PostgresDatabase)
}


def make_cluster(request: pytest.FixtureRequest, name: str) -> Cluster:
    """The cluster with that scheduler."""
    command_line = CommandLine(request.getfixturevalue("monkeypatch"), request.getfixturevalue("capsys"))
    fake = request.getfixturevalue(f"fake_{name}")
    return Cluster(name, fake, command_line, request.getfixturevalue("tmp_path"))
