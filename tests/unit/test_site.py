"""Finding, making and remembering sites."""

from __future__ import annotations

import grp
import json
import os
import resource
import stat
from pathlib import Path

import pytest

from balsam_core.errors import ConfigError, SiteNotFound
from balsam_core.settings import NodesSettings, QueueSettings, SchedulerSettings, Settings, SiteSettings
from balsam_core.sharing import follow_sharing
from balsam_core.site import Site, create_site, find_site, is_site, known_sites, network_file_system, remember_site


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    return {"HOME": str(home)}


@pytest.fixture
def site(tmp_path: Path, environ: dict[str, str]) -> Site:
    return create_site(tmp_path / "site", environ=environ)


def test_a_new_site_is_its_owners_alone(site: Site) -> None:
    assert stat.S_IMODE(site.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(site.settings_file.stat().st_mode) == 0o600
    folders = sorted(entry.name for entry in site.path.iterdir() if entry.is_dir())
    assert folders == ["data", "log", "qsubmit", "templates"]
    assert is_site(site.path)


def test_a_site_for_a_group_is_open_to_it_and_to_nobody_else(tmp_path: Path, environ: dict[str, str]) -> None:
    mine = grp.getgrgid(os.getegid())
    site = create_site(tmp_path / "site", lambda site: site.database_file.touch(0o600), environ, group=mine.gr_name)
    folders = [site.path, site.data, site.log, site.qsubmit, site.templates]
    files = {site.settings_file: 0o640, site.database_file: 0o660}
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (*folders, *files)}
    assert modes == {**dict.fromkeys(folders, 0o2770), **files}
    assert {path.stat().st_gid for path in modes} == {mine.gr_gid}


def test_a_group_that_is_not_the_users_is_refused_before_anything_is_made(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    other = next(one.gr_name for one in grp.getgrall() if one.gr_gid not in {os.getegid(), *os.getgroups()})
    with pytest.raises(ConfigError, match=f"^you are not in the group '{other}'; `id -Gn` lists yours$"):
        create_site(tmp_path / "site", environ=environ, group=other)
    with pytest.raises(ConfigError, match=r"^no group 'nonsense' on this host; `id -Gn` lists yours$"):
        create_site(tmp_path / "site", environ=environ, group="nonsense")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(("mode", "expected"), [(0o700, 0o644), (0o2750, 0o644), (0o2770, 0o660)])
def test_only_in_a_shared_site_new_files_are_the_groups(tmp_path: Path, mode: int, expected: int) -> None:
    before = os.umask(0o022)
    try:
        tmp_path.chmod(mode)
        follow_sharing(tmp_path)
        (tmp_path / "new").touch()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == expected


def test_the_settings_of_a_new_site_show_defaults_and_examples(site: Site) -> None:
    lines = site.settings_file.read_text().splitlines()
    assert site.settings.model_dump() == Settings().model_dump()

    site.settings_file.write_text("\n".join(line.removeprefix("# ") if _is_example(line) else line for line in lines))
    shown = Site(site.path, {}).settings

    queue = QueueSettings(name="debug", max_nodes=8, max_minutes=60)
    local = {"virtual_nodes": 0, "queue_path": "~/.balsam/queue", "kill_grace_seconds": 10}
    expected = Settings(
        site=SiteSettings(data_path="data"),
        scheduler=SchedulerSettings(same_host=True),
        nodes=NodesSettings(cpus=64, threads_per_core=4, gpus=0, memory_mb=192_000),
        queues=(queue,),
        plugins={"local": local},
    )
    assert shown.model_dump() == expected.model_dump()


def _is_example(line: str) -> bool:
    return " = " in line or line == "# [[queues]]"


def test_job_folders_lie_where_the_settings_say(tmp_path: Path, environ: dict[str, str]) -> None:
    site = create_site(tmp_path / "site", environ={**environ, "BALSAM_SITE__DATA_PATH": str(tmp_path / "big" / "jobs")})
    assert site.data == tmp_path / "big" / "jobs"
    assert site.data.is_dir()
    assert Site(site.path, {"BALSAM_SITE__DATA_PATH": "jobs"}).data == site.path / "jobs"
    assert Site(site.path, {}).data == site.path / "data"


def test_a_second_init_is_refused(site: Site, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=rf"^{site.path} is a site already; use it with `\. balsamactivate"):
        create_site(site.path, environ=environ)


def test_a_folder_with_other_files_may_become_a_site(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    mode = stat.S_IMODE(tmp_path.stat().st_mode)
    create_site(tmp_path, environ=environ)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert stat.S_IMODE(tmp_path.stat().st_mode) == mode


def test_settings_that_were_cut_off_are_not_taken_for_the_users(tmp_path: Path, environ: dict[str, str]) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(ConfigError, match="cannot make a site in"):
            create_site(tmp_path / "site", environ=environ)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    site = create_site(tmp_path / "site", environ=environ)
    assert site.settings_file.read_text() == create_site(tmp_path / "b", environ=environ).settings_file.read_text()


def test_an_init_that_failed_can_be_repeated(tmp_path: Path, environ: dict[str, str]) -> None:
    def full(site: Site) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ConfigError, match=r"cannot make a site in \S+: No space left on device; give"):
        create_site(tmp_path / "site", full, environ)
    assert not is_site(tmp_path / "site")
    assert known_sites(environ) == []

    prepared: list[Site] = []
    site = create_site(tmp_path / "site", prepared.append, environ)
    assert prepared[0].path == site.path


@pytest.mark.parametrize("path", ["file", "file/site"])
def test_a_file_in_the_way_is_told(path: str, tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="give `balsam init`"):
        create_site(tmp_path / path, environ=environ)


def test_a_parent_that_cannot_be_written_is_told(environ: dict[str, str]) -> None:
    # Not even root makes a folder in /proc.
    with pytest.raises(ConfigError, match=r"^cannot make a site in /proc/site: .*; give `balsam init` a path that you"):
        create_site(Path("/proc/site"), environ=environ)


def test_a_site_is_found_from_any_folder_below(site: Site) -> None:
    below = site.path / "data" / "wf"
    below.mkdir()
    assert find_site({}, below).path == site.path
    assert find_site({"BALSAM_DB_PATH": ""}, site.path).path == site.path


def test_the_variable_beats_the_current_folder(site: Site, tmp_path: Path, environ: dict[str, str]) -> None:
    other = create_site(tmp_path / "other", environ=environ)
    assert find_site({"BALSAM_DB_PATH": str(other.path)}, site.path).path == other.path


def test_no_site_anywhere_names_both_ways_out(tmp_path: Path) -> None:
    with pytest.raises(
        SiteNotFound, match=rf"^no site in {tmp_path} or above; make one with `balsam init PATH` or use"
    ):
        find_site({}, tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "does not exist; use `. balsamactivate PATH`"),
        ("file", "is not a folder; use `. balsamactivate PATH`"),
        ("folder", "is not a site; make it one with `balsam init"),
    ],
)
def test_a_variable_that_names_no_site_says_why(name: str, reason: str, site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SiteNotFound) as caught:
        find_site({"BALSAM_DB_PATH": str(tmp_path / name)}, site.path)
    assert str(caught.value).startswith(f"BALSAM_DB_PATH is {tmp_path / name}, which {reason}")


def test_sites_are_remembered_once_the_latest_last(site: Site, tmp_path: Path, environ: dict[str, str]) -> None:
    other = create_site(tmp_path / "other", environ=environ)
    assert known_sites(environ) == [site.path, other.path]
    remember_site(site.path, environ)
    assert known_sites(environ) == [other.path, site.path]
    assert sorted(os.listdir(tmp_path / "home" / ".balsam")) == ["sites.json"]  # noqa: PTH208 - names are enough


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sites": 3}', json.dumps({"sites": [3]})])
def test_an_unreadable_list_of_sites_is_no_obstacle(text: str, tmp_path: Path, environ: dict[str, str]) -> None:
    folder = tmp_path / "home" / ".balsam"
    folder.mkdir()
    (folder / "sites.json").write_text(text)
    assert known_sites(environ) == []
    site = create_site(tmp_path / "site", environ=environ)
    assert known_sites(environ) == [site.path]


def test_a_home_that_cannot_be_written_costs_a_warning_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "home").write_text("a file, not a folder")
    site = create_site(tmp_path / "site", environ={"HOME": str(tmp_path / "home")})
    assert is_site(site.path)
    assert "cannot remember the site" in caplog.text


MOUNTS = r"""
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/local xfs rw 0 0
mds@tcp:/scratch /lus/big\040one lustre rw 0 0
tmpfs /over tmpfs rw 0 0
gpfs1 /over gpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/tmp/site", None),
        ("/home/ada/site", "nfs4"),
        ("/home", "nfs4"),
        ("/homework", None),
        ("/home/local/site", None),
        ("/lus/big one/site", "lustre"),
        ("/over/site", "gpfs"),
    ],
)
def test_a_network_file_system_is_told_by_the_mount_that_holds_the_path(path: str, answer: str | None) -> None:
    assert network_file_system(Path(path), MOUNTS) == answer
