"""Serial mode on several nodes: stopping, and `kill -9` of every kind of process; nothing is lost or left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.integration.launching import PLAIN, Launcher, Site, locked, marked, temporary_site, wait_until
from tests.integration.ranking import node_of, on_nodes, rank_processes, worker_of

pytestmark = pytest.mark.mpi
# Says that it started, and has a grandchild that leaves its session.
COUNTED = "echo $BALSAM_ATTEMPT >> starts; echo started; setsid sleep 300 & test $BALSAM_ATTEMPT != 1 || sleep 300"
AGAIN = ["RUNNING", "RESTART_READY", *PLAIN[2:]]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with temporary_site(tmp_path) as site:
        yield site


def started(site: Site, *options: str, nodes: int = 3, **environ: str) -> tuple[Launcher, list[UUID]]:
    """A launcher that runs one long job on each node."""
    jobs = site.add_many(nodes, COUNTED, environ_vars={"MARK": str(site.folder)})
    launcher = site.start(*options, **{**on_nodes(nodes), **environ})
    for job in jobs:
        site.wait_output(job, "started")
        site.wait_state(job, "RUNNING")
    return launcher, jobs


def check_second_run(site: Site, jobs: list[UUID]) -> None:
    """Everything ended well with the second attempt, and nothing is left."""
    assert [site.history(job) for job in jobs] == [[*PLAIN[:2], *AGAIN]] * len(jobs)
    assert [(site.workdir(job) / "starts").read_text() for job in jobs] == ["1\n2\n"] * len(jobs)
    assert marked(str(site.folder)) == []
    assert list((site.folder / "log").glob("launcher-*-*-*-*-*")) == []
    assert site.store.launchers() == []


def test_killjob_reaches_a_job_on_another_node_within_two_seconds(site: Site) -> None:
    _, jobs = started(site, "--persistent")
    victim = next(job for job in jobs if node_of(site, job) == "n3")
    site.balsam("killjob", str(victim), "--yes")
    wait_until(lambda: site.store.job(victim).launcher_id is None, 5)
    assert site.history(victim)[2:] == ["RUNNING", "USER_KILLED"]
    assert {site.state(job) for job in jobs} == {"RUNNING", "USER_KILLED"}


def test_sigterm_stops_all_nodes_in_order_within_eight_seconds(site: Site) -> None:
    launcher, jobs = started(site)
    began = time.monotonic()
    launcher.send(signal.SIGTERM)
    assert launcher.wait() == 0
    assert time.monotonic() - began < 8
    assert [site.history(job)[2:] for job in jobs] == [["RUNNING", "RUN_TIMEOUT", "RESTART_READY"]] * 3
    assert "received SIGTERM" in site.message(jobs[0], "RUN_TIMEOUT")
    assert marked(str(site.folder)) == []


def test_the_time_limit_ends_all_nodes_in_time(site: Site) -> None:
    began = time.monotonic()
    launcher, jobs = started(site, "--time-limit-minutes", "0.1", nodes=2)
    assert launcher.wait() == 0
    # 6 s, and what a busy machine takes to start Python.
    assert time.monotonic() - began < 20
    assert [site.history(job)[2:] for job in jobs] == [["RUNNING", "RUN_TIMEOUT", "RESTART_READY"]] * 2
    assert "the time limit is reached" in launcher.text


def test_after_kill_9_of_the_launcher_no_rank_runs_on_and_the_next_launcher_runs_the_jobs_again(site: Site) -> None:
    launcher, jobs = started(site)
    ranks = rank_processes(launcher, 3)
    launcher.send(signal.SIGKILL)
    launcher.wait()
    wait_until(lambda: marked(str(site.folder)) == [] and not any(rank.is_running() for rank in ranks))
    site.run(**on_nodes(3))
    check_second_run(site, jobs)


def test_ranks_that_hang_before_they_have_begun_end_when_their_dead_launcher_is_found(site: Site) -> None:
    # As in MPI_Init, for a rank that has died: they see neither their launcher nor each other.
    site.shell("mpiexec", "sleep 300")
    site.add()
    launcher = site.start(**on_nodes(2), PATH=f"{site.folder}:{site.environ['PATH']}", MARK=str(site.folder))
    launcher.wait_started()
    # The launcher, its worker, what starts the ranks, and one that hangs.
    wait_until(lambda: len(marked(str(site.folder))) == 4)
    launcher.send(signal.SIGKILL)
    launcher.wait()
    wait_until(lambda: len(marked(str(site.folder))) == 2)
    assert "ended 2 of its processes" in site.run().text
    assert marked(str(site.folder)) == []


def test_a_rank_that_does_not_get_through_mpi_init_ends(tmp_path: Path) -> None:
    (tmp_path / "mpi4py.py").write_text("import time; time.sleep(60)")
    program = "from balsam_core.launcher import ranks; ranks.MEETING_SECONDS = 1; ranks.main('id', '/tmp/plan', '3')"
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    assert subprocess.run([sys.executable, "-c", program], env=environ, timeout=50).returncode == -signal.SIGALRM


@pytest.mark.parametrize("victim", ["rank", "master", "worker"])
def test_after_kill_9_of_a_part_the_launcher_starts_the_ranks_again(site: Site, victim: str) -> None:
    launcher, jobs = started(site)
    ranks = rank_processes(launcher, 3)
    {"rank": ranks[1], "master": ranks[0], "worker": worker_of(ranks[2])}[victim].kill()
    assert launcher.wait() == 0, launcher.text
    check_second_run(site, jobs)
    assert "the ranks of its launcher ended" in site.message(jobs[0], "RESTART_READY")
    assert "took back 3 running jobs" in launcher.text


def test_what_had_just_started_when_the_launcher_failed_counts_as_an_attempt(site: Site) -> None:
    mark, wait = {"MARK": str(site.folder)}, f"echo started; while ! test -e {site.folder / 'go'}; do sleep 0.05; done"
    # Where jobs come and go fast, workers get some ahead.
    site.add_many(60, "true", workflow="fast", priority=3)
    site.add_many(2, wait, workflow="wait", priority=2, environ_vars=mark)
    jobs = site.add_many(2, COUNTED, priority=1, environ_vars=mark)
    launcher = site.start(**on_nodes(2))
    worker = launcher.worker
    wait_until(
        lambda: site.states() == {"JOB_FINISHED": 60, "RUNNING": 2, "PREPROCESSED": 2},
        explain=lambda: str(site.states()),
    )
    assert None not in [site.store.job(job).launcher_id for job in jobs]
    with locked(site):
        (site.folder / "go").touch()
        for job in jobs:
            site.wait_output(job, "started")
        worker.kill()
        wait_until(lambda: marked(str(site.folder)) == [])
    assert launcher.wait() == 1
    assert [site.history(job)[2:] for job in jobs] == [["RUNNING", "RESTART_READY"]] * 2
    site.run(**on_nodes(2))
    check_second_run(site, jobs)


def test_a_master_that_hangs_is_ended_and_its_jobs_run_again(site: Site) -> None:
    launcher, jobs = started(site, BALSAM_LAUNCHER__LEASE_SECONDS="4")
    rank_processes(launcher, 3)[0].send_signal(signal.SIGSTOP)
    assert launcher.wait() == 0, launcher.text
    check_second_run(site, jobs)
    assert "has said nothing for" in launcher.text


def test_the_launcher_goes_on_without_a_node_that_does_not_answer(site: Site) -> None:
    real = Path(sys.executable).with_name("mpiexec")
    cut = site.folder / "cut"
    site.shell("mpiexec", f'test -e {cut} && case "$*" in *n2*) exit 1;; esac\nexec {real} "$@"')
    launcher, jobs = started(site, PATH=f"{site.folder}:{site.environ['PATH']}")
    cut.touch()
    rank_processes(launcher, 3)[1].kill()
    assert launcher.wait() == 0, launcher.text
    check_second_run(site, jobs)
    assert {node_of(site, job) for job in jobs} == {"n1", "n3"}
    assert "going on without nodes that do not answer, 1: n2" in launcher.text


def test_a_master_on_another_machine_refuses_an_sqlite_site(site: Site) -> None:
    real = Path(sys.executable).with_name("mpiexec")
    site.shell("mpiexec", f'BALSAM_MACHINE_ID=another exec {real} "$@"')
    site.add()
    launcher = site.start(**on_nodes(2), PATH=f"{site.folder}:{site.environ['PATH']}")
    assert launcher.wait() == 1
    assert "SQLite" in launcher.text
    assert "Traceback" not in launcher.text
    assert site.states() == {"PREPROCESSED": 1}


def test_by_its_setting_a_launcher_ends_with_a_message_when_a_rank_dies(site: Site) -> None:
    launcher, jobs = started(site, nodes=2, BALSAM_LAUNCHER__ON_RANK_DEATH="end")
    rank_processes(launcher, 2)[1].kill()
    assert launcher.wait() == 1
    assert "the setting on_rank_death says to end" in launcher.text
    assert {site.state(job) for job in jobs} == {"RESTART_READY"}
    assert marked(str(site.folder)) == []
