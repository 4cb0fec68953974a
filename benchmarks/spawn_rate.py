"""Measures how fast processes can be started: bare loops of several kinds, and our worker through its socket.

Each task is /bin/true with a working directory and an output file of its own, two at a time. The kinds run in turns,
so that a machine whose speed drifts drifts for all of them:

    python benchmarks/spawn_rate.py --jobs 3000 --rounds 5
"""

from __future__ import annotations

import _posixsubprocess  # the limit: what subprocess itself is built on
import argparse
import os
import select
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from balsam_core.launcher.messages import Bound, Ended, Need, Task
from balsam_core.launcher.spawner import Spawner
from balsam_core.launcher.worker_client import start_worker
from balsam_core.models.nodes import Node

SLOTS = 2
Start = Callable[[str, tuple[int, ...]], int]
CORES = sorted(os.sched_getaffinity(0))


def main() -> None:
    """Print a table: tasks per second, and their ratio to the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=3000, help="tasks per kind and round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--dir", type=Path, default=None, help="where the working directories are made")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="spawn_rate-", dir=options.dir))
    try:
        _print_table(_measure(_kinds(), root, options.jobs, options.rounds), options.jobs)
    finally:
        shutil.rmtree(root)


def _kinds() -> dict[str, Callable[[str, int], float]]:
    fork_exec, spawner, popen = _fork_exec(), _posix_spawn(), _popen
    return {
        "fork_exec loop (the limit)": lambda folder, jobs: _loop(fork_exec, folder, jobs, bind=False),
        "posix_spawn (our Spawner)": lambda folder, jobs: _loop(spawner, folder, jobs, bind=False),
        "posix_spawn, bound to a core": lambda folder, jobs: _loop(spawner, folder, jobs, bind=True),
        "subprocess.Popen": lambda folder, jobs: _loop(popen, folder, jobs, bind=False),
        "subprocess.Popen, bound to a core": lambda folder, jobs: _loop(popen, folder, jobs, bind=True),
        "worker through its socket": lambda folder, jobs: _worker(folder, jobs, bind=False),
        "worker, jobs bound to a core": lambda folder, jobs: _worker(folder, jobs, bind=True),
    }


def _measure(
    kinds: dict[str, Callable[[str, int], float]], root: Path, jobs: int, rounds: int
) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(rounds):
        names = list(kinds)
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            # Folders are removed at the end only: ext4 is slow to reuse inodes freed in the last seconds.
            folder = tempfile.mkdtemp(dir=root)
            rates[name].append(kinds[name](folder, jobs))
            os.chdir("/")
    return rates


def _print_table(rates: dict[str, list[float]], jobs: int) -> None:
    turns = list(rates.values())
    print(f"{jobs} x /bin/true, {SLOTS} at a time; median of {len(turns[0])} rounds, ratio of each round's pair")
    for name, values in rates.items():
        ratio = statistics.median(value / limit for value, limit in zip(values, turns[0], strict=True))
        print(f"{name:36s} {statistics.median(values):6.0f}/s  {ratio:5.2f}  {[round(value) for value in values]}")


def _loop(start: Start, folder: str, jobs: int, bind: bool) -> float:
    begin = time.perf_counter()
    started = ended = 0
    while ended < jobs:
        while started < jobs and started - ended < SLOTS:
            start(f"{folder}/{started}", (CORES[started % len(CORES)],) if bind else ())
            started += 1
        os.waitpid(-1, 0)
        ended += 1
    return jobs / (time.perf_counter() - begin)


def _fork_exec() -> Start:
    environment = [os.fsencode(f"{name}={value}") for name, value in os.environ.items()]
    null = os.open(os.devnull, os.O_RDONLY)
    errors_in, errors_out = os.pipe()

    def start(folder: str, cpus: tuple[int, ...]) -> int:
        descriptor = _open(folder)
        arguments: list[Any] = [[b"/bin/true"], [b"/bin/true"], False, (errors_out,), os.fsencode(folder), environment]
        arguments += [null, -1, -1, descriptor, -1, descriptor, errors_in, errors_out, True, False]
        arguments += [-1, None, None, None, -1, None, *_newest_arguments()]
        pid = _posixsubprocess.fork_exec(*arguments)
        os.close(descriptor)
        return pid

    return start


def _newest_arguments() -> list[Any]:
    import sys

    return [True] if sys.version_info >= (3, 11) else []


def _posix_spawn() -> Start:
    spawner = Spawner(os.environ)
    environment = spawner.environment({})

    def start(folder: str, cpus: tuple[int, ...]) -> int:
        pid = spawner.spawn(["/bin/true"], environment, folder, True, "job.out", Bound(cpus)).pid
        spawner.rest()
        return pid

    return start


def _popen(folder: str, cpus: tuple[int, ...]) -> int:
    descriptor = _open(folder)
    if cpus:
        os.sched_setaffinity(0, cpus)
    process = subprocess.Popen(
        ["/bin/true"],
        stdin=subprocess.DEVNULL,
        stdout=descriptor,
        stderr=descriptor,
        cwd=folder,
        env=os.environ,
        start_new_session=True,
    )
    if cpus:
        os.sched_setaffinity(0, CORES)
    os.close(descriptor)
    process.returncode = 0  # we reap it ourselves
    return process.pid


def _open(folder: str) -> int:
    Path(folder).mkdir()
    return os.open(f"{folder}/job.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def _worker(folder: str, jobs: int, bind: bool) -> float:
    """All tasks are handed over at once; the launcher's part here is only to count the ends."""
    node = Node("bench", "localhost", cpus=tuple(CORES) if bind else ())
    need = Need(packing=SLOTS)
    tasks = [Task(f"{n:036d}.1", ["/bin/true"], f"{folder}/{n}", "job.out", need=need) for n in range(jobs)]
    with start_worker(node, "benchmark", os.environ, journal_path=Path(folder) / "journal") as worker:
        worker.start([Task("warm-up", ["/bin/true"], folder, "job.out", need=need)])
        _count_ends(worker, 1)
        begin = time.perf_counter()
        worker.start(tasks)
        _count_ends(worker, jobs)
        return jobs / (time.perf_counter() - begin)


def _count_ends(worker: Any, count: int) -> None:
    while count:
        if not select.select([worker], [], [], 60)[0]:
            raise TimeoutError("the worker says nothing")
        for report in worker.receive():
            count -= isinstance(report, Ended)


if __name__ == "__main__":
    main()
