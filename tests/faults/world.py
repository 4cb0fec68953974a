"""A site under faults: its jobs, its launchers, and the processes that a fault may choose from."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from typing import Any
from uuid import UUID

import psutil

from tests.faults.invariants import LEASE_SECONDS, Checked, check, processes_of
from tests.integration.launching import Launcher, Site
from tests.integration.ranking import ranks_now
from tests.postgres import PostgresServer

# Sleeps for its first argument, in later attempts for its second one if it has one.
# Ends with 75 where it cannot write, and with 76 when its sleep was killed: the site runs both again.
_JOB = """\
test "$BALSAM_ATTEMPT" = 1 || set -- "${2:-$1}"
exec 9>>lock || exit 75
flock -n 9 || echo "overlap $BALSAM_ATTEMPT" >>runs
echo "start $BALSAM_ATTEMPT" >>runs || exit 75
setsid sleep 300 9>&- &
sleep "$1" || exit 76
echo "end $BALSAM_ATTEMPT" >>runs || exit 75
"""
# Read by every Python program that starts with this folder in PYTHONPATH.
_CLOCK = """\
import time
from pathlib import Path
_file, _real = Path(__file__).with_name("offset"), time.time
time.time = lambda: _real() + float(_file.read_text() or 0)
"""
_JOBS_AHEAD = 12
_BUSY_SECONDS = 40.0
# What is to be proven has no deadline of its own here: machines may be very busy.
_PATIENCE_SECONDS = 240.0
_SETTINGS = {
    "LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    "MAX_RETRIES": "1000",
    "RETRY_CODES": "-9,75,76,137",
    "RETRY_WINDOW_SECONDS": "1000",
    "NUM_TRANSITION_THREADS": "2",
}


class World:
    """What faults happen to.

    chance: chooses victims. nodes: 1, or ranks on so many virtual nodes. server: of the database, if it is PostgreSQL.
    """

    def __init__(
        self, site: Site, chance: random.Random | None = None, nodes: int = 1, server: PostgresServer | None = None
    ) -> None:
        self.site = site
        self.chance = chance or random.Random(1)
        self.nodes = nodes
        self.server = server
        self.jobs: list[UUID] = []
        self.launchers: list[Launcher] = []
        clock = site.folder / "clock"
        clock.mkdir()
        clock.joinpath("sitecustomize.py").write_text(_CLOCK)
        self._offset = clock / "offset"
        self.step_clock(0)
        site.environ |= {f"BALSAM_LAUNCHER__{key}": value for key, value in _SETTINGS.items()}
        site.environ["PYTHONPATH"] = f"{clock}:{site.environ.get('PYTHONPATH', '')}"
        if server:
            server.keep_commits(site.environ["BALSAM_SITE__DATABASE"])
            # It holds for new connections.
            site.store.database.close()
        if nodes > 1:
            site.environ["BALSAM_LOCAL__VIRTUAL_NODES"] = str(nodes)
        self.script = site.shell("job.sh", _JOB)
        site.app("plain", self.script)
        site.app("around", self.script, preprocess="/bin/sleep 0.05", postprocess="/bin/true")

    # --- what goes on

    def keep_busy(self, launchers: int) -> None:
        """See to it that so many launchers live and have work, and wait until some of it runs."""
        self.launchers = [launcher for launcher in self.launchers if launcher.process.poll() is None]
        while len(self.launchers) < launchers:
            self.launchers.append(self.site.start("--persistent"))
        self._add_jobs()
        until = time.monotonic() + _BUSY_SECONDS
        while "RUNNING" not in self.site.states() and time.monotonic() < until:
            time.sleep(0.05)

    def finish(self, *, cut_off: bool = False) -> Checked:
        """No more faults: launchers end in order, a last one works off what is left, and all is checked."""
        self.step_clock(0)
        for launcher in self.launchers:
            launcher.send(signal.SIGTERM)
        for launcher in self.launchers:
            launcher.wait(_PATIENCE_SECONDS)
        last = self.site.start()
        assert last.wait(_PATIENCE_SECONDS) == 0, last.text
        texts = [launcher.text for launcher in self.site.launchers]
        assert not [text for text in texts if "Traceback" in text], "\n".join(texts)
        return check(self.site, self.jobs, cut_off=cut_off)

    def step_clock(self, seconds: float) -> None:
        """Let the wall clock of all launchers and masters jump by so much, from the true time."""
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(f"{seconds}")
        fresh.replace(self._offset)

    def _add_jobs(self) -> None:
        waiting = sum(count for state, count in self.site.states().items() if state != "JOB_FINISHED")
        for number in range(len(self.jobs), len(self.jobs) + max(0, _JOBS_AHEAD * self.nodes - waiting)):
            fields: dict[str, Any] = {
                "application": self.chance.choice(("plain", "plain", "around")),
                "args": "4 0.2" if number % 4 == 0 else f"{self.chance.uniform(0.05, 0.8):.2f}",
                "node_packing_count": 3,
                "parents": tuple(self.jobs[-1:]) if self.chance.random() < 0.2 else (),
                "input_files": "",
            }
            self.jobs.append(self.site.add(f"job{number}", **fields))

    # --- whom it may strike

    def launcher(self) -> Launcher:
        """A launcher, by chance."""
        return self.chance.choice(self.launchers)

    def worker(self) -> psutil.Process | None:
        """The process that starts the jobs: a launcher's own, or that of a rank."""
        launcher = self.launcher()
        with contextlib.suppress(psutil.Error):
            parents = [psutil.Process(launcher.pid), *ranks_now(launcher).values()]
            workers = [one for parent in parents for one in parent.children() if "-S" in one.cmdline()]
            return self.chance.choice(workers) if workers else None
        return None

    def rank(self, *, master: bool) -> psutil.Process | None:
        """The master, or another rank; None: there is none now."""
        with contextlib.suppress(psutil.Error):
            ranks = ranks_now(self.launcher())
            several = [one for number, one in ranks.items() if (number == 0) is master]
            return self.chance.choice(several) if several else None
        return None

    def job(self) -> psutil.Process | None:
        """The leader of a running job; None: none runs now."""
        leaders = []
        for one in processes_of(self.site):
            with contextlib.suppress(psutil.Error):
                if self.script in one.cmdline():
                    leaders.append(one)
        return self.chance.choice(leaders) if leaders else None
