"""Waiting for jobs, following their output, sending them back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from balsam_core.state.machine import State
from balsam_core.state.outcomes import End
from balsam_core.state.store import Store, open_store, sqlite_url
from balsam_core.workdirs import Workdirs
from tests.acceptance.runner import BALSAM, CommandLine
from tests.helpers import MACHINE, finish, make_launcher, move, put, running, state_of


@pytest.fixture
def store(hello: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store behind the command line, on the machine of the helpers' launchers."""
    monkeypatch.setenv("BALSAM_MACHINE_ID", MACHINE)
    opened = open_store(sqlite_url(hello / "balsam.db"))
    yield opened
    opened.database.close()


def test_wait_says_how_many_and_its_exit_code_says_whether_all(balsam: CommandLine, store: Store) -> None:
    put(store, State.JOB_FINISHED, "one", application="hello")
    ran = balsam.ok("wait", "--wf", "test")
    assert (ran.out, ran.err) == ("1 of 1 job reached JOB_FINISHED\n", "")
    put(store, State.FAILED, "two", application="hello")
    ran = balsam("wait", "--name", "t")
    assert (ran.code, ran.out) == (1, "0 of 1 job reached JOB_FINISHED; 1 FAILED\n")


def test_wait_gives_up_after_its_timeout_and_says_that_nobody_works(balsam: CommandLine, store: Store) -> None:
    put(store, application="hello")
    ran = balsam("wait", "--timeout", "0", "--for", "running")
    assert (ran.code, ran.out) == (1, "0 of 1 job reached RUNNING; 1 still on the way; the time is up\n")
    assert ran.err.splitlines()[0] == ("no launcher runs and no batch job is open: nothing goes on until there is one")


def test_wait_refuses_to_choose_by_what_changes(balsam: CommandLine, site: Path) -> None:
    ran = balsam("wait", "--state", "READY")
    assert (ran.code, ran.err) == (
        2,
        "balsam wait: --state is what changes while one waits; choose by ID, --name, --wf or --tag; "
        "see `balsam wait --help`\n",
    )


def test_tail_follows_a_running_job_to_its_end(balsam: CommandLine, store: Store, hello: Path) -> None:
    launcher = make_launcher(store)
    job = running(store, launcher, application="hello")
    output = Workdirs(hello / "data").output_of(job)
    output.parent.mkdir(parents=True)
    output.write_text("1\n2\n3\n")
    shown = balsam.ok("tail", str(job.job_id)[:8], "--no-follow", "-n", "1")
    assert (shown.out, shown.err) == ("3\n", "")
    command = [str(BALSAM), "tail", str(job.job_id), "--lines", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert [follower.stdout.readline() for _ in range(2)] == ["2\n", "3\n"]
        with output.open("a") as stream:
            stream.write("4\n")
        assert follower.stdout.readline() == "4\n"
        finish(store, launcher, job)
        out, err = follower.communicate(timeout=60)
    assert (follower.returncode, out, err) == (0, "", f"{job.cute_id} is JOB_FINISHED\n")


@pytest.mark.parametrize("state", [State.PREPROCESSED, State.RUN_TIMEOUT])
def test_tail_waits_for_a_job_to_begin(balsam: CommandLine, store: Store, state: State) -> None:
    job_id = put(store, state, application="hello")
    with subprocess.Popen([BALSAM, "tail", str(job_id)], stderr=subprocess.PIPE, text=True) as follower:
        assert follower.stderr is not None
        short = str(job_id)[:8]
        assert follower.stderr.readline() == (
            f"waiting for [job | {short}] to begin: it is {state}; `balsam explain {short}` says why\n"
        )
        move(store, job_id, State.USER_KILLED)
        assert follower.stderr.readline() == f"[job | {short}] is USER_KILLED\n"
        assert follower.wait(60) == 0


def test_retry_asks_says_how_many_and_where_they_go(balsam: CommandLine, store: Store) -> None:
    launcher = make_launcher(store)
    job = running(store, launcher, "a", application="hello")
    child = put(store, name="b", application="hello", parents=(job.job_id,))
    finish(store, launcher, job, End.ERROR, exit_code=3)
    refused = balsam("retry", "--wf", "test", stdin="n\n")
    assert (refused.code, refused.err) == (
        1,
        "Retry 2 jobs: 1 to AWAITING_PARENTS, 1 to RESTART_READY? [y/n]: balsam: aborted: nothing was changed\n",
    )
    assert balsam.ok("retry", str(job.job_id)).out == (
        "Sent 2 jobs back: 1 to AWAITING_PARENTS, 1 to RESTART_READY (1 failed because of others)\n"
    )
    assert (state_of(store, job.job_id), state_of(store, child)) == (State.RESTART_READY, State.AWAITING_PARENTS)


def test_retry_says_why_it_leaves_jobs(balsam: CommandLine, store: Store) -> None:
    killed = put(store, State.USER_KILLED, "k", application="hello")
    put(store, name="child", application="hello", parents=(killed,))
    store.advance()
    assert (
        balsam.ok("retry", "--id", str(killed)).out == "none of these has failed: 1 USER_KILLED; nothing was changed\n"
    )
    assert balsam.ok("retry", "--all").out == (
        "1 job left: a parent stays FAILED or USER_KILLED; retry that one; nothing was changed\n"
    )
    assert balsam("retry").code == 2
