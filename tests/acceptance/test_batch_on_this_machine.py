"""`balsam submit-launch` on a laptop: the default scheduler runs the jobs, and ends their launcher well."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from balsam_local.queue import requests
from balsam_local.queue.folder import Folder
from tests.acceptance.runner import CommandLine

SUBMIT = ("submit-launch", "-n", "1", "-t", "10", "-q", "local", "-A", "none", "--job-mode", "serial")
SECONDS = 90.0


@pytest.fixture(autouse=True)
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """The queue of these tests, which is idle at the end."""
    monkeypatch.setenv("BALSAM_LOCAL__QUEUE_PATH", str(tmp_path / "queue"))
    folder = Folder(tmp_path / "queue")
    folder.make()
    yield folder
    requests.cancel(folder, folder.active(), os.environ)
    wait_for(lambda: not folder.active())


def wait_for(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.1)


def launches(balsam: CommandLine) -> list[dict[str, Any]]:
    """The batch jobs as `ls queues` lists them."""
    listed: list[dict[str, Any]] = balsam.ok("ls", "queues", "--history", "--json").json["queues"]
    return listed


def test_a_batch_job_on_this_machine_runs_the_jobs(balsam: CommandLine, hello: Path, queue: Folder) -> None:
    balsam.add("one")
    balsam.ok(*SUBMIT)
    wait_for(lambda: not queue.active())
    assert [job["state"] for job in balsam.jobs()] == ["JOB_FINISHED"]
    (launch,) = launches(balsam)
    assert (launch["state"], launch["raw_state"], launch["jobs_done"]) == ("ENDED", "DONE", 1)
    assert "launcher ended: nothing more can run" in (hello / "qsubmit" / "qlaunch1.output").read_text()


def test_a_cancelled_batch_job_gives_its_jobs_back(balsam: CommandLine, site: Path, queue: Folder) -> None:
    balsam.ok("app", "--name", "hello", "--executable", "/bin/sleep")
    balsam.add("one", "--args", "300")
    balsam.ok(*SUBMIT)
    wait_for(lambda: balsam.jobs()[0]["state"] == "RUNNING")
    balsam.ok("cancel-launch", "1", "--yes")
    wait_for(lambda: not queue.active())
    assert balsam.jobs()[0]["state"] == "RESTART_READY"
    assert "launcher ended: received SIGTERM" in (site / "qsubmit" / "qlaunch1.output").read_text()
    assert launches(balsam)[0]["raw_state"] == "CANCELLED"
