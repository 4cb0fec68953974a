"""The queue of the plugin local with real batch scripts: order, nodes, walltime, cancelling, death of the runner."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from balsam_core.commands import run_command
from balsam_core.plugins import BatchRecord, BatchState, Command
from balsam_local.queue import requests
from balsam_local.queue.folder import Folder
from balsam_local.queue.processes import process
from balsam_local.scheduler import LocalScheduler
from balsam_local.settings import LocalSettings
from tests.helpers import make_request

SECONDS = 60.0
# Ignores SIGTERM, and has a child in a session of its own; both leave their pids.
STUBBORN = "trap '' TERM; setsid sh -c 'echo $$ > escaped.tmp; mv escaped.tmp escaped; exec sleep 300' & echo up; wait"


class Queue:
    """A queue in a temporary folder, and a folder in which batch jobs run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "queue"
        self.work = folder / "work"
        self.work.mkdir()
        self.count = 0

    def submit_argv(self, text: str, *options: str, minutes: float = 5) -> list[str]:
        self.count += 1
        script = self.work / f"{self.count}.sh"
        script.write_text(f"#!/bin/sh\n{text}\n")
        queue = [sys.executable, "-m", "balsam_local.queue", f"--path={self.path}"]
        given = [f"--name=job{self.count}", f"--minutes={minutes}", f"--workdir={self.work}"]
        return [*queue, "submit", *given, f"--output-prefix={self.work}/{self.count}", *options, str(script)]

    def submit(self, text: str, *options: str, minutes: float = 5, **environ: str) -> str:
        argv = self.submit_argv(text, *options, minutes=minutes)
        done = subprocess.run(argv, env={**os.environ, **environ}, capture_output=True, text=True, timeout=SECONDS)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    def rows(self, command: str, *ids: str) -> list[dict[str, Any]]:
        """The answer of a command, asked for in this process, which is quicker."""
        return getattr(requests, command)(Folder(self.path), list(map(int, ids)), os.environ)  # type: ignore[no-any-return]

    def states(self) -> dict[str, str]:
        """All batch jobs, those that are over first."""
        return {row["id"]: row["state"] for row in self.rows("history") + self.rows("status")}

    def wait(self, job_id: str, *states: str) -> dict[str, Any]:
        """The file of a batch job that has come to one of these states."""
        names = [self.path / folder / f"{job_id}.json" for folder in ("active", "ended")]

        def record() -> dict[str, Any] | None:
            for name in names:
                with suppress(FileNotFoundError):
                    found: dict[str, Any] = json.loads(name.read_text())
                    return found if found["state"] in states else None
            return None

        return dict(wait_for(record))

    def end_of(self, job_id: str) -> dict[str, Any]:
        return self.wait(job_id, "DONE", "FAILED", "TIMEOUT", "CANCELLED")

    def output(self, job_id: str) -> str:
        file = self.work / f"{job_id}.output"
        return file.read_text() if file.exists() else ""

    def wait_for_output(self, job_id: str, text: str) -> None:
        wait_for(lambda: text in self.output(job_id))

    def runner(self) -> int:
        """The pid of the runner that lives."""
        pid = wait_for(lambda: (self.path / "runner").read_text().strip())
        assert self.has_runner()
        return int(pid)

    def has_runner(self) -> bool:
        with (self.path / "runner").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False


def wait_for(ask: Callable[[], Any]) -> Any:
    """The first answer that is true."""
    until = time.monotonic() + SECONDS
    while not (answer := ask()):
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)
    return answer


def is_alive(pid: int) -> bool:
    one = process(pid)
    return one is not None and not one.is_zombie


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """A queue whose runner must end by itself once all is cancelled."""
    one = Queue(tmp_path)
    yield one
    if one.path.exists():
        active = [row["id"] for row in one.rows("status")]
        one.rows("cancel", *active)
        wait_for(lambda: not one.has_runner())
        assert (one.path / "runner.log").read_text() == ""
        assert list((one.path / "active").iterdir()) == []


def test_batch_jobs_run_in_order_with_the_submitters_environment_and_all_is_recorded(queue: Queue) -> None:
    first = queue.submit("echo out; echo err >&2; sleep 0.3; exit 3", "--queue=q", "--project=none")
    show = 'echo "$PWD $COLOUR $BALSAM_LOCAL_JOB_ID $BALSAM_LOCAL_NODES ${BALSAM_LAUNCHER_ID-none}"; umask'
    second = queue.submit(show, COLOUR="blue", BALSAM_LAUNCHER_ID="x")
    ended, after = queue.end_of(first), queue.end_of(second)
    assert (ended["state"], ended["exit_code"], ended["reason"]) == ("FAILED", 3, "exit code 3")
    assert queue.output(first) == "out\nerr\n"
    assert queue.output(second) == f"{queue.work} blue 2 n1 none\n{oct(after['umask'])[2:]:0>4}\n"
    assert ended["submitted_at"] <= ended["started_at"] <= ended["ended_at"] - 0.3
    assert 0 <= after["started_at"] - ended["ended_at"] < 1, "0.01 s on an idle machine"
    assert [(row["id"], row["queue"], row["project"]) for row in queue.rows("history")] == [
        ("1", "q", "none"),
        ("2", None, None),
    ]


def test_as_many_run_as_there_are_nodes_and_nobody_overtakes(queue: Queue) -> None:
    hold = "until [ -e go ]; do sleep 0.02; done"
    two = "--machine-nodes=2"
    for options in ((), (), ("--nodes=2",), ()):
        queue.submit(f'echo "$BALSAM_LOCAL_NODES"; {hold}', two, *options)
    queue.wait_for_output("2", "n2\n")
    rows = queue.rows("status")
    assert [(row["state"], row["node_ids"]) for row in rows[:2]] == [("RUNNING", ["n1"]), ("RUNNING", ["n2"])]
    assert [(row["state"], row["reason"]) for row in rows[2:]] == [
        ("WAITING", "behind batch job 2"),
        ("WAITING", "behind batch job 3"),
    ]
    queue.rows("cancel", "1")
    queue.end_of("1")
    assert queue.states()["4"] == "WAITING", "one node is free, and the wide one goes first"
    (queue.work / "go").touch()
    ends = [queue.end_of(job_id) for job_id in ("2", "3", "4")]
    assert queue.output("3") == "n1,n2\n"
    assert [end["state"] for end in ends] == ["DONE"] * 3
    assert ends[0]["ended_at"] <= ends[1]["started_at"]
    assert ends[1]["ended_at"] <= ends[2]["started_at"]


def test_at_the_walltime_a_batch_job_may_end_itself_and_is_killed_after_the_grace(queue: Queue) -> None:
    # The shell ends at once; what it started needs a moment to end well.
    polite = "sh -c 'trap \"sleep 0.3; echo bye; exit\" TERM; while :; do sleep 0.02; done' & wait"
    first = queue.submit(polite, minutes=0.01)
    second = queue.submit(STUBBORN, "--grace-seconds=0.2", minutes=0.01)
    ended = queue.end_of(first)
    assert (ended["state"], ended["reason"]) == ("TIMEOUT", "its walltime of 0.01 minutes was over")
    assert queue.output(first).endswith("bye\n")
    assert ended["ended_at"] - ended["started_at"] < 5, "nobody waits for the grace to pass"
    killed = queue.end_of(second)
    assert (killed["state"], killed["exit_code"]) == ("TIMEOUT", -9)
    assert killed["ended_at"] - killed["started_at"] >= 0.8
    assert not is_alive(int((queue.work / "escaped").read_text()))


def test_cancel_takes_out_what_waits_and_ends_what_runs(queue: Queue) -> None:
    running = queue.submit("trap 'echo caught; exit 9' TERM; echo up; while :; do sleep 0.02; done")
    waiting, last = queue.submit("echo never"), queue.submit("echo last")
    queue.wait_for_output(running, "up")
    assert queue.rows("cancel", waiting, "77") == [
        {"id": waiting, "answer": "cancelled"},
        {"id": "77", "answer": "unknown"},
    ]
    assert queue.rows("status", waiting, "77")[0]["state"] == "CANCELLED"
    assert queue.rows("cancel", running) == [{"id": running, "answer": "stopping"}]
    ended = queue.end_of(running)
    assert (ended["state"], ended["exit_code"]) == ("CANCELLED", 9)
    assert queue.output(running).endswith("caught\n")
    assert queue.end_of(last)["state"] == "DONE"
    assert queue.rows("cancel", running, last) == [{"id": job, "answer": "over"} for job in (running, last)]
    assert queue.output(waiting) == ""


def test_after_kill_9_of_the_runner_its_batch_jobs_are_swept_and_the_rest_runs(queue: Queue) -> None:
    swept, later = queue.submit(STUBBORN), queue.submit("echo later")
    escaped = int(wait_for(lambda: (queue.work / "escaped").exists() and (queue.work / "escaped").read_text()))
    script = queue.wait(swept, "RUNNING")["pid"]
    os.kill(queue.runner(), signal.SIGKILL)
    wait_for(lambda: not queue.has_runner())
    assert is_alive(script)
    rows = {row["id"]: row for row in queue.rows("status", swept, later)}
    assert (rows[swept]["state"], rows[swept]["reason"]) == ("FAILED", "the runner died")
    assert not is_alive(script)
    assert not is_alive(escaped)
    assert queue.end_of(later)["state"] == "DONE"


def test_a_batch_job_that_looks_for_its_dead_runner_is_ended_like_any_other(queue: Queue) -> None:
    ask = f"{sys.executable} -m balsam_local.queue --path={queue.path} status > said"
    job_id = queue.submit(f"echo up; until [ -e go ]; do sleep 0.02; done; {ask}; sleep 300")
    queue.wait_for_output(job_id, "up")
    script = queue.wait(job_id, "RUNNING")["pid"]
    os.kill(queue.runner(), signal.SIGKILL)
    wait_for(lambda: not queue.has_runner())
    (queue.work / "go").touch()
    assert queue.end_of(job_id)["reason"] == "the runner died"
    assert not is_alive(script)


def test_sigterm_to_the_runner_ends_what_runs_and_leaves_what_waits(queue: Queue) -> None:
    running, waiting = queue.submit("echo up; sleep 300"), queue.submit("echo later")
    queue.wait_for_output(running, "up")
    os.kill(queue.runner(), signal.SIGTERM)
    ended = queue.end_of(running)
    assert (ended["state"], ended["reason"]) == ("FAILED", "the runner received SIGTERM")
    wait_for(lambda: not queue.has_runner())
    assert json.loads((queue.path / "active" / f"{waiting}.json").read_text())["state"] == "WAITING"
    queue.rows("status")
    assert queue.end_of(waiting)["state"] == "DONE"


def test_ten_submits_at_once_start_one_runner(queue: Queue) -> None:
    argvs = [queue.submit_argv("echo $PPID; until [ -e go ]; do sleep 0.02; done") for _ in range(10)]
    submits = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for argv in argvs]
    ids = [submit.communicate(timeout=SECONDS)[0].strip() for submit in submits]
    assert sorted(ids, key=int) == [str(number) for number in range(1, 11)]
    (queue.work / "go").touch()
    assert [queue.end_of(job_id)["state"] for job_id in ids] == ["DONE"] * 10
    assert len({queue.output(job_id) for job_id in ids}) == 1


def test_the_runner_sleeps_while_nothing_happens(queue: Queue) -> None:
    queue.submit("echo up; sleep 300")
    queue.wait_for_output("1", "up")
    status = Path(f"/proc/{queue.runner()}/status")

    def wake_ups() -> list[str]:
        return [line for line in status.read_text().splitlines() if "ctxt_switches" in line]

    def sleeps_for_half_a_second() -> bool:
        before = wake_ups()
        time.sleep(0.5)
        return wake_ups() == before

    wait_for(sleeps_for_half_a_second)


def test_a_script_that_cannot_be_started_says_why_and_holds_nobody_up(queue: Queue) -> None:
    hold = queue.submit("until [ -e go ]; do sleep 0.02; done")
    broken, last = queue.submit("echo never"), queue.submit("true")
    (queue.work / "2.sh").write_text("#!/no/such/shell\n")
    (queue.work / "go").touch()
    assert queue.end_of(hold)["state"] == "DONE"
    ended = queue.end_of(broken)
    assert (ended["state"], ended["exit_code"]) == ("FAILED", None)
    assert "cannot start: " in ended["reason"]
    assert "/no/such/shell" in ended["reason"]
    assert queue.end_of(last)["state"] == "DONE"


def test_a_runner_whose_folder_was_removed_ends_with_its_batch_jobs(queue: Queue) -> None:
    queue.submit("echo $$; sleep 1; sleep 300", minutes=0.02)
    queue.wait_for_output("1", "\n")
    runner = queue.runner()
    shutil.rmtree(queue.path)
    wait_for(lambda: not is_alive(runner))
    assert not is_alive(int(queue.output("1")))


def test_the_scheduler_understands_the_queue(queue: Queue) -> None:
    scheduler = LocalScheduler(LocalSettings(queue_path=str(queue.path), virtual_nodes=2))
    script = queue.work / "qlaunch1.sh"
    script.write_text("#!/bin/sh\necho up; sleep 300\n")
    request = make_request(workdir=str(queue.work), output_prefix=str(queue.work / "1"))

    def run(command: Command | None) -> Any:
        assert command is not None
        return run_command(command, SECONDS)

    checked = run(scheduler.submit_command(request, str(script), dry_run=True))
    assert (checked.returncode, checked.stdout) == (0, "")
    job_id = scheduler.parse_submit(run(scheduler.submit_command(request, str(script), dry_run=False)))
    assert job_id == "1", "the dry run queued nothing"
    queue.wait_for_output(job_id, "up")
    status = scheduler.parse_status([job_id, "9"], run(scheduler.status_command([job_id, "9"], "ada"))).jobs
    assert set(status) == {job_id}
    assert (status[job_id].state, status[job_id].name, status[job_id].nodes) == (BatchState.RUNNING, "qlaunch1", 2)
    assert 1700 < (status[job_id].seconds_left or 0) <= 1800
    assert scheduler.parse_find(run(scheduler.find_command("qlaunch1", "ada"))) == job_id
    assert scheduler.parse_find(run(scheduler.find_command("qlaunch2", "ada"))) is None
    assert scheduler.parse_cancel([job_id], run(scheduler.cancel_command([job_id]))) == {job_id}
    queue.end_of(job_id)
    records = [BatchRecord(job_id, str(queue.work), str(queue.work / "1"))]
    (command,) = scheduler.history_commands(records)
    ended = scheduler.parse_history(records, [run(command)]).jobs[job_id]
    assert (ended.state, ended.reason, ended.exit_code) == (BatchState.CANCELLED, "cancelled", -15)
