"""How many no-op jobs per second the serial mode works off, against the plain limit of starting processes.

Each job is `/bin/true` with its own working directory and output file, two at a time. Measured alternately in one run:

    limit     a Python loop over os.posix_spawn with mkdir and open: what this machine can do at all
    balsam    a site on SQLite with full history, from the first start to the last JOB_FINISHED
    postgres  the same on PostgreSQL, when `--postgresql URL` names a server on which databases may be made
    parallel  GNU parallel, when it is installed
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from sqlalchemy import make_url

from balsam_core.models.app import AppSpec
from balsam_core.models.job import JobSpec
from balsam_core.state.machine import State
from balsam_core.state.store import open_store, sqlite_url

AT_ONCE = 2
_TRUE = "/bin/true"


def limit(folder: Path, jobs: int) -> float:
    """Jobs per second of the bare loop."""
    began = time.perf_counter()
    running = 0
    for number in range(jobs):
        if running == AT_ONCE:
            os.wait()
            running -= 1
        workdir = folder / f"j{number}"
        workdir.mkdir()
        output = os.open(workdir / "out", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        os.posix_spawn(_TRUE, [_TRUE], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, output, 1)])
        os.close(output)
        running += 1
    for _ in range(running):
        os.wait()
    return jobs / (time.perf_counter() - began)


def balsam(folder: Path, jobs: int) -> float:
    """Jobs per second of one launcher, from the history of the site."""
    return _on_site(folder, jobs, sqlite_url(folder / "site" / "balsam.db"), "sqlite")


def on_postgresql(server: str) -> Callable[[Path, int], float]:
    """As `balsam`, with a new database on that server for each round."""

    def measured(folder: Path, jobs: int) -> float:
        import psycopg

        name = f"bench_{uuid4().hex[:8]}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        url = make_url(server).set(database=name).render_as_string(hide_password=False)
        return _on_site(folder, jobs, url, url)

    return measured


def _on_site(folder: Path, jobs: int, url: str, database: str) -> float:
    site = folder / "site"
    _run("init", str(site), "--database", database, site=None)
    store = open_store(url)
    store.add_app(AppSpec(name="true", executable=_TRUE))
    specs = [
        JobSpec(name=f"j{n}", workflow="bench", application="true", node_packing_count=AT_ONCE) for n in range(jobs)
    ]
    ids = store.add_jobs(specs)
    store.database.close()
    _run("launcher", "--consume-all", "--job-mode", "serial", site=site)
    events = open_store(url).history(ids)
    starts = [event.at for event in events if event.to_state == State.RUNNING]
    ends = [event.at for event in events if event.to_state == State.JOB_FINISHED]
    assert len(ends) == jobs, f"{len(ends)} of {jobs} jobs finished"
    return jobs / (max(ends) - min(starts))


def parallel(folder: Path, jobs: int) -> float:
    """Jobs per second of GNU parallel on the same work."""
    command = f"mkdir {folder}/j{{}} && cd {folder}/j{{}} && {_TRUE} > out"
    began = time.perf_counter()
    lines = "\n".join(map(str, range(jobs)))
    subprocess.run(["parallel", f"-j{AT_ONCE}", command], input=lines, text=True, check=True, timeout=600)
    return jobs / (time.perf_counter() - began)


def main() -> None:
    """Print a table of all rounds, and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", help="where to work, such as a tmpfs; the default is the temporary folder")
    parser.add_argument("--postgresql", metavar="URL", help="postgresql://USER@HOST:PORT/postgres")
    options = parser.parse_args()
    contenders: dict[str, Callable[[Path, int], float]] = {"limit": limit, "balsam": balsam}
    if options.postgresql:
        contenders["postgres"] = on_postgresql(options.postgresql)
    if shutil.which("parallel"):
        contenders["parallel"] = parallel
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    # Nothing is deleted before the end: for a minute ext4 searches past every inode that was freed.
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        for number in range(options.rounds):
            for name, contender in contenders.items():
                # GNU parallel is ten times slower: a tenth of the jobs says enough.
                jobs = options.jobs // 10 if name == "parallel" else options.jobs
                place = Path(folder) / f"{name}-{number}"
                place.mkdir()
                rates[name].append(contender(place, jobs))
                print(f"round {number + 1}  {name:9s} {rates[name][-1]:8.0f} jobs/s", flush=True)
    for name, measured in rates.items():
        median = statistics.median(measured)
        print(f"median   {name:9s} {median:8.0f} jobs/s  {median / statistics.median(rates['limit']):.2f} of the limit")


def _run(*words: str, site: Path | None) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("BALSAM_")}
    if site is not None:
        environ["BALSAM_DB_PATH"] = str(site)
    balsam_command = Path(sys.executable).parent / "balsam"
    subprocess.run([balsam_command, *words], env=environ, check=True, timeout=600)


if __name__ == "__main__":
    main()
