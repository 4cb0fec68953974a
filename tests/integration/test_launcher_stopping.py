"""How jobs and launchers are stopped: killjob, rm, modify, signals and the time limit."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from balsam_core.state.machine import State
from tests.helpers import only
from tests.integration.launching import PLAIN, Site, marked, temporary_site, wait_until

# Ignores SIGTERM, and so does a grandchild that has left its session.
STUBBORN = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 300; sleep 300' & echo started; sleep 300; sleep 300"
RECORD_SECONDS = 8.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with temporary_site(tmp_path) as site:
        yield site


@pytest.mark.parametrize("mode", ["serial", pytest.param("mpi", marks=pytest.mark.mpi)])
def test_killjob_ends_a_running_job_within_two_seconds_and_the_others_go_on(site: Site, mode: str) -> None:
    job = site.add("job", STUBBORN, environ_vars={"MARK": str(site.folder)}, node_packing_count=2)
    other = site.add("other", "while ! test -e go; do sleep 0.05; done", node_packing_count=2)
    child = site.add("child", parents=(job,))
    site.start(mode=mode)
    site.wait_output(job, "started")
    site.wait_state(other, "RUNNING")
    assert marked(str(site.folder))
    site.store.kill(only(job), message="balsam killjob")
    assert wait_until(lambda: marked(str(site.folder)) == []) < 2
    wait_until(lambda: site.store.job(job).launcher_id is None)
    assert site.history(job)[-2:] == ["RUNNING", "USER_KILLED"]
    (site.workdir(other) / "go").touch()
    assert site.launchers[0].wait() == 0
    assert [site.state(one) for one in (job, other, child)] == ["USER_KILLED", "JOB_FINISHED", "FAILED"]
    assert site.history(job)[-2:] == ["RUNNING", "USER_KILLED"]


def test_rm_of_a_running_job_stops_it_first(site: Site) -> None:
    job = site.add("job", STUBBORN, environ_vars={"MARK": str(site.folder)})
    launcher = site.start()
    site.wait_output(job, "started")
    site.balsam("rm", "jobs", "--id", str(job), "--force")
    assert (marked(str(site.folder)), site.states()) == ([], {})
    assert launcher.wait() == 0


def test_a_job_deleted_under_the_launcher_is_stopped(site: Site) -> None:
    job = site.add("job", STUBBORN, environ_vars={"MARK": str(site.folder)})
    launcher = site.start()
    site.wait_output(job, "started")
    site.store.delete_jobs([job])
    assert launcher.wait() == 0
    assert marked(str(site.folder)) == []


def test_a_running_job_that_is_moved_by_hand_is_stopped_before_it_starts_again(site: Site) -> None:
    script = "mkdir lock || exit 1; echo started; trap 'sleep 0.3; rmdir lock; exit' TERM; sleep 300 & wait"
    again = site.add("again", script, node_packing_count=2)
    done = site.add("done", "echo started; exec sleep 300", node_packing_count=2)
    first, second = site.start("--persistent"), site.start("--persistent")
    for job in (again, done):
        site.wait_output(job, "started")
        site.wait_state(job, "RUNNING")
    site.store.move_by_hand(only(again), State.RESTART_READY)
    site.store.move_by_hand(only(done), State.JOB_FINISHED, "good enough")
    wait_until(lambda: site.store.job(again).attempt == 2)
    wait_until(lambda: site.store.job(done).launcher_id is None)
    # Both before either has ended: or the second would go on with what the first gave up.
    for launcher in (first, second):
        launcher.send(signal.SIGTERM)
    assert [launcher.wait() for launcher in (first, second)] == [0, 0]
    assert site.history(again)[2:] == ["RUNNING", "RESTART_READY", "RUNNING", "RUN_TIMEOUT", "RESTART_READY"]
    assert site.history(done)[2:] == ["RUNNING", "JOB_FINISHED"]


def test_a_change_of_a_job_that_waits_in_the_launchers_queue_is_honoured(site: Site) -> None:
    quick = site.add_many(60, ":")
    blocker = site.add("blocker", "while ! test -e go; do sleep 0.02; done", priority=-1)
    queued = site.add("queued", "echo old", priority=-2)
    held = site.add("held", "echo old", priority=-2)
    killed = site.add("killed", "echo old", priority=-2)
    launcher = site.start()
    site.wait_state(blocker, "RUNNING")
    assert {site.store.job(job).launcher_id is None for job in (queued, held, killed)} == {False}, "none is queued"
    site.store.change_jobs(only(queued), {"args": "'echo new'"})
    site.store.change_jobs(only(held), {"hold": True})
    site.store.kill(only(killed))
    time.sleep(0.6)  # the launcher looks four times a second
    (site.workdir(blocker) / "go").touch()
    assert launcher.wait() == 0
    assert (site.output(queued), site.history(queued)) == ("new\n", PLAIN)
    assert [site.state(job) for job in (held, killed)] == ["PREPROCESSED", "USER_KILLED"]
    assert [site.output(job) for job in (held, killed)] == ["", ""]
    assert site.states()["JOB_FINISHED"] == len(quick) + 2


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_jobs_with_all_that_they_started_and_all_is_recorded_in_time(
    site: Site, signum: signal.Signals
) -> None:
    stubborn = site.add("stubborn", STUBBORN, environ_vars={"MARK": str(site.folder)}, node_packing_count=4)
    polite = site.add("polite", "trap 'echo saved; exit 0' TERM; echo started; sleep 300 & wait", node_packing_count=4)
    final = site.add("final", "echo started; exec sleep 300", node_packing_count=4, auto_timeout_retry=False)
    waiting = site.add("waiting", node_packing_count=1)
    launcher = site.start()
    for job in (stubborn, polite, final):
        site.wait_output(job, "started")
    began = time.monotonic()
    launcher.send(signum)
    assert launcher.wait() == 0
    assert time.monotonic() - began < RECORD_SECONDS
    assert marked(str(site.folder)) == []
    assert site.history(stubborn)[2:] == site.history(polite)[2:] == ["RUNNING", "RUN_TIMEOUT", "RESTART_READY"]
    assert site.history(final)[2:] == ["RUNNING", "RUN_TIMEOUT", "FAILED"]
    assert "saved" in site.output(polite)
    assert site.message(polite, "RUN_TIMEOUT") == f"stopped with its launcher: received {signum.name}"
    assert (site.history(waiting), site.store.job(waiting).attempt) == (["CREATED", "PREPROCESSED"], 0)
    assert {job.launcher_id for job in site.store.jobs()} == {None}
    assert site.store.launchers() == []


def test_a_second_signal_does_not_wait_for_the_grace(site: Site) -> None:
    job = site.add("job", STUBBORN)
    launcher = site.start(BALSAM_LAUNCHER__STOP_GRACE_SECONDS="30")
    site.wait_output(job, "started")
    launcher.send(signal.SIGTERM)
    time.sleep(0.3)
    assert launcher.process.poll() is None
    began = time.monotonic()
    launcher.send(signal.SIGTERM)
    assert launcher.wait() == 0
    assert time.monotonic() - began < 15
    assert site.history(job)[-2:] == ["RUN_TIMEOUT", "RESTART_READY"]


def test_at_the_time_limit_jobs_are_stopped_and_the_next_launcher_restarts_them(site: Site) -> None:
    job = site.add("job", "test $BALSAM_ATTEMPT = 2 || exec sleep 300")
    site.app("slow", "true", preprocess="/bin/sleep 300")
    script = site.add("script", application="slow")
    began = time.monotonic()
    site.run("--time-limit-minutes", "0.04", BALSAM_LAUNCHER__STOP_GRACE_SECONDS="0.5")
    assert time.monotonic() - began < 2.4 + RECORD_SECONDS
    assert site.history(job)[2:] == ["RUNNING", "RUN_TIMEOUT", "RESTART_READY"]
    assert (site.state(script), site.store.job(script).launcher_id) == ("STAGED_IN", None)
    site.store.kill(only(script))
    site.run()
    assert site.history(job)[2:] == ["RUNNING", "RUN_TIMEOUT", "RESTART_READY", *PLAIN[2:]]
    assert site.store.job(job).attempt == 2
