"""How long from `balsam launcher` to the first running job, with 100,000 jobs in the database."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from balsam_core.models.app import AppSpec
from balsam_core.models.job import JobSpec
from balsam_core.state.store import open_store, sqlite_url

BALSAM = Path(sys.executable).parent / "balsam"
_LONGEST_SECONDS = 60.0


def measure(folder: Path, jobs: int) -> float:
    """Seconds until the first job prints the time; the launcher is ended then."""
    site, first = folder / "site", folder / "first"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BALSAM_")}
    subprocess.run([BALSAM, "init", site], env=environ, check=True, capture_output=True, timeout=60)
    store = open_store(sqlite_url(site / "balsam.db"))
    store.add_app(AppSpec(name="touch", executable=f"/bin/touch {first}"))
    store.add_jobs([JobSpec(name=f"j{number}", workflow="bench", application="touch") for number in range(jobs)])
    store.database.close()
    argv = [BALSAM, "launcher", "--consume-all", "--job-mode", "serial"]
    began = time.perf_counter()
    with subprocess.Popen(argv, env={**environ, "BALSAM_DB_PATH": str(site)}, stderr=subprocess.DEVNULL) as launcher:
        while not first.exists() and time.perf_counter() < began + _LONGEST_SECONDS:
            time.sleep(0.001)
        seconds = time.perf_counter() - began
        launcher.send_signal(signal.SIGTERM)
        launcher.wait(60)
    return seconds


def main() -> None:
    """Print each round, and the median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(measure(Path(folder), options.jobs))
        print(f"round {number + 1}  {rounds[-1]:.2f} s", flush=True)
    print(f"median   {statistics.median(rounds):.2f} s with {options.jobs} jobs in the database")


if __name__ == "__main__":
    main()
