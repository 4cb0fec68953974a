"""Measures what the launcher's hot path costs, claim and report: `python benchmarks/state_report.py [JOBS]`."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from balsam_core.models.app import AppSpec
from balsam_core.models.job import JobSpec
from balsam_core.state.claims import Limits
from balsam_core.state.hosts import boot_id
from balsam_core.state.leases import LauncherInfo
from balsam_core.state.outcomes import End, RetryPolicy
from balsam_core.state.reports import Result, Start
from balsam_core.state.store import Store, create_store, sqlite_url


def main(count: int = 5_000) -> None:
    print(f"{'microseconds a job':24}{'claim CPU':>12}{'claim wall':>12}{'report CPU':>12}{'report wall':>12}")
    for batch in (1, 10, 100):
        with tempfile.TemporaryDirectory() as folder:
            store = create_store(sqlite_url(Path(folder) / "balsam.db"))
            _show(f"batches of {batch}", _costs(store, batch, count))


def _costs(store: Store, batch: int, count: int) -> list[float]:
    store.add_app(AppSpec(name="true", executable="/bin/true"))
    store.add_jobs([JobSpec(name=f"job{i}", workflow="bench", application="true") for i in range(count)])
    while store.advance():
        pass
    launcher = uuid4()
    store.register_launcher(
        LauncherInfo(launcher, "machine", boot_id(), "host", os.getpid(), 0.0, "serial", "", 1, 90.0)
    )
    clocks = [0.0, 0.0, 0.0, 0.0]
    for _ in range(count // batch):
        before = time.process_time(), time.perf_counter()
        claimed = store.claim(launcher, Limits(), lambda jobs: [job.job_id for job in jobs], page=batch)
        between = time.process_time(), time.perf_counter()
        now = time.time()
        starts = [Start(job.job_id, 1, now, "node1", 4711, 1.5) for job in claimed]
        results = [Result(job.job_id, 1, End.DONE, now, exit_code=0, seconds=0.1) for job in claimed]
        store.report(launcher, starts, results, RetryPolicy())
        after = time.process_time(), time.perf_counter()
        for place in (0, 1):
            clocks[place] += between[place] - before[place]
            clocks[place + 2] += after[place] - between[place]
    return [clock / count * 1e6 for clock in clocks]


def _show(what: str, costs: list[float]) -> None:
    print(f"{what:24}" + "".join(f"{cost:12.1f}" for cost in costs))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
