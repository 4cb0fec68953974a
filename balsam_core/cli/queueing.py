"""What `balsam service` and its subcommands do."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

from balsam_core import logs
from balsam_core.batch.submission import Submission
from balsam_core.cli.context import Opened, opened
from balsam_core.cli.queues import poller, shell
from balsam_core.errors import LaunchError
from balsam_core.service.loop import serve
from balsam_core.service.rounds import Rounds, describe
from balsam_core.state.hosts import is_same_process, machine_id
from balsam_core.state.store import Store

_log = logging.getLogger("balsam.service")
_BEGIN_SECONDS = 30.0
_END_SECONDS = 30.0


def run() -> None:
    """Run the service until a signal ends it."""
    with opened() as here:
        _log_to_stderr()
        _log.info("service started for %s, pid %d", here.site.path, os.getpid())
        _log.info("service ended: %s", serve(_rounds(here), here.store, os.environ))


def rehearse() -> list[str]:
    """What the next round would do."""
    with opened() as here:
        return describe(here.settings.queues, _rounds(here).look())


def detach() -> str:
    """Run the service in a session of its own; raises LaunchError when it does not begin."""
    with opened() as here:
        if (other := here.store.batches.service()) is not None and _lives(other):
            raise LaunchError(f"the service of this site runs already, on {other.host} with pid {other.pid}")
        log = here.site.log / "service.log"
        logs.cut(log)
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "balsam_core", "service"],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=here.site.path,
                env={**os.environ, "BALSAM_DB_PATH": str(here.site.path)},
                start_new_session=True,
            )
        until = time.monotonic() + _BEGIN_SECONDS
        while process.poll() is None and time.monotonic() < until:
            row = here.store.batches.service()
            if row is not None and row.pid == process.pid:
                return f"The service runs with pid {process.pid}; its log is {log}"
            time.sleep(0.05)
        if process.poll() is None:
            process.terminate()
        raise LaunchError(f"the service did not begin; {log} says why")


def status() -> list[str]:
    """Whether the service runs, and what it would do next."""
    with opened() as here:
        row = here.store.batches.service()
        runs = "The service does not run; start it with `balsam service --detach`"
        if row is not None:
            runs = f"The service runs on {row.host} with pid {row.pid}"
            if not _lives(row):
                runs = f"The service on {row.host} (pid {row.pid}) is silent; a new one may be started"
        lines = describe(here.settings.queues, _rounds(here).look()) if here.settings.queues else []
        return [runs, *lines]


def resume() -> str:
    """Use all queues again; which ones rested."""
    with opened() as here:
        rested = _rounds(here).resume()
        return f"Used again: {', '.join(rested)}" if rested else "No queue rests; failures until now are forgotten"


def stop() -> str:
    """End the service, and wait for it; raises LaunchError when it runs on another host."""
    with opened() as here:
        row = here.store.batches.service()
        if row is None:
            return "The service does not run"
        if row.machine_id != machine_id(os.environ):
            raise LaunchError(f"the service runs on {row.host} with pid {row.pid}; stop it there")
        if is_same_process(row.pid, row.process_clock):
            os.kill(row.pid, signal.SIGTERM)
        _wait_for_end(here.store, row)
        return f"The service with pid {row.pid} was stopped"


def _wait_for_end(store: Store, row: Any) -> None:
    until = time.monotonic() + _END_SECONDS
    while is_same_process(row.pid, row.process_clock):
        if time.monotonic() > until:
            raise LaunchError(f"the service with pid {row.pid} does not end; end it with `kill -9 {row.pid}`")
        time.sleep(0.05)


def _lives(row: Any) -> bool:
    return row.machine_id != machine_id(os.environ) or is_same_process(row.pid, row.process_clock)


def _rounds(here: Opened) -> Rounds:
    asker = poller(here)
    submission = Submission(here.site, here.store, here.settings, asker.registry, shell(here))
    return Rounds(submission, asker, here.settings)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
