"""When a launcher leaves and when it stays, what an idle one costs, and what troubles it survives."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.launching import PLAIN, Site, locked, marked, temporary_site, wait_until


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with temporary_site(tmp_path) as site:
        yield site


def test_a_persistent_launcher_takes_new_work_idles_cheaply_and_outlives_a_locked_database(site: Site) -> None:
    launcher = site.start("--persistent")
    first = site.add("first")
    site.wait_state(first, "JOB_FINISHED")
    time.sleep(0.5)  # until it has nothing to do
    assert idle_cores(launcher.pid, 3) < 0.03
    second = site.add("second", "echo started; sleep 0.5")
    site.wait_output(second, "started")
    with locked(site):
        time.sleep(2)
        assert launcher.process.poll() is None
    site.wait_state(second, "JOB_FINISHED")
    assert site.history(second) == PLAIN
    launcher.send(signal.SIGTERM)
    assert launcher.wait() == 0


def idle_cores(pid: int, seconds: float) -> float:
    """The part of a core that a process and its children use."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    before = sum(sum(one.cpu_times()[:2]) for one in family)
    time.sleep(seconds)
    return float(sum(sum(one.cpu_times()[:2]) for one in family) - before) / seconds


def test_a_database_that_stays_locked_costs_no_result(site: Site) -> None:
    jobs = site.add_many(12, "echo $BALSAM_ATTEMPT >> starts; sleep 0.2", node_packing_count=4)
    launcher = site.start(BALSAM_LAUNCHER__LEASE_SECONDS="60").wait_started()
    wait_until(lambda: "RUNNING" in site.states())
    with locked(site):
        wait_until(lambda: launcher.text.count("stayed locked") == 2)
    assert launcher.wait() == 0
    assert {tuple(site.history(job)) for job in jobs} == {tuple(PLAIN)}
    assert {(site.workdir(job) / "starts").read_text() for job in jobs} == {"1\n"}


def test_a_signal_ends_the_jobs_although_the_database_is_locked(site: Site) -> None:
    job = site.add("job", "echo started; sleep 300", environ_vars={"MARK": str(site.folder)})
    launcher = site.start()
    site.wait_output(job, "started")
    with locked(site):
        launcher.send(signal.SIGTERM)
        wait_until(lambda: marked(str(site.folder)) == [])
    assert launcher.wait() == 0
    assert site.history(job)[2:] == ["RUNNING", "RUN_TIMEOUT", "RESTART_READY"]


def test_a_launcher_with_nothing_to_do_leaves_and_says_so(site: Site) -> None:
    began = time.monotonic()
    launcher = site.run()
    assert time.monotonic() - began < 10
    assert "launcher ended: nothing more can run" in launcher.text
    assert "left:" not in launcher.text
    assert list((site.folder / "log").glob("*.starts")) == []
    (log,) = (site.folder / "log").glob("launcher-*.log")
    assert "nothing more can run" in log.read_text()


def test_what_another_launcher_holds_is_named(site: Site) -> None:
    job = site.add("job", "sleep 300")
    first = site.start()
    site.wait_state(job, "RUNNING")
    second = site.run()
    assert "left: 1 job: held by launcher" in second.text
    first.send(signal.SIGTERM)
    assert first.wait() == 0


def test_a_full_disk_fails_the_job_that_writes_and_says_so(site: Site) -> None:
    disk = site.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=8", "none", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("mount is not permitted here")
    try:
        writes = site.add("writes", "head -c 1000000 /dev/zero", user_workdir=str(disk / "a"))
        later = site.add("later", "echo x", user_workdir=str(disk / "b" / "c" / "d" / "e" / "f" / "g"))
        fine = site.add("fine")
        launcher = site.run()
        assert site.history(writes)[-2:] == site.history(later)[-2:] == ["RUN_ERROR", "FAILED"]
        assert f"nonzero return 1, the disk of {disk}/a is full" in site.message(writes, "RUN_ERROR")
        assert "no space left on device" in site.message(later, "RUN_ERROR")
        assert site.state(fine) == "JOB_FINISHED"
        assert "Traceback" not in launcher.text
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_log_folder_that_vanishes_does_not_keep_a_launcher_from_its_end(site: Site) -> None:
    job = site.add("job", "echo started; sleep 300")
    launcher = site.start()
    site.wait_output(job, "started")
    worker = launcher.worker
    shutil.rmtree(site.folder / "log")
    launcher.send(signal.SIGTERM)
    assert launcher.wait() == 0
    assert not worker.is_running()
