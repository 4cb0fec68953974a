"""How many launches per second the mpi mode makes, when the MPI command itself costs nothing.

The MPI launcher is a plugin that this script writes: its command is the program alone. Jobs are `/bin/true`, two at a
time on two virtual nodes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from balsam_core.models.app import AppSpec
from balsam_core.models.job import JobSpec
from balsam_core.state.machine import State
from balsam_core.state.store import open_store, sqlite_url

BALSAM = Path(sys.executable).parent / "balsam"
_PLUGIN = """\
from balsam_core.plugins import Command, MpiLauncher, hookimpl

class Null(MpiLauncher):
    name = "null"

    def command(self, launch):
        return Command(launch.argv, launch.env)

@hookimpl
def balsam_mpi_launchers():
    return [Null()]
"""


def write_plugin(folder: Path) -> None:
    """A plugin as an installed distribution looks."""
    facts = folder / "balsam_null-1.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: balsam-null\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[balsam.plugins]\nnull = balsam_null\n")
    (folder / "balsam_null.py").write_text(_PLUGIN)


def measure(folder: Path, jobs: int) -> float:
    """Launches per second, from the first start to the last end."""
    write_plugin(folder / "plugin")
    site = folder / "site"
    path = os.pathsep.join([str(folder / "plugin"), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BALSAM_")}
    environ |= {"PYTHONPATH": path, "BALSAM_LOCAL__VIRTUAL_NODES": "2"}
    subprocess.run([BALSAM, "init", site], env=environ, check=True, capture_output=True, timeout=60)
    store = open_store(sqlite_url(site / "balsam.db"))
    store.add_app(AppSpec(name="true", executable="/bin/true"))
    ids = store.add_jobs([JobSpec(name=f"j{n}", workflow="bench", application="true") for n in range(jobs)])
    argv = [BALSAM, "launcher", "--consume-all", "--job-mode", "mpi", "--mpi", "null"]
    subprocess.run(argv, env={**environ, "BALSAM_DB_PATH": str(site)}, check=True, capture_output=True, timeout=600)
    events = store.history(ids)
    starts = [event.at for event in events if event.to_state == State.RUNNING]
    ends = [event.at for event in events if event.to_state == State.JOB_FINISHED]
    store.database.close()
    assert len(ends) == jobs, f"{len(ends)} of {jobs} jobs finished"
    return jobs / (max(ends) - min(starts))


def main() -> None:
    """Print each round, and the median."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(measure(Path(folder), options.jobs))
        print(f"round {number + 1}  {rounds[-1]:6.0f} launches/s", flush=True)
    print(f"median   {statistics.median(rounds):6.0f} launches/s")


if __name__ == "__main__":
    main()
