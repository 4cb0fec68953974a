"""Measures a claim among many jobs of an SQLite site: `python benchmarks/state_claim.py [JOBS]`.

Of ten jobs, three are runnable and fit; the others are too long, too large, held, or finished, and the unfit ones are
the urgent ones: the claim meets them first.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

from balsam_core.models.app import AppSpec
from balsam_core.models.job import JobSpec
from balsam_core.state.claims import Limits
from balsam_core.state.filters import JobFilter
from balsam_core.state.hosts import boot_id
from balsam_core.state.leases import LauncherInfo
from balsam_core.state.store import Store, create_store, sqlite_url

_ROUNDS = 20


def main(count: int = 1_000_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = create_store(sqlite_url(Path(folder) / "balsam.db"))
        began = time.perf_counter()
        _fill(store, count)
        print(f"{count:,} jobs made in {time.perf_counter() - began:.0f} s\n")
        launcher = uuid4()
        store.register_launcher(
            LauncherInfo(launcher, "machine", boot_id(), "host", os.getpid(), 0.0, "serial", "", 1, 90.0)
        )
        print(f"{'milliseconds':44}{'median':>9}{'worst':>9}{'CPU':>9}")
        for what, limits in (
            ("claim of 100", Limits(minutes_left=60.0)),
            ("claim of 100, --wf-filter small", Limits(workflow="small", minutes_left=60.0)),
            ("claim of 100, --wf-filter 'sm*'", Limits(workflow="sm*", minutes_left=60.0)),
            ("claim of 100, mpi mode on 4 nodes", Limits(max_nodes=4, serial=False, minutes_left=60.0)),
            ("claim of none, --wf-filter nobody", Limits(workflow="nobody")),
        ):
            _measure(what, lambda limits=limits: _claim(store, launcher, limits))  # type: ignore[misc]
        _measure("count by state", store.count_by_state, rounds=3)
        _measure("count by state, --wf small", lambda: store.count_by_state(JobFilter(workflow="small")), rounds=3)
        _measure("count by workflow", store.count_by_workflow, rounds=3)
        _measure("advance, nothing to do", store.advance, rounds=3)


def _fill(store: Store, count: int) -> None:
    # Ten kinds of jobs go in through the front door; SQL makes the many out of them.
    store.add_app(AppSpec(name="true", executable="/bin/true"))
    store.add_jobs(
        [
            JobSpec(
                name="seed",
                workflow="small" if kind == 0 else "large",
                application="true",
                wall_time_minutes=600 if kind == 1 else None,
                num_nodes=8 if kind == 2 else 1,
                ranks_per_node=2 if kind == 3 else 1,
                hold=kind == 4,
                priority=kind in (1, 2, 3),
            )
            for kind in range(10)
        ]
    )
    while store.advance():
        pass
    with store.database.write() as tx:
        columns = [row[1] for row in tx.exec_driver_sql("PRAGMA table_info(jobs)")]
        values = {
            "seq": "NULL",
            "job_id": "lower(hex(randomblob(16)))",
            "folder": "'bench/' || seq || '/' || n",
            "state": "CASE WHEN seq > 6 THEN 'JOB_FINISHED' ELSE state END",
        }
        wanted = ", ".join(values.get(column, column) for column in columns)
        tx.exec_driver_sql(
            f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count // 10}) "
            f"INSERT INTO jobs ({', '.join(columns)}) SELECT {wanted} FROM jobs JOIN numbers"
        )


def _claim(store: Store, launcher: UUID, limits: Limits) -> None:
    claimed = store.claim(launcher, limits, lambda jobs: [job.job_id for job in jobs], page=100)
    assert len(claimed) in {0, 100}


def _measure(what: str, act: Callable[[], object], rounds: int = _ROUNDS) -> None:
    walls, cpu = [], time.process_time()
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        walls.append((time.perf_counter() - began) * 1e3)
    cpu = (time.process_time() - cpu) / rounds * 1e3
    print(f"{what:44}{statistics.median(walls):9.1f}{max(walls):9.1f}{cpu:9.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
