"""Staging from and to real servers on loopback: HTTP, and sshd by sftp, rsync and scp."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from balsam_core.transitions.persistence import Limits
from balsam_core.transitions.staging import stage_in, stage_out
from balsam_core.transitions.urls import StagingError
from tests.helpers import only
from tests.integration.launching import Site, marked, temporary_site, wait_until
from tests.loopback import SshServer, WebServer, silent_server

LIMITS = Limits(pause_seconds=0.01)
TREE = {"a b.dat": "ab", "c.dat": "c", "sub/d.txt": "d"}


def write(folder: Path, files: dict[str, str] = TREE) -> Path:
    """A folder with these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def fetched(folder: Path, url: str, limits: Limits = LIMITS) -> dict[str, str]:
    """What lies in an empty folder after staging in."""
    shutil.rmtree(folder, ignore_errors=True)
    stage_in(folder, url=url, patterns="", parents={}, limits=limits)
    return contents(folder)


@pytest.mark.staging
def test_http_gives_a_file_a_folder_or_a_pattern(web: WebServer, tmp_path: Path) -> None:
    write(web.folder / "in")
    job = tmp_path / "job"
    assert fetched(job, f"{web.url}/in/a%20b.dat") == {"a b.dat": "ab"}
    assert fetched(job, f"{web.url}/in/c.dat?version=2") == {"c.dat": "c"}
    assert fetched(job, f"{web.url}/in/*.dat") == {"a b.dat": "ab", "c.dat": "c"}
    assert fetched(job, f"{web.url}/in/*") == TREE
    assert fetched(job, f"{web.url}/in/") == {f"in/{name}": text for name, text in TREE.items()}


@pytest.mark.staging
def test_results_are_put_on_a_web_server(web: WebServer, tmp_path: Path) -> None:
    job = write(tmp_path / "job", {"one.dat": "1", "big.dat": "x" * 9_000_000, "other": ""})
    assert stage_out(job, url=web.url, patterns="*.dat", limits=LIMITS) == 2
    assert contents(web.folder) == {"one.dat": "1", "big.dat": "x" * 9_000_000}


@pytest.mark.staging
def test_a_busy_server_and_a_file_that_is_cut_off_are_tried_again(web: WebServer, tmp_path: Path) -> None:
    write(web.folder)
    web.busy = web.cut = 1
    said: list[str] = []
    stage_in(tmp_path / "job", url=f"{web.url}/c.dat", patterns="", parents={}, limits=LIMITS, say=said.append)
    assert contents(tmp_path / "job") == {"c.dat": "c"}
    assert ["trying again in" in line for line in said] == [True, True, False]
    assert said[0].startswith(f"{web.url}/c.dat: 503")


@pytest.mark.staging
def test_a_file_that_is_always_cut_off_is_named_and_leaves_nothing(web: WebServer, tmp_path: Path) -> None:
    write(web.folder)
    web.cut = 9
    with pytest.raises(StagingError, match=rf"stage in failed: {web.url}/a%20b.dat: .*payload"):
        fetched(tmp_path / "job", f"{web.url}/a%20b.dat")
    assert list((tmp_path / "job").iterdir()) == []
    assert web.cut == 9 - 1 - LIMITS.retries


@pytest.mark.staging
def test_a_refusal_is_final_and_no_message_shows_the_password(web: WebServer, tmp_path: Path) -> None:
    write(web.folder)
    url = web.url.replace("//", "//me:geheim@")
    web.credentials = "Basic bWU6Z2VoZWlt"  # me:geheim
    assert fetched(tmp_path / "job", f"{url}/c.dat") == {"c.dat": "c"}
    said: list[str] = []
    for name in ("c.dat?key=geheim", "none*"):
        web.credentials = "other"
        with pytest.raises(StagingError) as failed:
            stage_in(tmp_path, url=f"{url}/{name}", patterns="", parents={}, limits=LIMITS, say=said.append)
        assert ("401" in str(failed.value), "geheim" in str(failed.value)) == (True, False)
    assert said == []


@pytest.mark.staging
def test_what_is_not_there_is_named(web: WebServer, tmp_path: Path) -> None:
    with pytest.raises(StagingError, match=f"stage in failed: {web.url}/none: no such file"):
        fetched(tmp_path / "job", f"{web.url}/none")
    with pytest.raises(StagingError, match=rf"stage in failed: nothing is at {web.url}/\*\.dat"):
        fetched(tmp_path / "job", f"{web.url}/*.dat")


@pytest.mark.staging
def test_several_files_come_at_once(web: WebServer, tmp_path: Path) -> None:
    write(web.folder, {f"{number}.dat": str(number) for number in range(6)})
    web.meeting = threading.Barrier(3)
    limits = Limits(at_once=3, retries=0)
    assert len(fetched(tmp_path / "job", f"{web.url}/*.dat", limits)) == 6


@pytest.mark.staging
@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/x", "sftp://me@127.0.0.1:{port}/x"])
def test_a_server_that_accepts_and_says_nothing_is_left_after_the_silence(tmp_path: Path, url: str) -> None:
    with silent_server() as port, pytest.raises(StagingError, match=r"no answer in time|reading SSH protocol banner"):
        fetched(tmp_path / "job", url.format(port=port), Limits(retries=0, silence_seconds=0.3))


@pytest.mark.staging
def test_a_silence_in_the_middle_of_a_file_ends_it(web: WebServer, tmp_path: Path) -> None:
    with pytest.raises(StagingError, match="/hang: no answer in time"):
        fetched(tmp_path / "job", f"{web.url}/hang", Limits(retries=0, silence_seconds=0.3))
    assert list((tmp_path / "job").iterdir()) == []


@pytest.mark.staging
def test_a_server_cannot_name_files_out_of_the_folder(web: WebServer, tmp_path: Path) -> None:
    write(web.folder, {"index.html": '<a href="..%2f..%2fevil.dat">evil</a>'})
    with pytest.raises(StagingError, match=r"'\.\.%2f\.\.%2fevil\.dat' is no name for a file"):
        fetched(tmp_path / "job", f"{web.url}/*.dat")


@pytest.fixture(params=[pytest.param("sftp", marks=pytest.mark.staging), "rsync", "scp"])
def host(request: pytest.FixtureRequest, sshd: SshServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """What stands before a path on this host, and the way of each kind set up."""
    monkeypatch.setenv("HOME", str(sshd.home))
    tools = "" if request.param == "scp" else f":{os.environ['PATH']}"
    monkeypatch.setenv("PATH", f"{sshd.bin}{tools}")
    return sshd.url if request.param == "sftp" else f"{sshd.login}:"


@pytest.mark.sshd
def test_another_host_gives_a_file_a_folder_or_a_pattern(host: str, tmp_path: Path) -> None:
    source, job = write(tmp_path / "the source"), tmp_path / "job"
    (source / "link.txt").symlink_to(source / "c.dat")
    assert fetched(job, f"{host}{source}/a b.dat") == {"a b.dat": "ab"}
    assert fetched(job, f"{host}{source}/*.dat") == {"a b.dat": "ab", "c.dat": "c"}
    assert fetched(job, f"{host}{source}") == {f"the source/{name}": text for name, text in contents(source).items()}
    assert not (job / "the source" / "link.txt").is_symlink()


@pytest.mark.sshd
def test_results_go_to_another_host_and_into_what_is_there(host: str, tmp_path: Path) -> None:
    job, target = write(tmp_path / "job"), tmp_path / "new" / "the target"
    for text in ("old", "new"):
        (job / "c.dat").write_text(text)
        assert stage_out(job, url=f"{host}{target}", patterns="*", limits=LIMITS) == 3
    assert contents(target) == {**TREE, "c.dat": "new"}


@pytest.mark.sshd
def test_another_host_says_why_not(host: str, tmp_path: Path) -> None:
    limits = Limits(retries=0)
    with pytest.raises(StagingError, match=r"stage in failed: .*/no such file"):
        fetched(tmp_path / "job", f"{host}{tmp_path}/no such file", limits)
    assert list((tmp_path / "job").iterdir()) == []
    with pytest.raises(StagingError, match=r"stage out to .* failed: .*(?i:no such file|not a directory)"):
        stage_out(write(tmp_path / "out"), url=f"{host}/dev/null/x", patterns="*.dat", limits=limits)


@pytest.mark.sshd
@pytest.mark.staging
def test_sftp_keeps_away_from_hosts_that_nobody_knows(sshd: SshServer, tmp_path: Path) -> None:
    # HOME is an empty folder here.
    with pytest.raises(StagingError, match=r"127\.0\.0\.1 is no known host; connect to it once by `ssh`"):
        fetched(tmp_path / "job", f"{sshd.url}/x")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with temporary_site(tmp_path) as site:
        yield site


@pytest.mark.staging
def test_a_launcher_stages_by_http_and_keeps_secrets_and_its_own_log_to_itself(web: WebServer, site: Site) -> None:
    write(web.folder)
    web.credentials = "Basic bWU6Z2VoZWlt"  # me:geheim
    url = web.url.replace("//", "//me:geheim@")
    # A launcher is not to take its modules from the folder of a job.
    write(site.folder / "own", {"json.py": "raise SystemExit('not this one')", "c.dat": "old"})
    parent = site.add("parent", "cat *.dat", stage_in_url=f"{url}/*.dat", user_workdir=str(site.folder / "own"))
    child = site.add("child", "ls -A", parents=(parent,), input_files="*", stage_out_url=url, stage_out_files="child.*")
    missing = site.add("missing", stage_in_url=f"{url}/none")
    site.run()
    assert site.output(parent) == "abc"
    assert (web.folder / "child.out").read_text().split("\n")[:-1] == [
        "a b.dat",
        "c.dat",
        "child.out",
        "json.py",
        "parent.out",
    ]
    masked = url.replace("geheim", "***")
    assert site.message(child, "JOB_FINISHED") == f"copied 1 files to {masked}"
    assert site.message(missing, "FAILED") == f"stage in failed: {masked}/none: no such file"
    log = (site.workdir(parent) / "staging.log").read_text()
    assert log.startswith(f"# Balsam stage in: {masked}/*.dat\n")
    files = {line.split(" ", 2)[2].partition(" MB in ")[0] for line in log.splitlines()[1:3]}
    assert files == {"a b.dat: 0.0", "c.dat: 0.0"}
    assert "geheim" not in log + site.launchers[0].text + (site.workdir(child) / "staging.log").read_text()


@pytest.mark.staging
def test_a_staging_that_hangs_ends_with_its_time_limit_or_its_job(site: Site) -> None:
    with silent_server() as port:
        hangs = site.add("hangs", stage_in_url=f"http://127.0.0.1:{port}/x")
        fine = site.add("fine")
        site.run(BALSAM_STAGING__TIMEOUT_SECONDS="1.5")
        assert site.message(hangs, "FAILED").startswith("stage in was stopped after its time limit of 1.5 s")
        assert (site.state(fine), site.history(hangs)) == ("JOB_FINISHED", ["CREATED", "READY", "FAILED"])
        killed = site.add("killed", stage_in_url=f"http://127.0.0.1:{port}/x")
        launcher = site.start(MARK=str(site.folder))
        wait_until(lambda: (site.workdir(killed) / "staging.log").exists() and len(marked(str(site.folder))) == 3)
        site.store.kill(only(killed))
        assert launcher.wait() == 0
        assert (site.state(killed), marked(str(site.folder))) == ("USER_KILLED", [])
