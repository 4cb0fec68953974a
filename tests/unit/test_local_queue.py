"""The queue of the plugin local: its files, what it refuses, which nodes it gives."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from balsam_local.queue import folder as folder_module
from balsam_local.queue.__main__ import main
from balsam_local.queue.errors import QueueUnavailable, RequestRefused
from balsam_local.queue.folder import Folder
from balsam_local.queue.jobs import BatchJob, State, from_json, row
from balsam_local.queue.keeper import attend
from balsam_local.queue.processes import boot_id, members, process
from balsam_local.queue.requests import check
from balsam_local.queue.runner import free_slots


def make_folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "queue")
    folder.make()
    return folder


def make_batch_job(job_id: int = 1, **fields: object) -> BatchJob:
    given = {"name": "q", "nodes": 1, "minutes": 1.0, "script": "/s.sh", "workdir": "/w", "output": "/w/q.output"}
    return BatchJob(job_id, **{**given, **fields})  # type: ignore[arg-type]


def test_a_batch_job_is_the_same_after_it_was_written_and_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    job = make_batch_job(environ={"A": "é\udcff"}, slots=(1, 3), state=State.RUNNING, pid=5, start_ticks=9)
    folder.save(job)
    assert folder.read(1) == job
    assert (folder.active(), folder.ended(), folder.new_id(), folder.read(2)) == ([1], [], 2, None)


def test_what_is_over_is_kept_apart_without_its_environment(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.save(make_batch_job(environ={"TOKEN": "secret"}))
    folder.end(make_batch_job(environ={"TOKEN": "secret"}), State.DONE)
    assert (folder.active(), folder.ended()) == ([], [1])
    assert "secret" not in (tmp_path / "queue" / "ended" / "1.json").read_text()


def test_the_last_to_end_are_kept_and_ids_never_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "MOST_ENDED", 2)
    folder = make_folder(tmp_path)
    for at, job_id in enumerate((2, 9, 3, 1)):
        folder.end(make_batch_job(job_id), State.DONE)
        os.utime(tmp_path / "queue" / "ended" / f"{job_id}.json", (at, at))
    assert folder.ended() == [1, 3, 9]
    assert folder.new_id() == 10


def test_files_that_are_no_batch_jobs_are_left_alone(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    for name in ("7.json.new", "x.json", "notes"):
        (tmp_path / "queue" / "active" / name).write_text("")
    assert folder.active() == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"state": "ODD", "slots": []}', '{"state": "DONE", "slots": []}']
)
def test_a_broken_file_is_a_batch_job_that_cannot_be_read(text: str) -> None:
    job = from_json(7, text)
    assert (job.id, job.state) == (7, State.UNREADABLE)
    assert job.reason.startswith("its file in the queue cannot be read: ")


def test_a_queue_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir(mode=0o755)
    with pytest.raises(QueueUnavailable, match="is open to other users; chmod 700 it"):
        Folder(tmp_path / "queue").make()


def test_a_queue_is_private(tmp_path: Path) -> None:
    make_folder(tmp_path)
    assert {path.stat().st_mode & 0o077 for path in [tmp_path / "queue", *(tmp_path / "queue").iterdir()]} == {0}


def test_a_queue_that_is_busy_on_another_host_is_refused_and_an_idle_one_taken_over(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    with folder.locked():
        folder.save(make_batch_job())
    mine = (tmp_path / "queue" / "machine").read_text()
    (tmp_path / "queue" / "machine").write_text("0123\nlogin2\n")
    with pytest.raises(QueueUnavailable, match="runs batch jobs on login2; go there"), folder.locked():
        pass
    folder.end(make_batch_job(), State.DONE)
    with folder.locked():
        assert (tmp_path / "queue" / "machine").read_text() == mine


def test_one_process_is_the_runner_until_it_closes_the_lock(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    lock = folder.take_runner()
    assert lock is not None
    assert folder.is_runner(lock)
    assert folder.take_runner() is None
    (tmp_path / "queue" / "runner").unlink()
    assert not folder.is_runner(lock)
    os.close(lock)


def test_a_byte_in_the_pipe_wakes_the_runner_and_nobody_waits_for_it(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.wake_up()
    wake = folder.open_wake()
    for _ in range(70_000):  # more than a pipe holds
        folder.wake_up()
    assert os.read(wake, 10) == b"\n" * 10
    os.close(wake)


def test_what_a_dead_runner_left_is_ended_and_what_was_over_put_away(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.save(make_batch_job(1, state=State.RUNNING, boot_id="an earlier one", pid=os.getpid(), mark="x"))
    folder.save(make_batch_job(2, state=State.STARTING, boot_id=boot_id(), mark="no process has this"))
    folder.save(make_batch_job(3, state=State.DONE, exit_code=0))
    (tmp_path / "queue" / "active" / "4.json").write_text("{")
    assert attend(folder, {}) == ""
    assert folder.active() == []
    assert [(job.state, job.reason) for job in map(folder.read, folder.ended()) if job] == [
        (State.FAILED, "the machine was booted anew"),
        (State.FAILED, "the runner died"),
        (State.DONE, ""),
        (State.FAILED, "its file in the queue cannot be read: Expecting property name enclosed in double quotes: "
         "line 1 column 2 (char 1)"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "of", "used", "given"),
    [
        (1, 1, set(), (1,)),
        (1, 1, {1}, ()),
        (2, 4, {2}, (1, 3)),
        (3, 4, {1, 2}, ()),
        (2, 2, {3}, ()),  # somebody else sees four nodes in this machine
    ],
)
def test_the_first_free_nodes_are_given(nodes: int, of: int, used: set[int], given: tuple[int, ...]) -> None:
    assert free_slots(make_batch_job(nodes=nodes, machine_nodes=of), used) == given


def test_a_batch_job_that_can_never_run_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "s.sh"
    script.write_text("#!/bin/sh\n")
    good = make_batch_job(script=str(script), workdir=str(tmp_path), output=str(tmp_path / "o.output"))
    check(good)
    (tmp_path / "plain").write_text("echo\n")
    for changes, said in (
        ({"nodes": 2}, "2 nodes were asked for and there is 1; ask for fewer, or set"),
        ({"nodes": 9, "machine_nodes": 4}, "9 nodes were asked for and there are 4"),
        ({"workdir": "/no/such"}, "the working directory '/no/such' is not there"),
        ({"output": "/no/such/o.output"}, "the folder of the output '/no/such' is not there"),
        ({"script": "/no/such.sh"}, "'/no/such.sh' is no batch script: .*No such file"),
        ({"script": str(tmp_path / "plain")}, "its first line is not like #!/bin/sh"),
    ):
        with pytest.raises(RequestRefused, match=said):
            check(replace(good, **changes))


def test_each_kind_of_error_has_its_exit_code_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue = f"--path={tmp_path / 'queue'}"
    given = [queue, "submit", "--name=q", "--minutes=1", f"--workdir={tmp_path}", f"--output-prefix={tmp_path}/o"]
    assert main([*given, "/no/such.sh"]) == 3
    (tmp_path / "file").write_text("")
    assert main([f"--path={tmp_path / 'file' / 'queue'}", "status"]) == 4
    assert main(["--path=~no-such-user/queue", "status"]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "'/no/such.sh' is no batch script",
        f"cannot use the queue {tmp_path / 'file' / 'queue'}",
        "cannot use the queue ~no-such-user/queue",
    ]
    for wrong in (["--minutes=0"], ["--minutes=nan"], ["--nodes=0"], ["--nodez=1"]):
        with pytest.raises(SystemExit) as caught:
            main([*given, *wrong, "/s.sh"])
        assert caught.value.code == 2


def test_a_row_tells_the_time_left_of_what_runs_only() -> None:
    running = make_batch_job(state=State.RUNNING, end_clock=100.0, pid=7, slots=(2,))
    assert row(running, 40.04)["seconds_left"] == 60.0
    assert row(running, 140.0)["seconds_left"] == 0.0
    assert (row(running, 40.0)["node_ids"], row(running, 40.0)["pid"]) == (["n2"], 7)
    over = row(replace(running, state=State.DONE), 40.0)
    assert (over["seconds_left"], over["pid"]) == (None, None)


def test_a_process_with_a_reused_pid_is_no_member_of_a_batch_job() -> None:
    me = process(os.getpid())
    assert me is not None
    assert me.pid in [one.pid for one in members(me.pid, me.start_ticks, "")] or me.group != me.pid
    assert members(me.pid, me.start_ticks - 1, "") == []
