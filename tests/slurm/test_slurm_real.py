"""The plugin slurm against a real Slurm: each command is run as the core runs it, and each answer read."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from balsam_core.batch.script import render_script
from balsam_core.plugins import BatchRecord, BatchState, BatchStatus, SchedulerRejected, SchedulerUnavailable
from balsam_core.settings import TemplateSettings
from balsam_core.site import Site
from balsam_slurm.scheduler import Slurm
from balsam_slurm.settings import SlurmSettings
from tests.helpers import make_request
from tests.slurm.cluster import SlurmCluster, wait_until
from tests.slurm.inside import SIDE_BY_SIDE

pytestmark = pytest.mark.slurm

SLURM = Slurm(SlurmSettings())
RUN_NOW = (BatchState.RUNNING, BatchState.STARTING)
# Beside what `python` is in a batch script: it notes when it is told to stop, and so does its job.
LAUNCHER = """\
#!/bin/bash
(trap 'echo job was told' TERM; while :; do sleep 0.1; done) & job=$!
trap 'echo launcher was told; kill -KILL $job; exit 4' TERM
echo up; while :; do sleep 0.1; done
"""


PATHS = ":".join(filter(None, [str(Path(__file__).parents[2]), *sys.path]))


class User:
    """Somebody with a folder and a tag of their own, who uses the plugin through Slurm's commands."""

    def __init__(self, cluster: SlurmCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.tag = f"t{time.time_ns()}"
        self.ids: list[str] = []

    def submit(self, script: str, *flags: str, **fields: Any) -> str:
        """The id of a new batch job that runs a shell script."""
        file = self.folder / "script.sh"
        file.write_text(f"#!/bin/bash\n#SBATCH --job-name={self.tag}\n#SBATCH --time=5\n{script}\n")
        return self.submit_file(file, *flags, **fields)

    def submit_file(self, file: Path, *flags: str, **fields: Any) -> str:
        """The id of a new batch job."""
        request = self.request(sched_flags=flags, **fields)
        command = SLURM.submit_command(request, str(file), dry_run=False)
        assert command
        batch_id = SLURM.parse_submit(self.cluster.shell.run(command))
        self.ids.append(batch_id)
        return batch_id

    def request(self, **fields: Any) -> Any:
        """A request for one node, whose files lie in the folder."""
        prefix = str(self.folder / "out")
        return make_request(
            **{"tag": self.tag, "workdir": str(self.folder), "output_prefix": prefix, "nodes": 1} | fields
        )

    def statuses(self, *ids: str) -> dict[str, BatchStatus]:
        """What Slurm says now."""
        report = SLURM.parse_status(ids, self.cluster.shell.run(SLURM.status_command(ids, "root")))
        assert report.unreadable == ()
        return dict(report.jobs)

    def state(self, batch_id: str) -> BatchState:
        """Where a batch job is."""
        return self.statuses(batch_id)[batch_id].state

    def ended(self, batch_id: str) -> BatchStatus:
        """How a batch job ended, from its history."""
        records = [BatchRecord(batch_id, str(self.folder), "")]

        def look() -> BatchStatus:
            results = [self.cluster.shell.run(command) for command in SLURM.history_commands(records)]
            return SLURM.parse_history(records, results).jobs[batch_id]

        wait_until(lambda: look().exit_code is not None, 200)
        return look()

    def cancel(self, *ids: str) -> frozenset[str]:
        """The ids that Slurm agreed to cancel."""
        return SLURM.parse_cancel(ids, self.cluster.shell.run(SLURM.cancel_command(ids)))

    def output(self) -> str:
        """What the batch job has printed so far."""
        file = self.folder / "out.out"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def user(slurm: SlurmCluster, tmp_path: Path) -> Iterator[User]:
    """A user of the cluster, who leaves nothing behind."""
    user = User(slurm, tmp_path)
    yield user
    if user.ids:
        slurm.run("scancel", "--quiet", *user.ids)


@pytest.fixture
def stubborn(slurm: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Another one, whose batch jobs do not end by themselves."""
    user = User(slurm, tmp_path_factory.mktemp("stubborn"))
    yield user
    if user.ids:
        slurm.run("scancel", "--quiet", *user.ids)


def inside(user: User, what: str) -> Any:
    """What `tests/slurm/inside.py` prints as the launcher of a batch job on two nodes."""
    program = f"#!/bin/sh\nPYTHONPATH={shlex.quote(PATHS)} exec {sys.executable} -m tests.slurm.inside {what}\n"
    batch_id = user.submit_file(launcher_script(user, program), "--nodes=2")
    assert user.ended(batch_id).state is BatchState.DONE, user.output()
    return json.loads(user.output().splitlines()[-1])


def launcher_script(user: User, program: str, minutes: int = 5) -> Path:
    """The whole batch script, with a program in place of the launcher."""
    launcher = user.folder / "python"
    launcher.write_text(program)
    launcher.chmod(0o755)
    file = user.folder / "launch.sh"
    request = user.request(time_limit_minutes=minutes)
    site = Site(user.folder)
    file.write_text(render_script(SLURM, request, site, TemplateSettings(), environ={}, python=str(launcher)))
    return file


def test_batch_jobs_are_submitted_found_asked_for_together_and_cancelled_while_they_wait(user: User) -> None:
    running, waiting = user.submit("sleep 60"), user.submit("true", "--hold")
    wait_until(lambda: user.state(running) in RUN_NOW)
    jobs = user.statuses(running, waiting, "99999")
    assert 200 < (jobs[running].seconds_left or 0) <= 300
    assert jobs == {
        running: BatchStatus(BatchState.RUNNING, "RUNNING", user.tag, "", None, jobs[running].seconds_left, "debug", 1),
        waiting: BatchStatus(BatchState.HELD, "PENDING", user.tag, "JobHeldUser", queue="debug", nodes=1),
    }
    find = SLURM.find_command(user.tag, "root")
    assert find
    assert SLURM.parse_find(user.cluster.shell.run(find)) == waiting
    begun = time.monotonic()
    assert user.cancel(waiting, "99999") == {waiting, "99999"}
    assert time.monotonic() - begun < 5
    assert user.state(waiting) is BatchState.CANCELLED
    assert user.statuses("99999") == {}


def test_variables_of_the_user_change_neither_the_batch_job_nor_what_is_heard_of_it(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SBATCH_JOB_NAME": "mine",
        "SBATCH_PARTITION": "regular",
        "SQUEUE_PARTITION": "shared",
        "SQUEUE_USERS": "nobody",
        "SCANCEL_PARTITION": "shared",
    }.items():
        monkeypatch.setenv(name, value)
    waiting = user.submit("#SBATCH --partition=debug", "--hold", queue="debug")
    status = user.statuses(waiting)[waiting]
    assert (status.name, status.queue) == (user.tag, "debug")
    assert user.cancel(waiting) == {waiting}
    assert user.state(waiting) is BatchState.CANCELLED


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-p", "nopart"), "Invalid partition name specified"),
        (("-N", "99"), "Batch job submission failed"),
        (("-t", "5000"), "Requested time limit is invalid"),
        (("--badopt",), "unrecognized option '--badopt'"),
    ],
)
def test_a_refused_submission_has_slurms_own_words(user: User, flags: Sequence[str], words: str) -> None:
    with pytest.raises(SchedulerRejected, match=words):
        user.submit("true", *flags)


def test_every_directive_of_the_template_is_accepted_in_a_dry_run(user: User) -> None:
    settings = SlurmSettings(options=('--comment="a b"',))
    request = user.request(queue="regular", project="science")
    file = user.folder / "whole.sh"
    file.write_text(render_script(Slurm(settings), request, Site(user.folder), TemplateSettings(), environ={}))
    command = SLURM.submit_command(request, str(file), dry_run=True)
    assert command
    result = user.cluster.shell.run(command)
    assert (result.returncode, "to start at" in result.stderr) == (0, True), result


def test_a_cancelled_launcher_is_told_before_its_jobs_and_what_does_not_end_is_cancelled_all_the_same(
    user: User, stubborn: User
) -> None:
    launch = user.submit_file(launcher_script(user, LAUNCHER))
    hangs = stubborn.submit("trap '' TERM; echo up; while :; do sleep 0.1; done")
    wait_until(lambda: "up" in user.output() and "up" in stubborn.output())
    assert user.cancel(launch, hangs) == {launch, hangs}
    end = user.ended(launch)
    assert (end.state, end.exit_code) == (BatchState.FAILED, 4)
    told = [line for line in user.output().splitlines() if line.endswith("was told")]
    assert told == ["launcher was told"]
    assert stubborn.ended(hangs).state is BatchState.CANCELLED


def test_a_launcher_is_warned_before_its_time_is_over_and_what_stays_is_ended(user: User, stubborn: User) -> None:
    warned = user.submit_file(launcher_script(user, LAUNCHER, minutes=1), "--signal=B:USR1@60")
    late = stubborn.submit("sleep 100")
    wait_until(lambda: user.state(late) in RUN_NOW)
    # A limit is at least a minute, unless root says otherwise; Slurm looks every 30 s.
    user.cluster.run("scontrol", "update", f"JobId={late}", "TimeLimit=0")
    assert (user.ended(warned).exit_code, "launcher was told" in user.output()) == (4, True)
    assert stubborn.ended(late).state is BatchState.TIMEOUT


def test_the_nodes_are_found_in_a_batch_job_and_after_salloc(user: User) -> None:
    names, job_id, seconds_left = inside(user, "nodes")
    assert len(set(names)) == 2
    assert set(names) <= {"node1", "node2", "node3", "node4"}
    assert job_id == user.ids[-1]
    assert 200 < seconds_left <= 300
    words = ("salloc", "--quiet", "--nodes=1", "--time=2", sys.executable, "-m", "tests.slurm.inside", "nodes")
    result = user.cluster.run(*words, PYTHONPATH=PATHS)
    names, _, seconds_left = json.loads(result.stdout)
    assert (len(names), 60 < seconds_left <= 120) == (1, True)


def test_programs_under_srun_get_what_they_ask_for_and_do_not_wait_for_each_other(user: User) -> None:
    said = inside(user, "launched")
    first, second = sorted({line.split()[1] for line in said["two"]})
    assert said["two"] == [f"{rank} {[first, second][rank // 2]} x y,B=2 'c'" for rank in range(4)]
    assert (said["crowd"], said["deep"], said["gpus"]) == (24, ["3"] * 4, ["2,3"] * 2)
    assert said["stdin"] == "0 has 1 first\n"
    assert said["side_by_side"] == [0] * SIDE_BY_SIDE
    code, seconds = said["failing"]
    assert (code != 0, seconds < 110) == (True, True)


@pytest.mark.mpi
def test_mpi_ranks_find_each_other_over_two_nodes(user: User) -> None:
    assert inside(user, "mpi") == [f"{rank} 4 6" for rank in range(4)]


@pytest.mark.mpi
def test_several_mpiexec_on_the_same_nodes_do_not_wait_for_each_other(user: User) -> None:
    assert inside(user, "mpiexec") == [0] * SIDE_BY_SIDE


def test_while_the_controller_is_down_nothing_is_known_and_then_all_is_as_before(
    slurm_cluster: SlurmCluster, tmp_path: Path
) -> None:
    user = User(slurm_cluster, tmp_path)
    batch_id = user.submit("sleep 60")
    wait_until(lambda: user.state(batch_id) in RUN_NOW)
    calls: list[Callable[[], object]] = [
        lambda: user.state(batch_id),
        lambda: user.submit("true"),
        lambda: user.cancel(batch_id),
    ]
    with slurm_cluster.outage(), slurm_cluster.impatient():
        for call in calls:
            with pytest.raises(SchedulerUnavailable, match="Unable to contact slurm controller"):
                call()
    assert user.state(batch_id) in RUN_NOW
    slurm_cluster.run("scancel", batch_id)
