"""How many jobs per second one master keeps going, from 16 to 4,096 simulated workers.

The master is the real one: `Loop`, `SerialMode` and the store on SQLite. The workers are simulated in its process: a
job is a timer. Jobs last so long that all slots together ask for `--demand` jobs per second, 4,400 unless said
otherwise: what 4,096 nodes of 64 slots ask for with jobs of 60 s. Reported after all slots were full once:

    jobs/s    how many jobs ended, from their claim to their recorded result
    master    the processor time of the master, without that of the simulation, as a part of one core
    p50, p99  milliseconds from the moment a job ends until the master takes the message, in a turn of its loop
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import selectors
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from heapq import heappop, heappush
from pathlib import Path
from uuid import uuid4

from balsam_core.launcher.loop import Loop, Rules
from balsam_core.launcher.master import NoTransitions
from balsam_core.launcher.messages import Ended, How, Recalled, Report, Started, Task
from balsam_core.launcher.modes import SerialMode
from balsam_core.models.app import AppSpec
from balsam_core.models.job import JobSpec
from balsam_core.models.nodes import Node
from balsam_core.plugins import Command
from balsam_core.state.hosts import boot_clock, boot_id, hostname
from balsam_core.state.leases import LauncherInfo
from balsam_core.state.outcomes import RetryPolicy
from balsam_core.state.store import Store, create_store, sqlite_url
from balsam_core.workdirs import Workdirs

_INSERTED_AT_ONCE = 20_000


class SimulatedWorkers:
    """Workers whose jobs are timers; satisfies `loop.Workers`."""

    def __init__(self, nodes: int, slots: int, job_seconds: float) -> None:
        self._free = [slots] * nodes
        self._waiting: list[deque[str]] = [deque() for _ in range(nodes)]
        self._node: dict[str, int] = {}
        self._timers: list[tuple[float, str]] = []
        self._reports: list[Report] = []
        self._recalled: set[str] = set()
        self._job_seconds = job_seconds
        self._chance = random.Random(1)
        self._descriptor = os.eventfd(0)
        self.ended: list[tuple[float, float]] = []
        self.own_seconds = 0.0

    def fileno(self) -> int:
        return self._descriptor

    def wait(self, selector: selectors.BaseSelector, seconds: float) -> None:
        until_next = self._timers[0][0] - time.monotonic() if self._timers else seconds
        selector.select(0 if self._reports else max(min(seconds, until_next), 0))

    def start(self, tasks: Iterable[Task]) -> None:
        began = time.thread_time()
        for task in tasks:
            self._node[task.key] = task.node
            self._waiting[task.node].append(task.key)
            self._begin(task.node)
        self.own_seconds += time.thread_time() - began

    def kill(self, keys: Iterable[str], grace_seconds: float) -> None:
        self._timers.clear()
        self._reports += [Ended(key, -15, How.KILLED, 0.0, "") for key in keys]

    def stop_with(self, key: str, request: Command, force: Command) -> None:
        raise AssertionError("serial mode stops by signals")

    def recall(self, keys: Iterable[str] | None = None) -> None:
        wanted = [key for line in self._waiting for key in line] if keys is None else list(keys)
        found = [key for key in wanted if key in self._waiting[self._node[key]]]
        for key in found:
            self._waiting[self._node[key]].remove(key)
        self._reports.append(Recalled(tuple(found)))

    def receive(self) -> list[Report]:
        began, now = time.thread_time(), time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            at, key = heappop(self._timers)
            self._reports.append(Ended(key, 0, How.EXITED, self._job_seconds, ""))
            self.ended.append((now, now - at))
            node = self._node.pop(key)
            self._free[node] += 1
            self._begin(node)
        reports, self._reports = self._reports, []
        self.own_seconds += time.thread_time() - began
        return reports

    def _begin(self, node: int) -> None:
        while self._free[node] and self._waiting[node]:
            key = self._waiting[node].popleft()
            self._free[node] -= 1
            self._reports.append(Started(key, 0, boot_clock(), (), ()))
            heappush(self._timers, (time.monotonic() + self._job_seconds * self._chance.uniform(0.8, 1.2), key))


def measure(folder: Path, workers: int, slots: int, demand: float, seconds: float) -> dict[str, float]:
    """One run: until all slots were full once, and then so many seconds."""
    job_seconds = workers * slots / demand
    store = create_store(sqlite_url(folder / "balsam.db"))
    store.add_app(AppSpec(name="timer", executable="/bin/true"))
    # The filling may take as long as one round of jobs at a fourth of the demand.
    longest = seconds + 4 * job_seconds + 5
    _add_jobs(store, workers * slots + int(demand * longest), slots)
    simulated = SimulatedWorkers(workers, slots, job_seconds)
    marks: dict[str, tuple[float, float, float]] = {}

    def show(loop: Loop) -> None:
        now = time.monotonic()
        mark = (now, time.process_time(), simulated.own_seconds)
        if "full" not in marks and loop.tally.started >= workers * slots and now > began + 2:
            marks["full"] = mark
        if "full" in marks and "end" not in marks and now > marks["full"][0] + seconds:
            marks["end"] = mark
            loop.stop("measured")

    loop = _loop(store, folder, [Node(f"n{number}", f"n{number}") for number in range(workers)], simulated)
    loop.show = show
    began = time.monotonic()
    loop.run()
    store.database.close()
    (first, cpu, own), (last, cpu_at_end, own_at_end) = marks["full"], marks["end"]
    waits = sorted(wait for at, wait in simulated.ended if first <= at <= last)
    return {
        "jobs/s": len(waits) / (last - first),
        "master": (cpu_at_end - cpu - own_at_end + own) / (last - first),
        "p50": waits[len(waits) // 2] * 1000,
        "p99": waits[len(waits) * 99 // 100] * 1000,
        "fill": first - began,
    }


def _add_jobs(store: Store, count: int, slots: int) -> None:
    for first in range(0, count, _INSERTED_AT_ONCE):
        store.add_jobs(
            [
                JobSpec(name=f"j{number}", workflow="bench", application="timer", node_packing_count=slots)
                for number in range(first, min(first + _INSERTED_AT_ONCE, count))
            ]
        )
    while store.advance():
        pass


def _loop(store: Store, folder: Path, nodes: list[Node], workers: SimulatedWorkers) -> Loop:
    launcher_id = uuid4()
    store.register_launcher(
        LauncherInfo(launcher_id, "bench", boot_id(), hostname(), os.getpid(), 0.0, "serial", "", len(nodes), 900.0)
    )
    rules = Rules(launcher_id, "bench", folder, folder, 900.0, 0.1, RetryPolicy(), keeps_lease=False)
    mode = SerialMode(nodes, "")
    return Loop(store, mode, workers, NoTransitions(), Workdirs(folder), rules, lambda loop: None, lambda rows: None)


def main() -> None:
    """Print a line for each number of workers, and the ratio of the last to the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, nargs="+", default=[16, 64, 256, 1024, 4096])
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--demand", type=float, default=4_400.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    # As the real master does.
    gc.set_threshold(50_000)
    rates: dict[int, list[float]] = defaultdict(list)
    print("workers  slots    jobs/s  master  p50 ms  p99 ms  filled after s")
    for _ in range(options.rounds):
        for workers in options.workers:
            with tempfile.TemporaryDirectory() as folder:
                got = measure(Path(folder), workers, options.slots, options.demand, options.seconds)
            rates[workers].append(got["jobs/s"])
            print(
                f"{workers:7d} {options.slots:6d} {got['jobs/s']:9.0f} {got['master']:7.2f} {got['p50']:7.1f}"
                f" {got['p99']:7.1f} {got['fill']:10.1f}",
                flush=True,
            )
    ratio = max(rates[options.workers[-1]]) / max(rates[options.workers[0]])
    print(f"{options.workers[-1]} workers keep {ratio:.2f} of the jobs/s of {options.workers[0]}")


if __name__ == "__main__":
    main()
