"""How many calls of a Python function that does nothing a launcher makes per second, as jobs with full history.

Each call has its own working directory and output file; some run at a time, on a site on SQLite. Measured alternately
in one run, from the first start to the last JOB_FINISHED:

    fork      a Python loop over os.fork with mkdir, chdir and open: what this machine can do at all
    fresh     a launcher that forks a process for each call
    reused    a launcher that makes calls in processes that have made others

And once: calls of a function whose module takes 2 s to import; with `cold` beside it, an interpreter for each call.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from balsam_core.models.app import AppSpec
from balsam_core.models.job import JobSpec
from balsam_core.state.machine import State
from balsam_core.state.store import open_store, sqlite_url

_MODULE = "def nothing():\n    pass\n"
_FORK = """\
import os, sys, time
folder, calls = sys.argv[1], int(sys.argv[2])
began = time.perf_counter()
running = 0
for number in range(calls):
    if running == {at_once}:
        os.wait()
        running -= 1
    if os.fork() == 0:
        os.mkdir(folder + "/" + str(number))
        os.chdir(folder + "/" + str(number))
        os.dup2(os.open("out", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644), 1)
        os._exit(0)
    running += 1
for _ in range(running):
    os.wait()
print(calls / (time.perf_counter() - began))
"""
_SLOW = """\
import time
with open({log!r}, "a") as file:
    file.write("imported\\n")
time.sleep({seconds})


def nothing():
    pass
"""


def fork(folder: Path, calls: int, at_once: int) -> float:
    """Calls per second of the bare loop, in an interpreter that has imported nothing."""
    command = [sys.executable, "-S", "-c", _FORK.format(at_once=at_once), str(folder), str(calls)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout)


def launched(processes: str) -> Callable[[Path, int, int], float]:
    """Calls per second of one launcher, from the history of the site."""

    def measured(folder: Path, calls: int, at_once: int) -> float:
        return calls / _seconds(folder, calls, at_once, _MODULE, processes)

    return measured


def slow_import(folder: Path, calls: int, seconds: float, processes: str) -> str:
    """How long calls of a function take whose module takes so many seconds to import, and how often it was."""
    log = folder / "imports"
    took = _seconds(folder, calls, os.cpu_count() or 1, _SLOW.format(log=str(log), seconds=seconds), processes)
    imports = len(log.read_text().splitlines())
    return f"{calls} calls of a function whose import takes {seconds:g} s: {took:6.1f} s, {imports} imports"


def _seconds(folder: Path, calls: int, at_once: int, module: str, processes: str) -> float:
    site = folder / "site"
    _run("init", str(site), site=None, processes="fresh")
    (site / "called.py").write_text(module)
    executable = f"{sys.executable} -m balsam_core.function called:nothing"
    # Behind a script that is sourced into a shell, say; here: a name that is not taken for a function's.
    cold = f"/usr/bin/env {executable}"
    store = open_store(sqlite_url(site / "balsam.db"))
    store.add_app(AppSpec(name="nothing", executable=cold if processes == "cold" else executable))
    fields = {"workflow": "bench", "application": "nothing", "node_packing_count": at_once}
    ids = store.add_jobs([JobSpec(name=f"j{number}", **fields) for number in range(calls)])  # type: ignore[arg-type]
    store.database.close()
    began = time.time()
    _run("launcher", "--consume-all", "--job-mode", "serial", site=site, processes=processes)
    events = open_store(sqlite_url(site / "balsam.db")).history(ids)
    starts = [event.at for event in events if event.to_state == State.RUNNING]
    ends = [event.at for event in events if event.to_state == State.JOB_FINISHED]
    assert len(ends) == calls, f"{len(ends)} of {calls} calls finished"
    # An import comes before the first start.
    return max(ends) - (min(starts) if module == _MODULE else began)


def _run(*words: str, site: Path | None, processes: str) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("BALSAM_")}
    environ["BALSAM_LAUNCHER__FUNCTION_PROCESSES"] = "fresh" if processes == "cold" else processes
    if site is not None:
        environ["BALSAM_DB_PATH"] = str(site)
    subprocess.run([sys.executable, "-m", "balsam_core", *words], env=environ, check=True, timeout=600)


def main() -> None:
    """Print a table of all rounds, the medians, and the case of the slow import."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=4, help="more than cores: none waits while another call begins")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--import-seconds", type=float, default=2.0)
    parser.add_argument("--dir", help="where to work, such as a tmpfs; the default is the temporary folder")
    options = parser.parse_args()
    contenders = {"fork": fork, "fresh": launched("fresh"), "reused": launched("reused")}
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    # Nothing is deleted before the end: for a minute ext4 searches past every inode that was freed.
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        for number in range(options.rounds):
            for name, contender in contenders.items():
                place = Path(folder) / f"{name}-{number}"
                place.mkdir()
                rates[name].append(contender(place, options.calls, options.at_once))
                print(f"round {number + 1}  {name:7s} {rates[name][-1]:8.0f} calls/s", flush=True)
        for name, measured in rates.items():
            median = statistics.median(measured)
            print(f"median   {name:7s} {median:8.0f} calls/s  {median / statistics.median(rates['fork']):.2f} of fork")
        for kind, calls in {"fresh": 100, "reused": 100, "cold": 10}.items():
            place = Path(folder) / f"slow-{kind}"
            place.mkdir()
            print(f"{kind:7s} {slow_import(place, calls, options.import_seconds, kind)}", flush=True)


if __name__ == "__main__":
    main()
