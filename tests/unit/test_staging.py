"""Files into a job's working directory, and results out of it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from balsam_core.transitions.copying import files_below, part_name, remove_parts, whole
from balsam_core.transitions.staging import stage_in, stage_out
from balsam_core.transitions.urls import StagingError, local_path
from balsam_core.workdirs import Workdirs
from tests.helpers import make_job

ONE, TWO = UUID(int=1 << 96), UUID(int=2 << 96)


def write(folder: Path, **files: str) -> Path:
    """A folder with these files; `_` stands for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_files_of_parents_are_linked_and_a_taken_name_gets_the_parents_id(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", a_dat="1", b_txt="b"), write(tmp_path / "two", a_dat="2")
    stage_in(tmp_path / "job", url="", patterns="*.dat no.such", parents={ONE: one, TWO: two})
    assert contents(tmp_path / "job") == {"a.dat": "1", "a.dat_00000002": "2"}
    assert all(file.is_symlink() for file in (tmp_path / "job").iterdir())


def test_staging_in_again_changes_nothing(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", a_dat="1"), write(tmp_path / "two", a_dat="2")
    for _ in range(2):
        stage_in(tmp_path / "job", url=str(one), patterns="*", parents={ONE: one, TWO: two})
    assert contents(tmp_path / "job") == {"a.dat": "1", "a.dat_00000002": "2", "one/a.dat": "1"}


def test_a_folder_of_a_parent_is_linked_as_one(tmp_path: Path) -> None:
    write(tmp_path / "one" / "deep", a_dat="1")
    stage_in(tmp_path / "job", url="", patterns="*", parents={ONE: tmp_path / "one"})
    assert (tmp_path / "job" / "deep").is_symlink()
    assert (tmp_path / "job" / "deep" / "a.dat").read_text() == "1"


def test_a_job_in_its_parents_folder_links_nothing(tmp_path: Path) -> None:
    shared = write(tmp_path / "shared", a_dat="1")
    stage_in(shared, url="", patterns="*", parents={ONE: tmp_path / "shared" / ".." / "shared"})
    assert contents(shared) == {"a.dat": "1"}


def test_a_parent_that_has_no_folder_gives_no_files(tmp_path: Path) -> None:
    stage_in(tmp_path / "job", url="", patterns="*", parents={ONE: tmp_path / "none"})
    assert contents(tmp_path / "job") == {}


@pytest.mark.parametrize("form", ["local:{}", "file://{}", "{}"])
def test_a_url_names_a_file_a_folder_or_a_pattern(tmp_path: Path, form: str) -> None:
    source = write(tmp_path / "in", a_dat="1", b_txt="b")
    stage_in(tmp_path / "file", url=form.format(source / "a.dat"), patterns="", parents={})
    stage_in(tmp_path / "folder", url=form.format(source), patterns="", parents={})
    stage_in(tmp_path / "pattern", url=form.format(source / "*.txt"), patterns="", parents={})
    assert contents(tmp_path / "file") == {"a.dat": "1"}
    assert contents(tmp_path / "folder") == {"in/a.dat": "1", "in/b.txt": "b"}
    assert contents(tmp_path / "pattern") == {"b.txt": "b"}


def test_a_path_with_brackets_that_is_there_is_meant_as_it_stands(tmp_path: Path) -> None:
    source = write(tmp_path / "run[1]", a_dat="1")
    stage_in(tmp_path / "job", url=f"local:{source}/a.dat", patterns="", parents={})
    assert contents(tmp_path / "job") == {"a.dat": "1"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("local:/no/such/place", "stage in failed: nothing is at local:/no/such/place"),
        ("local:/", "stage in failed: nothing is at local:/"),
        ("globus:there/x", "no transfer for 'globus' is known; use local:/path"),
        ("local:relative", "the path must be absolute"),
        ("~nobody-at-all/x", "the path must be absolute"),
    ],
)
def test_a_source_that_cannot_be_is_named(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(StagingError, match=words):
        stage_in(tmp_path, url=url, patterns="", parents={})


@pytest.mark.parametrize("pattern", ["/etc/*", "../x", "a/../../x"])
def test_a_pattern_stays_in_the_folder(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(StagingError, match="leads out of the working directory"):
        stage_in(tmp_path / "job", url="", patterns=pattern, parents={ONE: tmp_path})


def test_a_working_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StagingError, match=f"stage in failed: .*: {tmp_path}/file"):
        stage_in(tmp_path / "file" / "job", url="", patterns="", parents={})


def test_results_are_copied_once_however_many_patterns_name_them(tmp_path: Path) -> None:
    job = write(tmp_path / "job", square_dat="9", job_out="done", other="x")
    write(job / "square.d", a="1")
    target = tmp_path / "new" / "target"
    assert stage_out(job, url=f"local:{target}", patterns="square* *.dat job.out") == 3
    assert contents(target) == {"square.dat": "9", "square.d/a": "1", "job.out": "done"}


def test_no_result_is_no_error(tmp_path: Path) -> None:
    assert stage_out(tmp_path, url=str(tmp_path / "target"), patterns="none*") == 0


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StagingError, match=f"stage out to {tmp_path}/file failed"):
        stage_out(tmp_path, url=f"{tmp_path}/file", patterns="file")


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert local_path("local:~/data") == Path("/home/me/data")


def test_a_job_works_in_its_folder_or_where_its_user_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    workdirs = Workdirs(Path("/site/data"))
    wanted = {"": "/site/data/wf/job_1", "~/x": "/home/me/x", "/y": "/y", "z": "/site/data/z", "~nobody-at-all": None}
    found = {chosen: str(workdirs.of(make_job(folder="wf/job_1", user_workdir=chosen))) for chosen in wanted}
    assert found == {**wanted, "~nobody-at-all": "/site/data/~nobody-at-all"}


def test_a_copy_that_fails_leaves_what_was_there_and_no_part(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in")
    write(tmp_path / "out", **{"in": "old"})
    with pytest.raises(StagingError, match=f"`?{tmp_path}/in`? is a named pipe"):
        stage_in(tmp_path / "out", url=str(tmp_path / "in"), patterns="", parents={})
    assert contents(tmp_path / "out") == {"in": "old"}


def test_a_process_that_is_ended_removes_its_parts_first(tmp_path: Path) -> None:
    with suppress(FileNotFoundError), whole(tmp_path / "a.dat") as part:
        part.write_text("ne")
        remove_parts()
        assert contents(tmp_path) == {}
    assert contents(tmp_path) == {}


def test_a_folder_with_links_that_nobody_may_change_is_staged_again_as_it_was(tmp_path: Path) -> None:
    source = write(tmp_path / "in", a_dat="1")
    (source / "link").symlink_to("a.dat")
    source.chmod(0o555)
    for _ in range(2):
        stage_in(tmp_path / "job", url=str(source), patterns="", parents={})
    assert (tmp_path / "job" / "in" / "link").readlink() == Path("a.dat")
    assert (tmp_path / "job" / "in").stat().st_mode & 0o777 == 0o555


def test_parts_of_copies_and_the_log_of_staging_are_never_staged(tmp_path: Path) -> None:
    job = write(tmp_path / "job", a_dat="1", staging_log="log")
    write(job / "sub", b="2")
    for folder in (job, job / "sub"):
        (folder / part_name()).touch()
    stage_in(tmp_path / "child", url="", patterns="*", parents={ONE: job})
    assert sorted(file.name for file in (tmp_path / "child").iterdir()) == ["a.dat", "sub"]
    assert stage_out(job, url=str(tmp_path / "out"), patterns="*") == 2
    assert contents(tmp_path / "out") == {"a.dat": "1", "sub/b": "2"}


def test_results_that_go_to_a_folder_inside_the_working_directory_do_not_hold_themselves(tmp_path: Path) -> None:
    job = write(tmp_path / "job", a_dat="1")
    for _ in range(2):
        stage_out(job, url=f"local:{job}/results", patterns="*")
    assert contents(job) == {"a.dat": "1", "results/a.dat": "1"}


def test_a_folder_is_not_copied_into_itself(tmp_path: Path) -> None:
    job = write(tmp_path / "data" / "job", a_dat="1")
    with pytest.raises(StagingError, match=f"cannot copy a folder into itself: {tmp_path}/data"):
        stage_in(job, url=str(tmp_path / "data"), patterns="", parents={})
    assert contents(tmp_path) == {"data/job/a.dat": "1"}


def test_hidden_files_are_staged_where_a_pattern_says_so(tmp_path: Path) -> None:
    hidden = {".nfs01": "", ".conf": "c", ".git/head": "h"}
    for name, text in {**hidden, "deep/a": "1", "deep/.b": "2"}.items():
        (tmp_path / "job" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "job" / name).write_text(text)
    for patterns, target in (("*", "all"), ("deep/* .conf", "some")):
        stage_out(tmp_path / "job", url=str(tmp_path / target), patterns=patterns)
    stage_in(tmp_path / "child", url="", patterns="*", parents={ONE: tmp_path / "job"})
    assert contents(tmp_path / "all") == {"deep/a": "1", "deep/.b": "2"}
    assert contents(tmp_path / "some") == {"a": "1", ".conf": "c"}
    assert [file.name for file in (tmp_path / "child").iterdir()] == ["deep"]


def test_links_that_lead_back_give_each_file_once(tmp_path: Path) -> None:
    one, two = write(tmp_path / "job" / "one", a_dat="1"), write(tmp_path / "job" / "two", b_dat="2")
    for link, target in ((one / "here", "."), (one / "self", "."), (one / "there", "../two"), (two / "back", "../one")):
        link.symlink_to(target)
    names = [name for _, name in files_below(one)]
    assert names == ["one/a.dat", "one/there/b.dat"]
