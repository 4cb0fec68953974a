"""How much memory the master takes while it works off ever more jobs: flat, or growing.

The real loop and store of `master_scaling.py`, with workers whose jobs are timers of no length. Its memory (RSS) is
printed after every tenth of the jobs; the database is filled before, by another process.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from master_scaling import SimulatedWorkers, _add_jobs, _loop

from balsam_core.launcher.loop import Loop
from balsam_core.launcher.messages import Report
from balsam_core.models.app import AppSpec
from balsam_core.models.nodes import Node
from balsam_core.state.store import create_store, open_store, sqlite_url

_NODES, _SLOTS, _JOB_SECONDS = 64, 64, 0.5


class ForgetfulWorkers(SimulatedWorkers):
    """Keeps no list of what has ended, which would grow."""

    def receive(self) -> list[Report]:
        self.ended.clear()
        return super().receive()


def fill(file: Path, jobs: int) -> None:
    """Put so many jobs into a new database."""
    store = create_store(sqlite_url(file))
    store.add_app(AppSpec(name="timer", executable="/bin/true"))
    _add_jobs(store, jobs, _SLOTS)
    store.database.close()


def work(file: Path, jobs: int) -> list[tuple[int, float]]:
    """Work them off; (jobs done, MiB) at every tenth."""
    gc.set_threshold(50_000)
    store = open_store(sqlite_url(file))
    loop = _loop(store, file.parent, [Node(f"n{n}", f"n{n}") for n in range(_NODES)], _workers())
    seen: list[tuple[int, float]] = []
    began = time.monotonic()

    def show(loop: Loop) -> None:
        if loop.tally.done >= (len(seen) + 1) * jobs // 10:
            seen.append((loop.tally.done, psutil.Process().memory_info().rss / 2**20))
            rate = loop.tally.done / (time.monotonic() - began)
            print(f"{seen[-1][0]:9d} jobs done  {seen[-1][1]:7.1f} MiB  {rate:6.0f} jobs/s", flush=True)

    loop.show = show
    loop.run()
    return seen


def main() -> None:
    """Print the memory at each tenth, and the last as a part of the second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--fill", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        fill(Path(options.fill), options.jobs)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "balsam.db"
        subprocess.run([sys.executable, __file__, "--jobs", str(options.jobs), "--fill", str(file)], check=True)
        seen = work(file, options.jobs)
    print(f"at the end {seen[-1][1] / seen[1][1]:.2f} of what it was after a fifth")


def _workers() -> ForgetfulWorkers:
    return ForgetfulWorkers(_NODES, _SLOTS, _JOB_SECONDS)


if __name__ == "__main__":
    main()
