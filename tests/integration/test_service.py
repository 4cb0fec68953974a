"""`balsam service` as a process of its own, with the queue of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.launching import BALSAM, SECONDS, Site, is_alive, temporary_site, wait_until

QUEUES = '\n[[queues]]\nname = "here"\nmax_nodes = 1\nmax_minutes = 30\nmax_queued = 2\n'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with temporary_site(tmp_path) as site:
        settings = site.folder / "settings.toml"
        settings.write_text(settings.read_text() + QUEUES)
        site.environ.update(BALSAM_SERVICE__INTERVAL_SECONDS="0.5", BALSAM_LOCAL__QUEUE_PATH=str(tmp_path / "queue"))
        yield site
        if site.store.batches.service() is not None:
            site.balsam("service", "stop")
        for job in site.store.batches.select(machine_id=""):
            if job.is_open:
                subprocess.run([BALSAM, "cancel-launch", str(job.number), "--yes"], env=site.environ, timeout=SECONDS)


def test_jobs_run_by_the_service_alone_and_it_asks_for_no_more_than_that(site: Site) -> None:
    site.add_many(3, "echo done", node_packing_count=4)
    assert "asks for 1 node for" in site.balsam("service", "--dry-run")
    assert site.store.batches.select(machine_id="") == []
    said = site.balsam("service", "--detach")
    pid = int(said.split("pid ")[1].split(";")[0])
    again = subprocess.run([BALSAM, "service"], env=site.environ, capture_output=True, text=True, timeout=SECONDS)
    assert (again.returncode, f"with pid {pid}" in again.stderr) == (1, True)
    site.wait_all_ended()
    assert site.states() == {"JOB_FINISHED": 3}
    wait_until(lambda: "No work waits" in site.balsam("service", "status"))
    assert len(site.store.batches.select(machine_id="")) == 1
    assert site.balsam("service", "stop") == f"The service with pid {pid} was stopped\n"
    assert not is_alive(pid)
    assert site.balsam("service", "stop") == "The service does not run\n"


def test_after_kill_9_of_the_service_another_takes_over_at_once(site: Site) -> None:
    pid = int(site.balsam("service", "--detach").split("pid ")[1].split(";")[0])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    assert "is silent; a new one may be started" in site.balsam("service", "status")
    assert site.balsam("service", "resume") == "No queue rests; failures until now are forgotten\n"
    assert "The service runs with pid" in site.balsam("service", "--detach")
