"""The worker process with real jobs: starts, ends, kills, queueing, and death at every level."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

import balsam_core
from balsam_core.launcher.journal import read_journal
from balsam_core.launcher.messages import Bound, Ended, How, Need, Recalled, Refused, Report, Started, Task
from balsam_core.launcher.procfs import process
from balsam_core.launcher.sweep import sweep
from balsam_core.launcher.worker_client import (
    WorkerClient,
    WorkerDied,
    clean_environment,
    kill_message,
    start_message,
    start_worker,
)
from balsam_core.models.nodes import Node
from balsam_core.plugins import Command

R = TypeVar("R", Started, Refused, Ended, Recalled)
LAUNCHER_ID = f"test-{os.getpid()}"
# Leaves a pid file per process, ignores SIGTERM, and has a grandchild in a session of its own.
FAMILY = "trap '' TERM; echo $$ > leader; setsid sh -c 'echo $$ > escaped; exec sleep 300' & echo $! > child; wait"


class Site:
    """A worker, where its jobs run, and what it has said so far."""

    def __init__(self, folder: Path, worker: WorkerClient) -> None:
        self.folder = folder
        self.worker = worker
        self.reports: list[Report] = []

    def task(self, key: str, script: str, **changes: object) -> Task:
        task = Task(key, ["sh", "-c", script], str(self.folder / "data" / key), "job.out")
        return task._replace(**changes)  # type: ignore[arg-type]

    def run(self, *tasks: Task) -> list[Ended]:
        self.worker.start(tasks)
        return [self.wait(Ended, task.key) for task in tasks]

    def wait(self, kind: type[R], key: str, seconds: float = 20) -> R:
        """The report of that kind about that key."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for report in self.reports:
                if isinstance(report, kind) and key in (report.keys if isinstance(report, Recalled) else [report.key]):
                    return report
            if select.select([self.worker], [], [], 0.1)[0]:
                self.reports += self.worker.receive()
        raise TimeoutError(f"no {kind.__name__} of {key}: {self.reports}")

    def output(self, key: str) -> str:
        return (self.folder / "data" / key / "job.out").read_text()

    def pid(self, key: str, name: str) -> int:
        """The pid that a job has left in a file."""
        file = self.folder / "data" / key / name
        wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
        return int(file.read_text())


def wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    one = process(pid)
    return one is not None and not one.is_zombie


def make_site(folder: Path, seconds_left: float | None = None, **node: object) -> Site:
    made = Node("a", "localhost", **node)  # type: ignore[arg-type]
    environ = {"PATH": os.environ["PATH"], "BASE": "1", "PMI_RANK": "3"}
    worker = start_worker(made, LAUNCHER_ID, environ, folder / "journal", seconds_left, grace_seconds=0.3)
    return Site(folder, worker)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = make_site(tmp_path)
    with site.worker:
        yield site


def test_a_job_runs_in_its_new_folder_and_its_end_is_reported(site: Site) -> None:
    (ended,) = site.run(site.task("a.1", "pwd; echo problem >&2; exit 3"))
    assert (ended.code, ended.how) == (3, How.EXITED)
    assert ended.tail == site.output("a.1") == f"{site.folder}/data/a.1\nproblem\n"
    started = site.wait(Started, "a.1")
    assert abs(started.boottime_seconds - time.clock_gettime(time.CLOCK_BOOTTIME)) < 20


def test_a_job_that_succeeds_has_no_tail(site: Site) -> None:
    assert site.run(site.task("a.1", "echo fine"))[0].tail == ""


def test_a_job_that_dies_of_a_signal_has_its_negative_number(site: Site) -> None:
    assert site.run(site.task("a.1", "kill -SEGV $$"))[0].code == -signal.SIGSEGV


def test_the_tail_is_the_end_of_this_attempt_only(site: Site) -> None:
    first, second = site.task("a", "echo first; exit 1"), site.task("a", "echo second; exit 1")
    assert site.run(first)[0].tail == "first\n"
    site.reports.clear()
    assert site.run(second)[0].tail == "second\n"
    assert site.output("a") == "first\nsecond\n"


def test_a_long_output_is_cut_to_its_end(site: Site) -> None:
    tail = site.run(site.task("a.1", "seq 100000; exit 1"))[0].tail
    assert len(tail) == 2048
    assert tail.endswith("99999\n100000\n")


def test_a_job_sees_base_environment_and_changes_but_no_rank_of_ours(site: Site) -> None:
    script = "echo $BASE $MORE $BALSAM_LAUNCHER_ID ${PMI_RANK-none} ${GONE-gone}"
    site.run(site.task("a.1", script, env={"MORE": "2", "GONE": None}))
    assert site.output("a.1") == f"1 2 {LAUNCHER_ID} none gone\n"


def test_a_job_starts_clean(site: Site) -> None:
    """Own session, nothing on stdin, no foreign descriptors, no signal ignored or blocked."""
    script = "import os; print(os.getsid(0) == os.getpgid(0) == os.getpid(), os.read(0, 1), \
os.listdir('/proc/self/fd')[:-1])"
    site.run(site.task("a.1", "", argv=[sys.executable, "-S", "-c", script]))
    assert site.output("a.1") == "True b'' ['0', '1', '2']\n"
    site.run(site.task("b.1", "", argv=["cat", "/proc/self/status"]))
    masks = dict(line.split(":\t") for line in site.output("b.1").splitlines() if line.startswith("Sig"))
    internal = 0b11 << 31  # glibc's posix_spawn ignores its own signals 32 and 33; no program can tell
    assert [int(masks[name], 16) & ~internal for name in ("SigBlk", "SigIgn")] == [0, 0]


def test_the_program_is_looked_up_in_the_jobs_own_path(site: Site) -> None:
    tool = site.folder / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho tool $1\n")
    tool.chmod(0o755)
    site.run(site.task("a.1", "", argv=["tool", "x"], env={"PATH": f"/nowhere:{tool.parent}"}))
    assert site.output("a.1") == "tool x\n"


def test_a_program_with_a_slash_is_relative_to_the_working_directory(site: Site) -> None:
    folder = site.folder / "data" / "a.1"
    folder.mkdir(parents=True)
    (folder / "run.sh").write_text("#!/bin/sh\necho here\n")
    (folder / "run.sh").chmod(0o755)
    site.run(site.task("a.1", "", argv=["./run.sh"]))
    assert site.output("a.1") == "here\n"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"argv": ["/no/such"]}, "no such file or directory: '/no/such'"),
        ({"argv": ["no-such-tool"]}, "not found in PATH: 'no-such-tool'"),
        ({"argv": ["/etc/passwd"]}, "permission denied: '/etc/passwd'"),
        ({"argv": []}, "the command is empty"),
        ({"argv": ["sh", "a\0b"]}, "embedded null byte"),
        ({"cwd": "/dev/null/x"}, "cannot use the working directory: not a directory: '/dev/null/x'"),
        (
            {"cwd": "/no/such", "make_cwd": False},
            "cannot use the working directory: no such file or directory: '/no/such'",
        ),
        ({"output": "/dev/full/x"}, "not a directory: '/dev/full/x'"),
        ({"need": Need(gpus=1)}, "asks for 1 GPUs per node, the node has 0"),
        ({"need": Need(packing=0)}, "asks for a packing of 0, the least is 1"),
        ({"bound": Bound(cpus=(4095,))}, "cannot bind to the cores 4095: invalid argument"),
    ],
)
def test_what_cannot_be_started_says_why_and_stops_nothing(site: Site, changes: dict[str, object], reason: str) -> None:
    site.worker.start([site.task("bad.1", "", **changes)])
    assert site.wait(Refused, "bad.1").reason == reason
    assert site.run(site.task("good.1", "true"))[0].code == 0


def test_a_script_whose_interpreter_is_missing_says_so(site: Site) -> None:
    script = site.folder / "script"
    script.write_text("#!/no/such/python\n")
    script.chmod(0o755)
    site.worker.start([site.task("a.1", "", argv=[str(script)])])
    assert site.wait(Refused, "a.1").reason == f"the interpreter in its first line does not exist: '{script}'"


def test_jobs_start_in_order_and_never_more_than_fit(site: Site) -> None:
    script = "echo start >> ../log; sleep 0.02; echo end >> ../log"
    tasks = [site.task(f"{number}.1", script, need=Need(packing=3)) for number in range(12)]
    site.run(*tasks)
    assert [report.key for report in site.reports if isinstance(report, Started)] == [task.key for task in tasks]
    running = most = 0
    for line in (site.folder / "data" / "log").read_text().split():
        running += 1 if line == "start" else -1
        most = max(most, running)
    assert most <= 3


def test_a_job_that_fits_passes_one_that_does_not(site: Site) -> None:
    site.worker.start(
        [
            site.task("half.1", "sleep 300", need=Need(packing=2)),
            site.task("whole.1", "true"),
            site.task("other.1", "true", need=Need(packing=2)),
        ]
    )
    site.wait(Ended, "other.1")
    assert [report.key for report in site.reports if isinstance(report, Started)] == ["half.1", "other.1"]
    site.worker.kill(["half.1"], 0)
    assert site.wait(Ended, "whole.1").code == 0


def test_jobs_get_cores_and_gpus_of_their_own(tmp_path: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        pytest.skip("needs two cores")
    site = make_site(tmp_path, cpus=tuple(cpus), gpus=("7", "8"))
    script = "echo $CUDA_VISIBLE_DEVICES $(grep Cpus_allowed_list /proc/self/status); sleep 0.1"
    with site.worker:
        site.run(*(site.task(key, script, need=Need(packing=2)) for key in "ab"))
        site.run(site.task("none", "echo ${CUDA_VISIBLE_DEVICES-unset}", need=Need(gpus=0)))
        started = [site.wait(Started, key) for key in "ab"]
    assert [(one.cpus, one.gpus) for one in started] == [((cpus[0],), ("7",)), ((cpus[1],), ("8",))]
    assert [site.output(key).split() for key in "ab"] == [
        [gpu, "Cpus_allowed_list:", str(cpu)] for gpu, cpu in zip("78", cpus, strict=True)
    ]
    assert site.output("none") == "\n"


def test_a_bound_task_starts_at_once_past_the_queue(site: Site) -> None:
    site.worker.start([site.task("whole.1", "sleep 300"), site.task("now.1", "true", bound=Bound())])
    assert site.wait(Ended, "now.1").code == 0


def test_a_job_over_its_time_is_ended_and_said_to_be_timed_out(site: Site) -> None:
    ended, other = site.run(
        site.task("a.1", "echo begun; sleep 300", timeout_seconds=0.2, need=Need(packing=2)),
        site.task("b.1", "true", timeout_seconds=10, need=Need(packing=2)),
    )
    assert (ended.how, ended.code, ended.tail) == (How.TIMED_OUT, -signal.SIGTERM, "begun\n")
    assert 0.2 <= ended.seconds < 5
    assert other.how is How.EXITED


def test_a_time_limit_of_years_is_none_that_comes(site: Site) -> None:
    (ended,) = site.run(site.task("a.1", "exit 3", timeout_seconds=1e9))
    assert (ended.code, ended.how) == (3, How.EXITED)


def test_a_killed_job_may_use_its_grace_to_end_well(site: Site) -> None:
    site.worker.start(
        [
            site.task(
                "a.1", "trap 'sleep 0.2; echo saved; exit 0' TERM; echo ready > ready; while :; do sleep 0.05; done"
            )
        ]
    )
    wait_until((site.folder / "data/a.1/ready").exists)
    site.worker.kill(["a.1"], 20)
    ended = site.wait(Ended, "a.1")
    assert (ended.how, ended.code) == (How.KILLED, 0)
    assert ended.tail.endswith("saved\n")


def test_the_grace_is_for_the_whole_group_when_only_the_shell_dies_at_once(site: Site) -> None:
    worker = "trap 'sleep 0.3; echo saved; exit 0' TERM; echo ready > ready; while :; do sleep 0.05; done"
    site.worker.start([site.task("a.1", f'sh -c "{worker}"; true')])
    wait_until((site.folder / "data/a.1/ready").exists)
    site.worker.kill(["a.1"], 20)
    ended = site.wait(Ended, "a.1")
    assert (ended.how, ended.code) == (How.KILLED, -signal.SIGTERM)
    assert ended.tail.endswith("saved\n")
    assert ended.seconds < 10


def test_a_job_that_ignores_sigterm_is_killed_with_all_its_family(site: Site) -> None:
    site.worker.start([site.task("a.1", FAMILY)])
    family = [site.pid("a.1", name) for name in ("leader", "child", "escaped")]
    begin = time.monotonic()
    site.worker.kill(["a.1"], 0.3)
    ended = site.wait(Ended, "a.1")
    assert (ended.how, ended.code) == (How.KILLED, -signal.SIGKILL)
    assert 0.3 <= time.monotonic() - begin < 5
    wait_until(lambda: not any(map(is_alive, family)))


def test_killing_many_jobs_takes_no_look_at_all_processes_for_each(site: Site) -> None:
    keys = [f"a.{number}" for number in range(800)]
    site.worker.start([site.task(key, "", argv=["sleep", "300"], need=Need(packing=len(keys))) for key in keys])
    for key in keys:
        site.wait(Started, key)
    site.worker.kill(keys, 30)
    until = time.monotonic() + 4  # it took 7 s
    for key in keys:
        site.wait(Ended, key, until - time.monotonic())


def test_a_stopped_job_can_be_killed(site: Site) -> None:
    site.worker.start([site.task("a.1", "echo > ready; kill -STOP $$")])
    wait_until((site.folder / "data/a.1/ready").exists)
    site.worker.kill(["a.1"], 20)
    assert site.wait(Ended, "a.1").code == -signal.SIGTERM


@pytest.mark.parametrize("order", ["first", "late"])
def test_a_job_that_ends_by_command_needs_no_signal(site: Site, order: str) -> None:
    site.worker.start([site.task("a.1", "trap '' TERM; echo > ready; while ! test -e asked; do sleep 0.05; done")])
    wait_until((site.folder / "data/a.1/ready").exists)
    if order == "late":  # told to end before the launcher knew that it runs
        site.worker.kill(["a.1"], 20)
    site.worker.stop_with("a.1", Command(("touch", "asked")), Command(("touch", "forced")))
    site.worker.kill(["a.1"], 20)
    ended = site.wait(Ended, "a.1")
    assert (ended.how, ended.code) == (How.KILLED, 0)
    assert not (site.folder / "data/a.1/forced").exists()


def test_what_two_commands_do_not_end_is_killed_and_their_words_are_in_the_output(site: Site) -> None:
    site.worker.start([site.task("a.1", "trap 'echo signalled' TERM; echo > ready; while :; do sleep 0.05; done")])
    wait_until((site.folder / "data/a.1/ready").exists)
    commands = [Command(("sh", "-c", 'echo "$WHAT" no such program'), {"WHAT": what}) for what in ("asked:", "forced:")]
    site.worker.stop_with("a.1", *commands)
    site.worker.kill(["a.1"], 0.2)
    ended = site.wait(Ended, "a.1")
    assert (ended.how, ended.code) == (How.KILLED, -signal.SIGKILL)
    assert ended.tail == "asked: no such program\nforced: no such program\n"


def test_a_stop_command_that_is_missing_leaves_the_job_to_the_signals(site: Site) -> None:
    site.worker.start([site.task("a.1", "echo > ready; exec sleep 300")])
    wait_until((site.folder / "data/a.1/ready").exists)
    site.worker.stop_with("a.1", Command(("/no/such/apkill",)), Command(("/no/such/apkill", "-9")))
    site.worker.kill(["a.1"], 20)
    assert site.wait(Ended, "a.1").code == -signal.SIGTERM


def test_what_a_finished_job_leaves_in_its_group_is_killed(site: Site) -> None:
    site.run(site.task("a.1", "sleep 300 & echo $! > child"))
    child = site.pid("a.1", "child")
    wait_until(lambda: not is_alive(child))


def test_recalled_tasks_were_queued_and_never_start(site: Site) -> None:
    site.worker.start([site.task("run.1", "sleep 300"), *(site.task(f"{n}.1", "true") for n in range(3))])
    site.wait(Started, "run.1")
    site.worker.recall(["run.1", "1.1", "unknown"])
    assert site.wait(Recalled, "1.1").keys == ("1.1",)
    site.worker.recall()
    assert site.wait(Recalled, "0.1").keys == ("0.1", "2.1")
    site.worker.kill(["run.1"], 0)
    site.wait(Ended, "run.1")
    assert read_journal(site.folder / "journal") == ["run.1"]


def test_a_queued_task_that_is_killed_is_recalled(site: Site) -> None:
    site.worker.start([site.task("run.1", "sleep 300"), site.task("queued.1", "true")])
    site.wait(Started, "run.1")
    site.worker.kill(["queued.1", "run.1"], 0)
    assert site.wait(Recalled, "queued.1").reason == "killed before it started"
    assert site.wait(Ended, "run.1").how is How.KILLED


def test_a_task_that_comes_together_with_the_order_to_kill_it_is_recalled(site: Site) -> None:
    task = site.task("a.1", "sleep 300", bound=Bound())
    site.worker.tell([start_message([task]), kill_message(["a.1"], 0.1)])
    assert site.wait(Recalled, "a.1", 5).reason == "killed before it started"


def test_tasks_longer_than_the_time_left_come_back(tmp_path: Path) -> None:
    site = make_site(tmp_path, seconds_left=1000)
    with site.worker:
        short, long = Need(wall_seconds=60), Need(wall_seconds=2000)
        site.worker.start(
            [site.task("run.1", "sleep 300"), site.task("a.1", "", need=short), site.task("b.1", "", need=long)]
        )
        assert site.wait(Recalled, "b.1") == Recalled(("b.1",), "the time left is too short")
        site.worker.set_time_left(30)
        assert site.wait(Recalled, "a.1").keys == ("a.1",)
        assert is_alive(site.wait(Started, "run.1").pid)


def test_a_large_backlog_is_handed_over_at_once_and_worked_off(site: Site) -> None:
    tasks = [
        site.task(f"{n}.1", "", argv=["/bin/true"], env={"X": "x" * 1000}, need=Need(packing=4)) for n in range(600)
    ]
    assert {ended.code for ended in site.run(*tasks)} == {0}
    assert read_journal(site.folder / "journal") == [task.key for task in tasks]


def test_a_journal_that_cannot_be_written_starts_nothing(tmp_path: Path) -> None:
    worker = start_worker(Node("a", "localhost"), LAUNCHER_ID, os.environ, tmp_path / "no" / "journal")
    with worker:
        site = Site(tmp_path, worker)
        worker.start([site.task("a.1", "true")])
        assert site.wait(Refused, "a.1").reason.startswith("cannot write the journal: no such file")


def test_a_torn_journal_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a.1\nb.1\nc.")
    assert read_journal(tmp_path / "journal") == ["a.1", "b.1"]
    assert read_journal(tmp_path / "none") == []


def test_signals_for_everybody_do_not_end_the_worker(site: Site) -> None:
    site.run(site.task("a.1", "true"))
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.killpg(site.worker.pid, signum)
    assert site.run(site.task("b.1", "true"))[0].code == 0


def test_the_worker_needs_no_installed_package_and_nothing_slow() -> None:
    script = "import sys; sys.path.append(sys.argv[1]); import balsam_core.launcher.worker; print(*sys.modules)"
    package = Path(balsam_core.__file__).parent.parent
    argv = [sys.executable, "-S", "-c", script, str(package)]
    loaded = subprocess.run(argv, cwd="/", capture_output=True, text=True, timeout=30, check=True).stdout.split()
    assert not {"dataclasses", "pathlib", "socket", "subprocess"} & set(loaded)


def test_an_idle_worker_uses_no_processor_time(site: Site) -> None:
    site.worker.start([site.task("a.1", "sleep 300", timeout_seconds=100)])
    site.wait(Started, "a.1")
    before = Path(f"/proc/{site.worker.pid}/status").read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0]
    time.sleep(0.5)
    after = Path(f"/proc/{site.worker.pid}/status").read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0]
    assert int(after) - int(before) <= 2


def test_hanging_up_kills_everything_at_once(site: Site) -> None:
    site.worker.start([site.task("a.1", FAMILY)])
    family = [site.pid("a.1", name) for name in ("leader", "child", "escaped")]
    site.worker.close()
    assert not any(map(is_alive, [*family, site.worker.pid]))


def test_a_launcher_killed_by_force_leaves_nothing_even_where_its_socket_lives_on(tmp_path: Path) -> None:
    """The launcher is a process of its own here, and a child of it keeps a copy of the socket open."""
    with other_launcher(tmp_path) as (launcher, worker, family):
        launcher.kill()
        wait_until(lambda: not any(map(is_alive, [worker, *family])), seconds=5)


def test_after_launcher_and_worker_were_killed_by_force_the_sweep_finds_their_jobs(tmp_path: Path) -> None:
    with other_launcher(tmp_path) as (launcher, worker, family):
        os.kill(worker, signal.SIGKILL)
        launcher.kill()
        launcher.wait(60)
        assert all(map(is_alive, family))
        sweep(LAUNCHER_ID, [])
        assert not any(map(is_alive, family))


@contextmanager
def other_launcher(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, list[int]]]:
    """A launcher process, the pid of its worker, and the pids of a running job."""
    script = f"""
import os, subprocess, time
from pathlib import Path
from balsam_core.launcher.messages import Task
from balsam_core.launcher.worker_client import start_worker
from balsam_core.models.nodes import Node
worker = start_worker(Node("a", "localhost"), {LAUNCHER_ID!r}, os.environ)
os.set_inheritable(worker.fileno(), True)
holder = subprocess.Popen(["sleep", "300"], close_fds=False)
Path("holder").write_text(f"{{holder.pid}}\\n")
Path("worker").write_text(f"{{worker.pid}}\\n")
worker.start([Task("a.1", ["sh", "-c", {FAMILY!r}], os.getcwd(), "job.out")])
time.sleep(300)
"""
    (folder / "data" / "x").mkdir(parents=True)
    launcher = subprocess.Popen([sys.executable, "-c", script], cwd=folder / "data" / "x")
    site = Site(folder, WorkerClient.__new__(WorkerClient))
    worker, *family = (site.pid("x", name) for name in ("worker", "leader", "child", "escaped"))
    try:
        yield launcher, worker, family
    finally:
        os.kill(site.pid("x", "holder"), signal.SIGKILL)
        launcher.kill()
        launcher.wait(60)


@pytest.mark.mpi
def test_an_mpi_job_ends_well_and_dies_with_the_launcher(site: Site) -> None:
    mpiexec = str(Path(sys.executable).parent / "mpiexec")
    program = "import os, sys, time; from mpi4py import MPI; rank = MPI.COMM_WORLD.allreduce(1); \
open(f'rank{MPI.COMM_WORLD.rank}', 'w').write(f'{os.getpid()}\\n'); time.sleep(float(sys.argv[1]))"
    argv = [mpiexec, "-n", "2", sys.executable, "-m", "mpi4py", "-c", program]
    launch = {"argv": [*argv, "0"], "env": {"HYDRA_LAUNCHER": "fork"}, "bound": Bound()}
    (ended,) = site.run(site.task("ends.1", "", **launch))
    assert (ended.code, ended.tail) == (0, "")
    launch["argv"] = [*argv, "300"]
    site.worker.start([site.task("killed.1", "", **launch), site.task("orphan.1", "", **launch)])
    ranks = {key: [site.pid(key, f"rank{rank}") for rank in (0, 1)] for key in ("killed.1", "orphan.1")}
    site.worker.kill(["killed.1"], 1)
    assert site.wait(Ended, "killed.1").how is How.KILLED
    wait_until(lambda: not any(map(is_alive, ranks["killed.1"])))
    site.worker.close()
    assert not any(map(is_alive, ranks["orphan.1"]))


@pytest.mark.mpi
def test_a_worker_started_by_an_mpi_rank_runs_mpi_programs_alone_and_under_mpiexec(tmp_path: Path) -> None:
    job = "from mpi4py import MPI; print(MPI.COMM_WORLD.size, flush=True)"
    mpiexec = Path(sys.executable).parent / "mpiexec"
    script = f"""
import os, select, sys
from mpi4py import MPI
from balsam_core.launcher.messages import Ended, Task
from balsam_core.launcher.worker_client import start_worker
from balsam_core.models.nodes import Node
alone = [sys.executable, "-m", "mpi4py", "-c", {job!r}]
with start_worker(Node("a", "localhost"), {LAUNCHER_ID!r}, os.environ) as worker:
    worker.start([Task("alone", alone, {str(tmp_path)!r}, "alone.out"),
                  Task("two", [{str(mpiexec)!r}, "-n", "2", *alone], {str(tmp_path)!r}, "two.out")])
    ended = {{}}
    while len(ended) < 2 and select.select([worker], [], [], 60)[0]:
        ended |= {{report.key: report.code for report in worker.receive() if isinstance(report, Ended)}}
assert ended == {{"alone": 0, "two": 0}}, ended
"""
    environ = {**os.environ, "HYDRA_LAUNCHER": "fork"}
    argv = [str(mpiexec), "-n", "1", sys.executable, "-m", "mpi4py", "-c", script]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "alone.out").read_text() == "1\n"
    assert sorted((tmp_path / "two.out").read_text()) == ["\n", "\n", "2", "2"]  # two ranks, one file


def test_after_the_worker_was_killed_by_force_the_sweep_finds_its_jobs(site: Site) -> None:
    site.worker.start([site.task("a.1", FAMILY)])
    family = [site.pid("a.1", name) for name in ("leader", "child", "escaped")]
    os.kill(site.worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match="has died of signal 9"):
        site.wait(Ended, "a.1")
    assert all(map(is_alive, family))
    assert sweep(LAUNCHER_ID, []) >= 2
    assert not any(map(is_alive, family))
    assert read_journal(site.folder / "journal") == ["a.1"]


def test_the_sweep_knows_a_job_by_pid_and_start_when_its_environment_is_gone(tmp_path: Path) -> None:
    start = time.clock_gettime(time.CLOCK_BOOTTIME)
    script = "echo $$ > leader; sleep 300 & echo $! > child; wait"
    (tmp_path / "data" / "x").mkdir(parents=True)
    leader = subprocess.Popen(["sh", "-c", script], cwd=tmp_path / "data/x", env={}, start_new_session=True)
    site = Site(tmp_path, WorkerClient.__new__(WorkerClient))
    child = site.pid("x", "child")
    assert sweep("nobody", [(leader.pid, start - 100)]) == 0
    assert is_alive(child)
    assert sweep("nobody", [(leader.pid, start)]) >= 2
    assert not is_alive(child)
    assert leader.wait(60) == -signal.SIGKILL


def test_the_sweep_spares_itself_and_those_above_it() -> None:
    script = "from balsam_core.launcher.sweep import sweep; print(sweep('me', []))"
    shell = ["sh", "-c", '"$@"; echo shell lives', "sh", sys.executable, "-c", script]
    done = subprocess.run(
        shell, env={**os.environ, "BALSAM_LAUNCHER_ID": "me"}, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "0\nshell lives\n"


def test_ranks_are_stripped_from_the_environment_and_the_users_own_settings_stay() -> None:
    ranks = {"PMI_RANK": "0", "PMI_FD": "9", "PMIX_NAMESPACE": "x", "HYDI_CONTROL_FD": "7", "MPI_LOCALRANKID": "0"}
    ranks |= {"OMPI_COMM_WORLD_RANK": "0", "OMPI_MCA_orte_hnp_uri": "x", "PRTE_LAUNCHED": "1"}
    ranks |= {"SLURM_PROCID": "3", "SLURM_STEPID": "0", "SLURM_STEP_NODELIST": "n1", "SLURM_CPU_BIND_LIST": "0x1"}
    users = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-4]", "SLURM_MPI_TYPE": "pmi2", "SLURM_CONF": "/c"}
    users |= {"HYDRA_LAUNCHER": "fork", "OMPI_MCA_btl": "self", "OMPI_ALLOW_RUN_AS_ROOT": "1", "PMIX_MCA_gds": "hash"}
    assert clean_environment({**ranks, **users, "PATH": "/bin"}) == {**users, "PATH": "/bin"}
