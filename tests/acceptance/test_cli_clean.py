"""Freeing the disk of a site, and moving the site."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from balsam_core import logs
from balsam_core.disk import DiskWatch, Room
from balsam_core.job_files import measure, pack, readable
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import State
from balsam_core.state.store import open_store, sqlite_url
from tests.acceptance.runner import CommandLine, run_installed


def ended(site: Path, name: str, state: State = State.JOB_FINISHED) -> Path:
    """The folder of a job, with a file of 10 kB, after the job of that name was moved to `state`."""
    store = open_store(sqlite_url(site / "balsam.db"))
    wanted = JobFilter(name=name)
    store.move_by_hand(wanted, state)
    folder = site / "data" / store.jobs(wanted)[0].folder
    store.database.close()
    folder.mkdir(parents=True)
    (folder / "out").write_bytes(b"x" * 10_000)
    return folder


def test_the_files_of_finished_jobs_go_and_the_jobs_stay(balsam: CommandLine, hello: Path) -> None:
    balsam.add("done")
    balsam.add("failed")
    done, failed = ended(hello, "done"), ended(hello, "failed", State.FAILED)
    asked = balsam("clean", stdin="n\n")
    assert (asked.code, done.exists()) == (1, True)
    assert "Delete the files of 1 job: " in asked.err
    assert balsam.ok("clean", stdin="y\n").out.startswith("Freed ")
    assert (done.exists(), failed.exists(), len(balsam.jobs())) == (False, True, 2)
    assert balsam.ok("clean", "--yes").out == "No files of jobs that have ended; nothing was deleted\n"
    balsam.ok("clean", "--state", "FAILED", "--yes")
    assert not failed.exists()


def test_files_that_an_unfinished_descendant_may_read_are_left(balsam: CommandLine, hello: Path) -> None:
    first = balsam.add("first")
    second = balsam.add("second", "--parents", first)
    third = balsam.add("third", "--parents", second)
    folders = [ended(hello, "first"), ended(hello, "second")]
    balsam.ok("clean", "--yes")
    assert [folder.exists() for folder in folders] == [True, True]
    balsam.ok("killjob", third, "--yes")
    balsam.ok("clean", "--yes")
    assert [folder.exists() for folder in folders] == [False, False]


def test_only_files_of_jobs_that_ended_so_long_ago_are_deleted(balsam: CommandLine, hello: Path) -> None:
    balsam.add("done")
    folder = ended(hello, "done")
    balsam.ok("clean", "--older-than", "1h", "--yes")
    assert folder.exists()
    assert "is not a length of time such as" in balsam("clean", "--older-than", "soon").err
    ran = balsam("clean", "--state", "RUNNING")
    assert ran.err == "balsam: jobs in RUNNING have not ended; clean takes FAILED, JOB_FINISHED, USER_KILLED\n"


def test_an_archive_holds_what_is_deleted_and_is_never_written_over(balsam: CommandLine, hello: Path) -> None:
    balsam.add("done")
    folder = ended(hello, "done")
    (hello / "taken.tar").touch()
    assert balsam("clean", "--archive", "taken.tar", "--yes").err.endswith("exists; give --archive another name\n")
    assert "No such file" in balsam("clean", "--archive", "no/such/a.tar", "--yes").err
    inside = balsam("clean", "--archive", str(folder / "a.tar"), "--yes")
    assert "lies in a folder that is to be deleted" in inside.err
    assert folder.exists()
    balsam.ok("clean", "--archive", "old.tar.gz", "--yes")
    assert not folder.exists()
    with tarfile.open("old.tar.gz") as tar:
        assert tar.getnames() == [f"w/{folder.name}", f"w/{folder.name}/out"]
    assert list(hello.glob("*.part")) == []


def test_an_archive_that_was_interrupted_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()

    def folders() -> Iterator[Path]:
        yield tmp_path / "w"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(tmp_path, folders(), tmp_path / "a.tar")
    assert list(tmp_path.iterdir()) == [tmp_path / "w"]


def test_a_folder_that_leads_out_of_the_site_is_left(balsam: CommandLine, hello: Path, tmp_path: Path) -> None:
    balsam.add("done")
    folder = ended(hello, "done")
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert "alone: it does not lie in" in balsam.ok("clean", "--yes").err
    assert (tmp_path / "elsewhere" / "out").exists()


def test_what_a_site_takes_of_its_disk_is_shown(balsam: CommandLine, hello: Path) -> None:
    balsam.add("done")
    folder = ended(hello, "done")
    parts = {part["part"]: part for part in balsam.ok("which", "--usage", "--json").json["parts"]}
    # The data folder, the workflow's, the job's, and its file.
    assert parts["job folders"]["inodes"] == 4
    assert parts["job folders"]["size"] >= measure(folder).size >= 10_000
    assert "inodes are left" in balsam.ok("which", "--usage").err
    (hello / "settings.toml").write_text("[site]\nmin_free_mb = 999999999999\n")
    assert "`balsam clean` frees space" in balsam.ok("which", "--usage").err


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (1500, "1.5 kB"), (2e9, "2.0 GB"), (3e15, "3000.0 TB")])
def test_sizes_are_in_steps_of_a_thousand(size: float, text: str) -> None:
    assert readable(size) == text


def test_a_disk_without_inodes_is_full_too() -> None:
    place = Path("/site")
    assert Room(2_000_000_000, None).shortage(place, 1000) == ""
    assert Room(2_000_000_000, 9).shortage(place, 1000).startswith("only 9 inodes are left on the disk of /site")


def test_a_launcher_warns_once_of_a_disk_that_is_almost_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("balsam_core.disk._LOOK_SECONDS", 0.0)
    watch = DiskWatch(tmp_path, min_free_mb=1e15)
    watch.look()
    watch.look()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "jobs that write there will fail" in caplog.text
    DiskWatch(tmp_path, min_free_mb=0).look()
    assert len(caplog.records) == 1


def test_the_oldest_logs_of_launchers_are_removed(tmp_path: Path) -> None:
    for number in range(5):
        log = tmp_path / f"launcher-2026010{number}-1.log"
        log.touch()
        os.utime(log, (number, number))
    (tmp_path / "postgresql.log").touch()
    logs.remove_old(tmp_path, "launcher-*.log*", keep=2)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "launcher-20260103-1.log", "launcher-20260104-1.log", "postgresql.log",
    ]  # fmt: skip


def test_a_long_log_is_put_aside_before_it_grows_on(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    logs.cut(log, max_bytes=3)
    log.write_text("12")
    logs.cut(log, max_bytes=3)
    assert log.read_text() == "12"
    log.write_text("123")
    logs.cut(log, max_bytes=3)
    assert [file.name for file in tmp_path.iterdir()] == ["service.log.1"]


def test_a_site_that_was_moved_works_where_it_is(
    balsam: CommandLine, hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    balsam.add("a")
    moved = tmp_path / "other" / "place"
    moved.parent.mkdir()
    hello.rename(moved)
    monkeypatch.chdir(moved)
    assert balsam.ok("which").out == f"{moved}\n"
    listed = balsam.ok("which", "--list", "--json").json["sites"]
    assert [(site["path"], site["exists"], site["active"]) for site in listed] == [
        (str(hello), False, False), (str(moved), True, True),
    ]  # fmt: skip
    assert run_installed("launcher", "--consume-all", cwd=moved).code == 0
    assert [job["state"] for job in balsam.jobs()] == ["JOB_FINISHED"]
    assert [Path(job["working_directory"]).is_dir() for job in balsam.jobs()] == [True]
