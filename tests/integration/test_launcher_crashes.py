"""`kill -9` of anything at any moment, hung launchers, several launchers on one site: no job is lost."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.integration.launching import PLAIN, Site, marked, temporary_site, wait_until

# Says that it started, and has a grandchild that leaves its session.
COUNTED = "echo $BALSAM_ATTEMPT >> starts; echo started; setsid sleep 300 & test $BALSAM_ATTEMPT != 1 || sleep 300"
AGAIN = ["RUNNING", "RESTART_READY", *PLAIN[2:]]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with temporary_site(tmp_path) as site:
        yield site


def add_counted(site: Site, count: int = 2) -> list[UUID]:
    """Jobs whose first attempt hangs; all that they start can be found by its mark."""
    mark = {"MARK": str(site.folder)}
    jobs = site.add_many(count, COUNTED, environ_vars=mark, node_packing_count=count + 1)
    site.add("unstarted", node_packing_count=1)
    return jobs


def starts(site: Site, job: UUID) -> list[int]:
    """The attempts that really began, as the job itself has counted them."""
    file = site.workdir(job) / "starts"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def check_second_run(site: Site, jobs: list[UUID]) -> None:
    """Everything ended well with the second attempt."""
    assert [site.history(job) for job in jobs] == [[*PLAIN[:2], *AGAIN]] * len(jobs)
    assert [starts(site, job) for job in jobs] == [[1, 2]] * len(jobs)
    assert [site.store.job(job).attempt for job in jobs] == [2] * len(jobs)
    assert site.states() == {"JOB_FINISHED": len(jobs) + 1}
    assert marked(str(site.folder)) == []
    assert list((site.folder / "log").glob("*.starts")) == []


def test_after_kill_9_of_the_launcher_nothing_runs_on_and_the_next_one_runs_the_jobs_again(site: Site) -> None:
    jobs = add_counted(site)
    first = site.start()
    for job in jobs:
        site.wait_output(job, "started")
        site.wait_state(job, "RUNNING")
    first.send(signal.SIGKILL)
    first.wait()
    wait_until(lambda: marked(str(site.folder)) == [])
    assert {site.state(job) for job in jobs} == {"RUNNING"}
    site.run()
    check_second_run(site, jobs)
    assert "its process is gone" in site.message(jobs[0], "RESTART_READY")


def test_after_kill_9_of_launcher_and_worker_the_next_launcher_ends_what_they_left(site: Site) -> None:
    jobs = add_counted(site)
    first = site.start()
    for job in jobs:
        site.wait_output(job, "started")
    worker = first.worker
    first.send(signal.SIGSTOP)
    worker.kill()
    first.send(signal.SIGKILL)
    first.wait()
    assert marked(str(site.folder))
    second = site.run()
    check_second_run(site, jobs)
    assert "took back 2 running jobs" in second.text


def test_after_kill_9_of_the_worker_the_launcher_ends_what_it_left_and_says_so(site: Site) -> None:
    jobs = add_counted(site)
    first = site.start()
    for job in jobs:
        site.wait_output(job, "started")
    first.worker.kill()
    assert first.wait() == 1
    assert "has died of signal 9" in first.text
    assert marked(str(site.folder)) == []
    assert {site.history(job)[-1] for job in jobs} == {"RESTART_READY"}
    assert site.store.launchers() == []
    site.run()
    check_second_run(site, jobs)


def test_a_launcher_that_hung_beyond_its_lease_gives_way_and_records_nothing(site: Site) -> None:
    jobs = add_counted(site)
    first = site.start(BALSAM_LAUNCHER__LEASE_SECONDS="1")
    for job in jobs:
        site.wait_output(job, "started")
        # In the middle of that transaction it would be killed instead: see `test_state_processes.py`.
        site.wait_state(job, "RUNNING")
    first.send(signal.SIGSTOP)
    second = site.start("--persistent")
    site.wait_all_ended()
    first.send(signal.SIGCONT)
    assert first.wait() == 1
    assert "this launcher's lease was declared over" in first.text
    assert "Traceback" not in first.text
    assert "no heartbeat for" in site.message(jobs[0], "RESTART_READY")
    second.send(signal.SIGTERM)
    assert second.wait() == 0
    check_second_run(site, jobs)


def test_of_three_launchers_each_job_is_run_by_one(site: Site) -> None:
    jobs = site.add_many(150, "echo $BALSAM_ATTEMPT >> starts; sleep 0.01", node_packing_count=2)
    parents = [site.add(f"child{number}", parents=jobs[number : number + 40]) for number in (0, 50, 100)]
    launchers = [site.start() for _ in range(3)]
    assert [launcher.wait() for launcher in launchers] == [0, 0, 0]
    assert site.states() == {"JOB_FINISHED": 153}
    assert Counter(tuple(starts(site, job)) for job in jobs) == {(1,): 150}
    assert {tuple(site.history(job)) for job in jobs} == {tuple(PLAIN)}
    assert {site.store.job(job).attempt for job in (*jobs, *parents)} == {1}


def test_a_launcher_waits_for_jobs_that_another_launcher_may_release(site: Site) -> None:
    parent = site.add("parent", "while ! test -e go; do sleep 0.05; done")
    child = site.add("child", "true", parents=(parent,), workflow="other")
    first = site.start("--wf-filter", "test")
    site.wait_state(parent, "RUNNING")
    second = site.start("--wf-filter=other").wait_started()
    time.sleep(0.5)
    assert second.process.poll() is None
    (site.workdir(parent) / "go").touch()
    assert (first.wait(), second.wait()) == (0, 0)
    assert site.state(child) == "JOB_FINISHED"
