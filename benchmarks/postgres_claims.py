"""How many jobs per second 1, 2, 4 and 8 launchers claim, start and finish side by side on one PostgreSQL site.

Each launcher is a process with the real store: it claims 50 at a time, reports their starts, then their ends. No job
is really run, so that the database is what is measured. Afterwards every job must have been run once, by somebody.
How much of the machine's CPU was busy meanwhile tells where more launchers cannot help.

    python benchmarks/postgres_claims.py postgresql://USER@HOST/DATABASE   (an empty database, on which a site is made)
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing import get_context
from uuid import UUID, uuid4

import psutil

from balsam_core.models.app import AppSpec
from balsam_core.models.job import Job, JobSpec
from balsam_core.state.claims import Limits
from balsam_core.state.hosts import boot_id, process_clock
from balsam_core.state.leases import LauncherInfo
from balsam_core.state.machine import State
from balsam_core.state.outcomes import End, RetryPolicy
from balsam_core.state.reports import Result, Start
from balsam_core.state.store import create_store, open_store

_AT_A_TIME = 50
_forked = get_context("fork")


def main() -> None:
    """Print a table of the medians of all rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--jobs", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    store = create_store(options.url)
    store.add_app(AppSpec(name="none", executable="/bin/true"))
    store.database.close()
    rates: dict[int, list[float]] = {1: [], 2: [], 4: [], 8: []}
    for number in range(options.rounds):
        for launchers, measured in rates.items():
            rate, busy = _rate(options.url, launchers, options.jobs, f"round{number}-{launchers}")
            measured.append(rate)
            print(f"round {number + 1}  {launchers} launchers  {rate:8.0f} jobs/s  CPU {busy:4.0%} busy", flush=True)
    alone = statistics.median(rates[1])
    for launchers, measured in rates.items():
        median = statistics.median(measured)
        print(f"median   {launchers} launchers  {median:8.0f} jobs/s  {median / alone:.2f} of one")


def _rate(url: str, launchers: int, jobs: int, workflow: str) -> tuple[float, float]:
    """Jobs per second, and the share of all cores' time that was not idle."""
    store = open_store(url)
    ids = store.add_jobs([JobSpec(name=f"j{n}", workflow=workflow, application="none") for n in range(jobs)])
    while store.advance():
        pass
    store.database.close()
    workers = [_forked.Process(target=_work, args=(url, workflow)) for _ in range(launchers)]
    psutil.cpu_percent()
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - began
    busy = psutil.cpu_percent() / 100
    _check(url, ids)
    return jobs / seconds, busy


def _work(url: str, workflow: str) -> None:
    store = open_store(url)
    launcher = uuid4()
    pid = os.getpid()
    clock = process_clock(pid) or 0.0
    store.register_launcher(
        LauncherInfo(launcher, "machine", boot_id(), "host", pid, clock, "serial", workflow, 1, 90.0)
    )
    limits = Limits(workflow=workflow)
    while jobs := store.claim(launcher, limits, _first, page=2 * _AT_A_TIME):
        now = time.time()
        starts = [Start(job.job_id, job.attempt + 1, now, "n1", pid, clock) for job in jobs]
        store.report(launcher, starts, [], RetryPolicy())
        ends = [Result(job.job_id, job.attempt + 1, End.DONE, now, 0, 0.0) for job in jobs]
        store.report(launcher, [], ends, RetryPolicy())
    store.end_launcher(launcher, "nothing more can run")


def _first(jobs: Sequence[Job]) -> list[UUID]:
    return [job.job_id for job in jobs[:_AT_A_TIME]]


def _check(url: str, ids: Sequence[UUID]) -> None:
    store = open_store(url)
    starts = Counter(event.job_id for event in store.history(ids) if event.to_state == State.RUNNING)
    finished = [job.job_id for job in store.jobs() if job.state is State.JOB_FINISHED and job.job_id in starts]
    assert starts == Counter(ids), "a job was started twice or never"
    assert len(finished) == len(ids), f"{len(finished)} of {len(ids)} jobs finished"
    store.database.close()


if __name__ == "__main__":
    main()
