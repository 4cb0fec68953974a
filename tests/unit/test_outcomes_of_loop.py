"""The launcher's loop against a worker that does what the test says: what is recorded, kept and given back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from selectors import BaseSelector
from typing import Any, cast
from uuid import UUID

import pytest

from balsam_core.errors import DatabaseError, LaunchError
from balsam_core.launcher.journal import Journal
from balsam_core.launcher.loop import Loop, Rules
from balsam_core.launcher.messages import Ended, How, Recalled, Refused, Report, Started, Task
from balsam_core.launcher.modes import SerialMode
from balsam_core.launcher.worker_client import WorkerClient, WorkerDied
from balsam_core.models.app import AppSpec
from balsam_core.models.nodes import Node
from balsam_core.plugins import Command
from balsam_core.state.machine import State
from balsam_core.state.outcomes import RetryPolicy
from balsam_core.state.store import Store, open_store
from balsam_core.transitions.persistence import DEFAULT_LIMITS
from balsam_core.transitions.recovery import journal_path
from balsam_core.transitions.runner import Transitions
from balsam_core.workdirs import Workdirs
from tests.helpers import MACHINE, make_launcher, move, only, put, state_of, states_passed, temporary_store

Answer = Callable[[Task], Iterable[Report]]


def runs(task: Task, code: int = 0, how: How = How.EXITED, tail: str = "") -> list[Report]:
    """The reports of a task that ran."""
    return [Started(task.key, 0, 0.0, (), ()), Ended(task.key, code, how, 0.1, tail)]


class ToyWorker:
    """Answers each task at once with the reports that the test chose."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.tasks: list[Task] = []
        self.killed: list[str] = []
        self.is_dead = False
        self._reports: list[Report] = []
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        return self._reader

    def wait(self, selector: BaseSelector, seconds: float) -> None:
        selector.select(seconds)

    def start(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self.tasks.append(task)
            self.say(*self.answer(task))

    def say(self, *reports: Report) -> None:
        self._reports += reports
        os.write(self._writer, b"x")

    def kill(self, keys: Iterable[str], grace_seconds: float) -> None:
        for key in keys:
            self.killed.append(key)
            self.say(Ended(key, -15, How.KILLED, 0.1, ""))

    def stop_with(self, key: str, request: Command, force: Command) -> None:
        raise AssertionError("this mode stops by signals")

    def recall(self, keys: Iterable[str] | None = None) -> None:
        self.say(Recalled((), "recalled"))

    def receive(self) -> list[Report]:
        if self._reports:
            os.read(self._reader, 4096)
        reports, self._reports = self._reports, []
        if self.is_dead and not reports:
            raise WorkerDied("the worker process 1 has died of signal 9")
        return reports


class Bench:
    """A loop on a real store."""

    def __init__(self, folder: Path, answer: Answer, **rules: Any) -> None:
        self.store = temporary_store(folder)
        self.folder = folder
        self.worker = ToyWorker(answer)
        self.launcher = make_launcher(self.store, lease_seconds=90.0)
        worker = cast(WorkerClient, self.worker)
        workdirs = Workdirs(folder / "data")
        transitions = Transitions(
            self.store, self.launcher, worker, workdirs, lambda job: {}, "", 2, 10.0, DEFAULT_LIMITS
        )
        policy = RetryPolicy()
        self.rules = Rules(self.launcher, MACHINE, folder, folder, 90.0, 0.1, policy, **rules)
        self.seen: list[Sequence[Any]] = []
        self.loop = Loop(
            self.store,
            SerialMode([Node("n", "n")], ""),
            worker,
            transitions,
            workdirs,
            self.rules,
            lambda loop: None,
            self.seen.append,
        )

    def states(self) -> list[State]:
        return [job.state for job in self.store.jobs()]


@contextmanager
def refusing(store: Store, name: str, times: int = 1) -> Iterator[list[int]]:
    """The store's method raises DatabaseError so many times: the database is locked."""
    real = getattr(store, name)
    calls: list[int] = []

    def method(*args: Any, **fields: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            raise DatabaseError("the database stayed locked for 2 s")
        return real(*args, **fields)

    setattr(store, name, method)
    yield calls


@pytest.mark.parametrize(
    ("answer", "states", "message"),
    [
        (runs, ["RUNNING", "RUN_DONE", "JOB_FINISHED"], ""),
        (lambda task: runs(task, 3, tail="oh\n"), ["RUNNING", "RUN_ERROR", "FAILED"], "nonzero return 3: oh"),
        (lambda task: runs(task, -9), ["RUNNING", "RUN_ERROR", "FAILED"], "nonzero return -9"),
        (lambda task: runs(task, -15), ["RUNNING", "RUN_ERROR", "FAILED"], "nonzero return -15"),
        (lambda task: [Refused(task.key, "no such file")], ["RUNNING", "RUN_ERROR", "FAILED"], "no such file"),
    ],
)
def test_what_the_worker_reports_is_what_the_history_says(
    tmp_path: Path, answer: Answer, states: list[str], message: str
) -> None:
    bench = Bench(tmp_path, answer)
    job = put(bench.store)
    assert bench.loop.run() == "nothing more can run"
    assert states_passed(bench.store, job) == ["CREATED", "PREPROCESSED", *states]
    assert bench.store.history([job])[3].message == message
    assert (bench.store.job(job).attempt, bench.store.job(job).launcher_id) == (1, None)


@pytest.mark.parametrize("code", [-15, 143])
def test_a_job_that_was_signalled_just_before_its_launcher_was_can_run_again(tmp_path: Path, code: int) -> None:
    bench = Bench(tmp_path, lambda task: runs(task, code))
    job = put(bench.store)
    bench.loop.show = lambda loop: loop.stop("received SIGTERM") if loop.running else None
    assert bench.loop.run() == "received SIGTERM"
    assert states_passed(bench.store, job) == ["CREATED", "PREPROCESSED", "RUNNING", "RUN_TIMEOUT", "RESTART_READY"]
    assert bench.store.history([job])[3].message == "stopped with its launcher: received SIGTERM"


def test_a_job_that_a_script_has_prepared_runs_before_the_launcher_leaves(tmp_path: Path) -> None:
    bench = Bench(tmp_path, runs)
    job = put(bench.store, application="scripted")
    assert bench.loop.run() == "nothing more can run"
    assert state_of(bench.store, job) is State.JOB_FINISHED
    kinds = [task.key.partition(".")[2] for task in bench.worker.tasks]
    assert kinds == ["preprocess", "1", "postprocess"]


@pytest.mark.parametrize(
    "method",
    ["claim", "parents_of", "report", "advance", "app", "held", "claim_work", "finish_work", "others_may_release"],
)
def test_a_database_that_refuses_for_a_while_costs_no_result_and_no_other_job(tmp_path: Path, method: str) -> None:
    bench = Bench(tmp_path, runs)
    put(bench.store, name="plain")
    put(bench.store, name="both", application="scripted")
    with refusing(bench.store, method, times=2) as calls:
        assert bench.loop.run() == "nothing more can run"
    assert len(calls) > 2
    assert bench.states() == [State.JOB_FINISHED] * 2
    assert [job.attempt for job in bench.store.jobs()] == [1, 1]


def test_a_recalled_job_is_given_back_although_the_database_refuses_and_runs_again(tmp_path: Path) -> None:
    recalled: list[str] = []

    def answer(task: Task) -> list[Report]:
        if not recalled:
            recalled.append(task.key)
            return [Recalled((task.key,), "changed")]
        return runs(task)

    bench = Bench(tmp_path, answer)
    job = put(bench.store)
    with refusing(bench.store, "give_back", times=1):
        assert bench.loop.run() == "nothing more can run"
    assert [task.key for task in bench.worker.tasks] == [f"{job}.1"] * 2
    assert (state_of(bench.store, job), bench.store.job(job).attempt) == (State.JOB_FINISHED, 1)


def test_a_running_job_that_is_moved_to_restart_ready_runs_again_before_the_launcher_leaves(tmp_path: Path) -> None:
    def answer(task: Task) -> list[Report]:
        return runs(task) if task.key.endswith(".2") else runs(task)[:1]

    def restart(loop: Loop) -> None:
        if bench.store.job(job).attempt == 1 and state_of(bench.store, job) is State.RUNNING:
            move(another, job, State.RESTART_READY)

    bench = Bench(tmp_path, answer)
    another = open_store(bench.store.database.url.render_as_string())
    job = put(bench.store)
    bench.loop.show = restart
    assert bench.loop.run() == "nothing more can run"
    assert bench.worker.killed == [f"{job}.1"]
    assert states_passed(bench.store, job)[2:] == ["RUNNING", "RESTART_READY", "RUNNING", "RUN_DONE", "JOB_FINISHED"]


def test_a_script_that_was_killed_before_it_began_keeps_no_job_busy(tmp_path: Path) -> None:
    def answer(task: Task) -> list[Report]:
        if task.key != f"{job}.preprocess":
            return runs(task)
        another.kill(only(job))
        return [Recalled((task.key,), "killed before it started")]

    bench = Bench(tmp_path, answer)
    another = open_store(bench.store.database.url.render_as_string())
    job, other = (put(bench.store, name=name, application="scripted") for name in ("killed", "other"))
    assert bench.loop.run() == "nothing more can run"
    assert [state_of(bench.store, one) for one in (job, other)] == [State.USER_KILLED, State.JOB_FINISHED]
    assert not bench.loop.transitions.busy


def test_a_job_whose_script_cannot_begin_has_failed_before_the_launcher_leaves(tmp_path: Path) -> None:
    bench = Bench(tmp_path, runs)
    bench.store.add_app(AppSpec(name="bad", executable="/bin/true", preprocess="it's"))
    job = put(bench.store, application="bad")
    deadline = time.monotonic() + 10
    bench.loop.show = lambda loop: loop.stop("it hangs") if time.monotonic() > deadline else None
    assert bench.loop.run() == "nothing more can run"
    assert states_passed(bench.store, job) == ["CREATED", "STAGED_IN", "FAILED"]


def test_a_job_that_was_changed_before_it_started_runs_as_it_is_now(tmp_path: Path) -> None:
    def answer(task: Task) -> list[Report]:
        if task.argv[-1] == "new":
            return runs(task)
        another.change_jobs(only(job), {"args": "new"})
        # The change is not noticed before the old attempt has ended.
        bench.loop._timers._at["poll"] = time.monotonic() + 0.5
        return runs(task, 3)

    bench = Bench(tmp_path, answer)
    another = open_store(bench.store.database.url.render_as_string())
    job = put(bench.store, args="old")
    assert bench.loop.run() == "nothing more can run"
    assert [task.argv[-1] for task in bench.worker.tasks] == ["old", "new"]
    assert states_passed(bench.store, job)[2:] == ["RUNNING", "RUN_DONE", "JOB_FINISHED"]


@pytest.mark.parametrize("text", ['"\\ud800"', "NaN", "[" * 50_000, "{"])
def test_a_result_that_no_database_takes_costs_its_job_nothing_else(tmp_path: Path, text: str) -> None:
    bench = Bench(tmp_path, lambda task: [runs(task)[0], Ended(task.key, 0, How.EXITED, 0.1, "", text)])
    job = put(bench.store)
    assert bench.loop.run() == "nothing more can run"
    assert (state_of(bench.store, job), bench.store.job(job).data) == (State.JOB_FINISHED, {})


def test_when_the_worker_dies_every_attempt_that_may_have_begun_is_recorded(tmp_path: Path) -> None:
    def answer(task: Task) -> list[Report]:
        bench.worker.is_dead = True
        journal.add([task.key])
        return []

    bench = Bench(tmp_path, answer)
    journal = Journal(str(journal_path(tmp_path, bench.launcher)))
    job, other = put(bench.store, name="begun"), put(bench.store, name="never")
    with pytest.raises(WorkerDied, match="has died of signal 9"):
        bench.loop.run()
    assert states_passed(bench.store, job)[2:] == ["RUNNING", "RESTART_READY"]
    assert (bench.store.job(job).attempt, bench.store.job(other).attempt) == (1, 0)


def test_a_launcher_whose_lease_was_declared_over_records_nothing(tmp_path: Path) -> None:
    def answer(task: Task) -> list[Report]:
        bench.store.end_launcher(bench.launcher, "declared over")
        return runs(task)

    bench = Bench(tmp_path, answer)
    job = put(bench.store)
    with pytest.raises(LaunchError, match="lease was declared over"):
        run_until_heartbeat(bench.loop)
    assert states_passed(bench.store, job) == ["CREATED", "PREPROCESSED"]


def run_until_heartbeat(loop: Loop) -> None:
    """Run with a heartbeat in every turn."""
    show = loop.show

    def beat(shown: Loop) -> None:
        shown._timers._at.pop("heartbeat", None)
        show(shown)

    loop.show = beat
    loop.run()


def test_observers_are_told_of_starts_and_ends(tmp_path: Path) -> None:
    bench = Bench(tmp_path, runs)
    put(bench.store)
    bench.loop.run()
    told = [event["to_state"] for events in bench.seen for event in events]
    assert told == ["RUNNING", "RUN_DONE", "JOB_FINISHED"]


def test_a_user_directory_that_cannot_be_read_as_a_path_fails_its_own_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, runs)
    bad: UUID = put(bench.store, name="bad", args="it's")
    fine = put(bench.store, name="fine", user_workdir="~nobody-at-all/x")
    bench.loop.run()
    assert [state_of(bench.store, job) for job in (bad, fine)] == [State.FAILED, State.JOB_FINISHED]


def test_a_file_whose_name_is_no_text_fails_its_own_staging_alone(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / os.fsdecode(b"caf\xe9")).symlink_to("nowhere")
    bench = Bench(tmp_path, runs)
    job = put(bench.store, stage_in_url=f"local:{tmp_path}/given/*")
    assert bench.loop.run() == "nothing more can run"
    assert state_of(bench.store, job) is State.FAILED
    assert bench.store.history([job])[-1].message.endswith(r"/given/caf\udce9")


def test_a_full_disk_is_told_with_the_folder_that_lies_on_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, runs)
    job = put(bench.store, application="scripted", user_workdir=str(tmp_path / "full"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "preprocess.log").symlink_to("/dev/full")
    bench.loop.run()
    said = f"cannot write in its working directory: No space left on device: {tmp_path}/full"
    assert bench.store.history([job])[-1].message == said
