"""Changing, holding, killing and deleting jobs and applications."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from balsam_core.state.machine import State
from balsam_core.state.store import Store, open_store, sqlite_url
from tests.acceptance.runner import CommandLine
from tests.helpers import MACHINE, finish, make_launcher, put, running, state_of


@pytest.fixture
def store(hello: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store behind the command line, on the machine of the helpers' launchers."""
    monkeypatch.setenv("BALSAM_MACHINE_ID", MACHINE)
    opened = open_store(sqlite_url(hello / "balsam.db"))
    yield opened
    opened.database.close()


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("wait_for_parents", "False", False),
        ("num_nodes", "3", 3),
        ("wall_time_minutes", "none", None),
        ("priority", "-5", -5),
        ("args", "--fast --x=1", "--fast --x=1"),
        ("environ_vars", "A=1:B=/x:/y", {"A": "1", "B": "/x:/y"}),
        ("data", '{"x": 1}', {"x": 1}),
        ("tags", "a=1 b", {"a": "1", "b": ""}),
    ],
)
def test_modify_reads_a_value_by_the_type_of_its_field(
    balsam: CommandLine, hello: Path, field: str, value: str, stored: object
) -> None:
    job_id = balsam.add("a")
    assert balsam.ok("modify", job_id[:8], field, value).out.startswith(f"Changed {field} of 1 job to")
    assert balsam.jobs()[0][field] == stored


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["num_noes", "3"], 1, "balsam: no field 'num_noes' can be changed; did you mean 'num_nodes'?"),
        (["num_nodes", "0"], 1, "balsam: num_nodes cannot be '0': should be greater than or equal to 1"),
        (["state", "DONE"], 1, "balsam: no state named 'DONE'; did you mean 'RUN_DONE'?"),
        (["application", "helo"], 1, "balsam: no application named 'helo'; did you mean 'hello'?"),
        (["args"], 2, "balsam modify: give ID ATTR VALUE, or filters and ATTR VALUE"),
    ],
)
def test_a_change_that_cannot_be_is_refused_in_one_line(
    balsam: CommandLine, hello: Path, words: list[str], code: int, message: str
) -> None:
    job_id = balsam.add("a")
    before = balsam.jobs()
    ran = balsam("modify", job_id, *words)
    assert (ran.code, ran.err[: len(message)], ran.err.count("\n")) == (code, message, 1)
    assert balsam.jobs() == before


def test_several_jobs_are_changed_only_after_a_yes(balsam: CommandLine, hello: Path) -> None:
    for name in "ab":
        balsam.add(name)
    refused = balsam("modify", "--wf", "w", "priority", "5")
    assert (refused.code, [job["priority"] for job in balsam.jobs()]) == (1, [0, 0])
    balsam.ok("modify", "--wf", "w", "priority", "5", stdin="y\n")
    assert [job["priority"] for job in balsam.jobs()] == [5, 5]


def test_a_state_is_changed_by_hand_but_never_out_of_user_killed(balsam: CommandLine, hello: Path) -> None:
    job_id = balsam.add("a")
    balsam.ok("modify", job_id, "state", "failed")
    assert "FAILED] by hand" in balsam.ok("ls", "--history").out
    balsam.ok("modify", job_id, "state", "READY")
    balsam.ok("killjob", job_id)
    refused = balsam("modify", job_id, "state", "READY")
    assert (refused.code, "USER_KILLED stays so" in refused.err) == (1, True)


def test_an_application_can_be_changed(balsam: CommandLine, hello: Path) -> None:
    ran = balsam.ok("modify", "hello", "executable", "./new.sh", "--type", "apps")
    assert "no program" in ran.err
    (app,) = balsam.ok("ls", "apps", "--json").json["apps"]
    assert app["executable"] == f"{hello}/new.sh"
    assert balsam("modify", "helo", "executable", "x", "--type", "apps").code == 1


def test_held_jobs_can_be_released(balsam: CommandLine, hello: Path) -> None:
    job_id = balsam.add("a")
    assert balsam.ok("hold", job_id).out == "Held 1 job\n"
    assert balsam.jobs()[0]["hold"] is True
    assert balsam.ok("release", "--wf", "w", "--yes").out == "Released 1 job\n"
    assert balsam.jobs()[0]["hold"] is False


def test_killing_says_how_many_and_goes_down_the_children_when_told(balsam: CommandLine, hello: Path) -> None:
    parent, child = balsam.add("parent"), balsam.add("child")
    balsam.ok("dep", parent, child)
    assert balsam.ok("killjob", "--id", parent[:8], "--recursive").out == "Killed 2 jobs\n"
    assert balsam.ok("killjob", "--id", parent).out == "1 job had ended already; nothing was killed\n"
    assert {job["state"] for job in balsam.jobs()} == {"USER_KILLED"}


def test_the_children_of_a_job_that_has_ended_are_killed_with_recursive(balsam: CommandLine, hello: Path) -> None:
    parent, child = balsam.add("parent"), balsam.add("child")
    balsam.ok("dep", parent, child)
    balsam.ok("modify", parent, "state", "JOB_FINISHED")
    asked = balsam("killjob", "--name", "parent", "--recursive", stdin="n")
    assert (asked.code, asked.err.startswith("Kill the jobs that wait for them? [y/n]")) == (1, True)
    assert balsam.ok("killjob", parent, "--recursive").out == "Killed 1 job\n"
    assert [job["state"] for job in balsam.jobs()] == ["JOB_FINISHED", "USER_KILLED"]
    assert balsam.ok("killjob", parent, "--recursive").out == "1 job had ended already; nothing was killed\n"


@pytest.mark.parametrize("command", [["rm", "jobs"], ["killjob"], ["hold"], ["release"]])
def test_commands_that_change_jobs_want_to_be_told_which(balsam: CommandLine, hello: Path, command: list[str]) -> None:
    balsam.add("a")
    assert balsam(*command).code == 2
    assert balsam(*command, "--name", "").code == 2
    assert balsam.jobs()[0]["state"] == "CREATED"


def test_deleting_asks_first_and_says_how_many(balsam: CommandLine, hello: Path) -> None:
    for name in ("a1", "a2", "b"):
        balsam.add(name)
    assert balsam("rm", "jobs", "--name", "a").code == 1
    ran = balsam.ok("rm", "jobs", "--name", "a", stdin="y\n")
    assert (ran.out, ran.err) == ("Deleted 2 jobs\n", "Delete 2 jobs? [y/n]: ")
    assert balsam.ok("rm", "jobs", "--name", "zzz").out == "No jobs found matching query; nothing was deleted\n"
    assert balsam.ok("rm", "jobs", "--all", "--wf-filter", "w", "--force").out == "Deleted 1 job\n"
    assert balsam.ok("rm", "apps", "--all", "--yes").out == "Deleted 1 app\n"


def test_files_stay_unless_they_are_to_go_and_never_outside_the_site(
    balsam: CommandLine, hello: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    balsam.add("kept")
    balsam.add("gone", "--user-workdir", str(mine))
    folders = {job["name"]: hello / "data" / job["folder"] for job in balsam.jobs()}
    for folder in folders.values():
        folder.mkdir(parents=True)
    balsam.ok("rm", "jobs", "--name", "kept", "--yes")
    balsam.ok("rm", "jobs", "--name", "gone", "--with-files", "--yes")
    assert (folders["kept"].exists(), folders["gone"].exists(), mine.exists()) == (True, False, True)


def test_a_running_job_is_stopped_before_it_is_deleted(balsam: CommandLine, store: Store) -> None:
    launcher = make_launcher(store)
    job = running(store, launcher, application="hello")
    seen: list[State] = []

    def let_go() -> None:
        while store.held(launcher).get(job.job_id) is State.RUNNING:
            pass
        seen.append(state_of(store, job.job_id))
        finish(store, launcher, job)

    stopping = threading.Thread(target=let_go)
    stopping.start()
    ran = balsam.ok("rm", "jobs", "--all", "--yes")
    stopping.join()
    assert (ran.out, seen) == ("Deleted 1 job\n", [State.USER_KILLED])


def test_a_job_of_a_dead_launcher_is_deleted_at_once(balsam: CommandLine, store: Store) -> None:
    running(store, make_launcher(store, pid=2**22 + 1), application="hello")
    assert balsam.ok("rm", "jobs", "--all", "--yes").out == "Deleted 1 job\n"


def test_a_job_that_does_not_stop_is_not_deleted(
    balsam: CommandLine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("balsam_core.deletion._LET_GO_SECONDS", 0.2)
    job = running(store, make_launcher(store), application="hello")
    put(store, State.JOB_FINISHED, application="hello")
    ran = balsam("rm", "jobs", "--all", "--yes")
    assert (ran.code, ran.out) == (1, "Deleted 1 job\n")
    assert "killed but not deleted" in ran.err
    assert state_of(store, job.job_id) is State.USER_KILLED


def test_launchers_are_listed_with_what_they_hold(balsam: CommandLine, store: Store) -> None:
    running(store, make_launcher(store), application="hello")
    make_launcher(store, pid=2**22 + 1)
    live, dead = balsam.ok("ls", "launchers", "--json").json["launchers"]
    assert (live["jobs"], live["status"], dead["status"]) == (1, "live", "lease expired: its process is gone")
