"""The Python API with real launchers: calls that survive their launcher, programs that die, processes that fork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest

from balsam_core import BalsamExecutor, JobFailed, State
from balsam_core import Site as BalsamSite
from balsam_core.errors import LaunchError
from tests.helpers import only
from tests.integration.launching import SECONDS, Site, is_alive, temporary_site, wait_until

_PROGRAM = """
import os, sys, time
from balsam_core import BalsamExecutor

class Point:
    def __init__(self, x):
        self.x = x

def moved(point):
    return Point(point.x + 1)

executor = BalsamExecutor(launch=True)
came = executor.submit(moved, Point(1)).result(30)
print(type(came) is Point, came.x, os.environ.get("BALSAM_JOB_ID"), flush=True)
executor.submit(time.sleep, 600)
time.sleep(600)
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with temporary_site(tmp_path) as site:
        yield site


def second_time(seen: Path, megabytes: int) -> bytes:
    """Hangs until it is stopped, and the next time returns so much."""
    if not seen.exists():
        seen.touch()
        time.sleep(600)
    return bytes(megabytes * 1_000_000)


def test_a_call_outlives_its_launcher_and_returns_what_fits_no_database(site: Site) -> None:
    executor = BalsamExecutor(site.folder)
    future = executor.submit(second_time, site.folder / "seen", 100)
    quick = executor.submit(print, "hello")
    sleeper = executor.with_options(timeout_seconds=0.5, max_retries=0, name="late").submit(time.sleep, 600)
    launcher = site.start("--persistent")
    wait_until((site.folder / "seen").exists)
    assert future.running()
    launcher.send(signal.SIGTERM)
    assert launcher.wait() == 0
    assert site.state(future.job_id) == "RESTART_READY"
    assert not future.done()
    site.start("--persistent")
    assert len(future.result(SECONDS)) == 100_000_000
    assert quick.result(SECONDS) is None
    assert site.output(quick.job_id) == "hello\n"
    with pytest.raises(JobFailed, match=r"job \[late \| .* is FAILED .*met its timeout_seconds"):
        sleeper.result(SECONDS)


def test_a_running_call_that_is_cancelled_is_stopped(site: Site) -> None:
    future = BalsamExecutor(site.folder).submit(time.sleep, 600)
    site.start("--persistent")
    wait_until(future.running)
    pid = site.store.job(future.job_id).pid
    assert future.cancel()
    assert wait([future], 0).done == {future}
    assert pid is not None
    wait_until(lambda: not is_alive(pid))


def test_a_launcher_of_a_program_ends_with_the_program_even_when_that_is_killed(site: Site) -> None:
    words = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(words, env=site.environ, cwd=site.folder, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "True 2 None\n"
            ((launcher, _),) = site.store.launchers()
            assert is_alive(launcher.pid)
        finally:
            program.kill()
    wait_until(lambda: not is_alive(launcher.pid))
    assert site.states().keys() <= {"JOB_FINISHED", "PREPROCESSED", "CREATED", "RESTART_READY"}


def test_a_launcher_that_cannot_run_is_told_of(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BALSAM_NODES__SOURCE", "nowhere")
    executor = BalsamExecutor(site.folder, launch=True)
    executor.submit(print)
    with pytest.raises(LaunchError, match=r"the launcher of the workflow 'calls' ended: .*nowhere.*; its calls wait"):
        executor.shutdown()
    wait_until(lambda: "nowhere" in caplog.text)


def test_a_process_may_fork_whatever_its_watcher_is_doing(site: Site) -> None:
    jobs = BalsamSite(site.folder).jobs
    waiting, ended = site.add(), site.add()
    site.store.move_by_hand(only(ended), State.JOB_FINISHED)
    for _ in range(10):
        # Its watcher opens the database, or looks at it.
        jobs.wait([waiting], timeout_seconds=0.0)
        child = os.fork()
        if child == 0:
            waited = jobs.wait([ended], timeout_seconds=SECONDS)
            os._exit(len(waited.not_done))
        assert os.waitpid(child, 0)[1] == 0
    site.store.move_by_hand(only(waiting), State.JOB_FINISHED)


def test_a_forked_process_goes_on_with_what_it_inherited(site: Site) -> None:
    executor = BalsamExecutor(site.folder)
    mine, theirs = executor.submit(pow, 2, 3), executor.submit(pow, 2, 4)
    # The connection and the watcher of this process are in use when it forks.
    assert executor.site.jobs.count() != {}
    child = os.fork()
    if child == 0:
        try:
            sums = theirs.result(SECONDS) + executor.submit(pow, 2, 5).result(SECONDS)
            os._exit(0 if sums == 16 + 32 else 1)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(2)
    site.start("--persistent")
    assert mine.result(SECONDS) == 8
    assert os.waitpid(child, 0)[1] == 0
    assert theirs.result(SECONDS) == 16
