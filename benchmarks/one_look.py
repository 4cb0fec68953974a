"""Measures what a look of `balsam top` takes, by its filter: `python benchmarks/one_look.py [JOBS]`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from balsam_core.models.app import AppSpec
from balsam_core.models.job import JobSpec
from balsam_core.monitoring.reading import Watch
from balsam_core.monitoring.snapshot import View
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import State
from balsam_core.state.store import Store, create_store, sqlite_url

_ADDED_AT_ONCE = 50_000
_LOOKS = 3


def main(count: int = 1_000_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = create_store(sqlite_url(Path(folder) / "balsam.db"))
        _fill(store, count)
        views = {
            "all jobs": View(),
            "the last page": View(offset=count - 100),
            "one workflow": View(JobFilter(workflow="wf3")),
            "workflows by *": View(JobFilter(workflow="wf*")),
            "one state": View(JobFilter(states=(State.RUNNING,))),
            "a part of a name": View(JobFilter(name="b_777")),
            "a tag": View(JobFilter(tags={"kind": "scan"})),
        }
        print(f"{f'{count:,} jobs, seconds':26}{'changed':>9}{'unchanged':>11}")
        for what, view in views.items():
            watch = Watch(store, "machine")
            changed = min(_look(watch, view, anew=True) for _ in range(_LOOKS))
            print(f"{what:26}{changed:9.3f}{_look(watch, view, anew=False):11.3f}")


def _fill(store: Store, count: int) -> None:
    for name in ("simulate", "analyse"):
        store.add_app(AppSpec(name=name, executable="/bin/true"))
    for first in range(0, count, _ADDED_AT_ONCE):
        numbers = range(first, min(first + _ADDED_AT_ONCE, count))
        apps = ("simulate", "analyse")
        store.add_jobs([JobSpec(name=f"job_{i}", workflow=f"wf{i % 10}", application=apps[i % 2]) for i in numbers])
    # By hand, past the history: what a look reads of it is the newest events.
    with store.database.write() as tx:
        tx.exec_driver_sql("UPDATE jobs SET state = 'JOB_FINISHED' WHERE seq / 10 % 10 < 6")
        tx.exec_driver_sql("UPDATE jobs SET state = 'FAILED' WHERE seq / 10 % 10 = 6")
        tx.exec_driver_sql("UPDATE jobs SET state = 'RUNNING' WHERE seq / 10 % 100 = 7")


def _look(watch: Watch, view: View, *, anew: bool) -> float:
    if anew:
        watch.forget()
    began = time.perf_counter()
    watch.look(view)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
