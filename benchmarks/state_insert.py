"""Measures how fast jobs go into a new SQLite site: `python benchmarks/state_insert.py [JOBS]`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from balsam_core.models.app import AppSpec
from balsam_core.models.job import JobSpec
from balsam_core.state.store import create_store, sqlite_url


def main(count: int = 100_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = create_store(sqlite_url(Path(folder) / "balsam.db"))
        store.add_app(AppSpec(name="true", executable="/bin/true"))
        specs: list[JobSpec] = []
        print(f"{'':34}{'wall s':>8}{'CPU s':>8}{'us/job':>8}")

        def measure(what: str, act: Callable[[], object]) -> None:
            wall, cpu = time.perf_counter(), time.process_time()
            act()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(f"{what:34}{wall:8.2f}{cpu:8.2f}{cpu / count * 1e6:8.1f}")

        measure(
            f"{count:,} JobSpecs",
            lambda: specs.extend(
                JobSpec(name=f"job{i}", workflow="bench", application="true", args=f"--index {i}") for i in range(count)
            ),
        )
        measure("Store.add_jobs", lambda: store.add_jobs(specs))
        measure("Store.count_by_state", store.count_by_state)
        measure("Store.advance, to PREPROCESSED", lambda: deque(iter(store.advance, 0), maxlen=0))
        measure("Store.advance, nothing to do", store.advance)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
