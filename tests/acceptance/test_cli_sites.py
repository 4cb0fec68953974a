"""Sites as the command line finds them, and what it says when they are wrong."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from balsam_core.state.store import open_store, sqlite_url
from tests.acceptance.runner import BALSAM, SCRIPTS, CommandLine, run_installed
from tests.helpers import make_launcher


def test_a_site_is_made_and_found_from_a_folder_below(
    balsam: CommandLine, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site / "data")
    assert balsam.ok("which").out == f"{site}\n"
    listed = balsam.ok("which", "--list", "--json").json["sites"]
    assert listed == [{"name": "site", "path": str(site), "exists": True, "active": True}]
    assert balsam.ok("which", "--name", "site").out == f"{site}\n"
    for which in ("--name", "site"), ():
        assert balsam.ok("which", *which, "--json").json["sites"] == listed
    monkeypatch.chdir("/")
    assert balsam.ok("which", "--name", f"{site.parent.name}/si").out == f"{site}\n"
    assert "is not a site" in balsam("which", "--name", str(site.parent)).err
    balsam.ok("init", str(site.parent / "sites"))
    assert f"several sites are named 'sit': {site}, {site}s; give" in balsam("which", "--name", "sit").err


def test_a_site_made_through_a_link_is_known_once(
    balsam: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    made = str(tmp_path / "link" / "site")
    balsam.ok("init", made)
    monkeypatch.chdir(made)
    assert balsam.ok("which").out == f"{tmp_path / 'real' / 'site'}\n"
    listed = balsam.ok("which", "--list", "--json").json["sites"]
    assert listed == [{"name": "site", "path": made, "exists": True, "active": True}]


def test_a_backup_is_restored_into_a_new_site_and_in_place_of_a_lost_database(
    balsam: CommandLine, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    balsam.ok("make_dummies", "2")
    jobs = balsam.jobs()
    balsam.ok("db", "backup", "backup.db")
    assert "has rows in its table jobs" in balsam("db", "restore", "backup.db").err
    for lost in site.glob("balsam.db*"):
        lost.unlink()
    assert balsam.ok("db", "restore", "backup.db").out.startswith("Copied 2 jobs, 1 app, 0 dependencies, 2 events")
    assert balsam.jobs() == jobs
    balsam.ok("init", str(site.parent / "new"))
    monkeypatch.chdir(site.parent / "new")
    balsam.ok("db", "restore", str(site / "backup.db"))
    assert [job["name"] for job in balsam.jobs()] == ["dummy0", "dummy1"]


def test_a_second_init_leaves_the_site_as_it_is(balsam: CommandLine, site: Path) -> None:
    balsam.ok("make_dummies", "1")
    assert balsam.ok("init", str(site)).out.startswith(f"{site} is a Balsam site already\n")
    assert len(balsam.jobs()) == 1


def test_a_site_beside_the_current_folder_is_known_by_its_plain_path(balsam: CommandLine, site: Path) -> None:
    assert balsam.ok("init", "../beside").out.startswith(f"Successfully created Balsam site at {site.parent}/beside\n")


def test_a_second_init_that_wants_another_site_is_refused(balsam: CommandLine, site: Path) -> None:
    ran = balsam("init", str(site), "--database", "sqlite")
    assert (ran.code, ran.err) == (
        1,
        f"balsam: {site} is a site already; use it with `. balsamactivate {site}`\n",
    )


def test_a_script_of_balsam_02_makes_a_site_and_moves_a_job(
    balsam: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    balsam.ok("init", str(tmp_path / "old"), "--db-type", "sqlite3")
    monkeypatch.setenv("BALSAM_DB_PATH", str(tmp_path / "old"))
    for words in ([], ["--stop"], ["--reset", str(tmp_path / "old")], ["--start"]):
        assert balsam.ok("dbserver", *words).out == "This site is on SQLite, which needs no server\n"
    balsam.ok("make_dummies", "1")
    balsam.ok("modify", "jobs", balsam.jobs()[0]["job_id"][:8], "--attr", "state", "--value", "PREPROCESSED")
    assert balsam.jobs()[0]["state"] == "PREPROCESSED"


@pytest.mark.parametrize("action", ["--connect", "--reset", "--stop", "--status"])
def test_sqlite_needs_no_server(balsam: CommandLine, site: Path, action: str) -> None:
    assert balsam.ok("server", action).out == "This site is on SQLite, which needs no server\n"


def test_on_a_network_file_system_the_rollback_journal_is_chosen_for_good(
    balsam: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("balsam_core.site.network_file_system", lambda path: "lustre")
    ran = balsam.ok("init", str(tmp_path / "site"))
    assert "network file system 'lustre'" in ran.err
    monkeypatch.chdir(tmp_path / "site")
    balsam.ok("make_dummies", "1")
    with sqlite3.connect("balsam.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_without_a_site_every_command_says_how_to_get_one(
    balsam: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = balsam("ls")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"balsam: no site in {tmp_path} or above; make one with `balsam init PATH`")
    monkeypatch.setenv("BALSAM_DB_PATH", str(tmp_path))
    ran = balsam("ls")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert ran.err.startswith(f"balsam: BALSAM_DB_PATH is {tmp_path}, which is not a site; make it one with")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[site", "settings.toml: "),
        ('[site]\njournl = "wal"', "settings.toml: [site] has no key 'journl'; did you mean 'journal'?"),
        ('[site]\njournal = "off"', "settings.toml: [site] journal"),
    ],
)
def test_settings_that_cannot_be_read_are_named_in_one_line(
    balsam: CommandLine, site: Path, text: str, message: str
) -> None:
    (site / "settings.toml").write_text(text)
    ran = balsam("ls")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert ran.err.startswith(f"balsam: {site}/{message}")


def test_a_database_that_is_missing_or_damaged_is_named_in_one_line(balsam: CommandLine, site: Path) -> None:
    (site / "balsam.db").write_bytes(b"not a database, but longer than a header of one" * 100)
    ran = balsam("ls")
    assert (ran.code, ran.err.count("\n"), "is damaged" in ran.err) == (1, 1, True)
    (site / "balsam.db").unlink()
    ran = balsam("ls")
    assert (ran.code, ran.err.count("\n"), "is missing" in ran.err) == (1, 1, True)


def test_a_database_that_stays_locked_is_named_in_one_line(
    balsam: CommandLine, hello: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("balsam_core.state.sqlite.SqliteDatabase.__init__.__kwdefaults__", _impatient())
    other = sqlite3.connect(hello / "balsam.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ran = balsam("job", "--name", "a", "--workflow", "w", "--application", "hello", "--yes")
    other.execute("ROLLBACK")
    assert (ran.code, ran.err.count("\n"), "stayed locked for 0.1 s" in ran.err) == (1, 1, True)
    assert balsam.jobs() == []


def _impatient() -> dict[str, object]:
    from balsam_core.state.sqlite import SqliteDatabase

    return {**(SqliteDatabase.__init__.__kwdefaults__ or {}), "lock_wait_seconds": 0.1}


def test_a_second_host_is_refused_while_a_launcher_lives_until_it_adopts_the_site(
    balsam: CommandLine, hello: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BALSAM_MACHINE_ID", "this-machine")
    balsam.ok("ls")
    store = open_store(sqlite_url(hello / "balsam.db"))
    make_launcher(store)
    monkeypatch.setenv("BALSAM_MACHINE_ID", "other")
    ran = balsam("ls")
    assert (ran.code, ran.err.count("\n"), "balsam db adopt" in ran.err) == (1, 1, True)
    assert balsam("db", "adopt").code == 1
    balsam.ok("db", "adopt", "--yes")
    balsam.ok("ls")
    assert balsam.ok("ls", "launchers").out == "No launchers found\n"
    store.database.close()


def test_an_upgrade_is_refused_while_a_launcher_lives(
    balsam: CommandLine, hello: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BALSAM_MACHINE_ID", "this-machine")
    assert balsam.ok("db", "upgrade").out == "The database is up to date\n"
    store = open_store(sqlite_url(hello / "balsam.db"))
    make_launcher(store)
    ran = balsam("db", "upgrade")
    assert (ran.code, "a launcher runs on here" in ran.err) == (1, True)
    store.database.close()


def test_a_disk_without_room_for_the_output_is_named(balsam: CommandLine, hello: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([BALSAM, "ls", "apps"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "balsam: cannot write the output: No space left on device; free some space\n",
    )


def test_a_reader_that_leaves_early_is_no_error(balsam: CommandLine, site: Path) -> None:
    balsam.ok("make_dummies", "3000")
    done = subprocess.run(["bash", "-c", f"'{BALSAM}' ls | head -1"], capture_output=True, text=True, check=False)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_the_installed_command_answers_with_exit_codes(tmp_path: Path) -> None:
    assert run_installed("init", "site", cwd=tmp_path).code == 0
    assert run_installed("ls", cwd=tmp_path / "site").out == "No jobs found matching query\n"
    assert run_installed("ls", cwd=tmp_path).code == 1
    assert run_installed("lss", cwd=tmp_path).err == (
        "balsam: no such command: 'lss'; did you mean 'ls'?; see `balsam --help`\n"
    )
    assert run_installed("ls", "--nope", cwd=tmp_path).code == 2
    assert run_installed("-V", cwd=tmp_path).out == run_installed("--version", cwd=tmp_path).out != ""


def test_activate_and_deactivate_set_the_site_for_the_shell(balsam: CommandLine, site: Path, tmp_path: Path) -> None:
    script = (
        "PS1='$ '; . balsamactivate site/; echo $BALSAM_DB_PATH; . balsamdeactivate; echo ${BALSAM_DB_PATH-unset};"
        ". balsamactivate site; echo $? $PS1; . balsamactivate nope || echo $?; echo $BALSAM_DB_PATH; . balsamactivate"
    )
    done = _sourced(script, tmp_path)
    assert done.stdout.splitlines() == [str(site), "unset", "0 [BalsamDB: site] $", "1", str(site)]
    assert done.returncode == 2
    assert done.stderr.startswith("balsam: no site named 'nope', and no such folder")


def test_bcd_goes_to_the_folder_of_a_job_once_there_is_one(balsam: CommandLine, hello: Path) -> None:
    begun, early = balsam.add("begun"), balsam.add("early")
    folder = hello / "data" / "w" / f"begun_{begun[:8]}"
    folder.mkdir(parents=True)
    script = f". bcd {begun[:6]}; pwd; . bcd {early}; echo $?; . bcd nope; echo $?; pwd; bcd; echo $?"
    done = _sourced(script, hello)
    assert done.stdout.splitlines() == [str(folder), "1", "1", str(folder), "2"]
    assert "its folder is not there yet" in done.stderr


def test_the_log_shows_the_ends_of_its_files_and_follows_them(balsam: CommandLine, site: Path) -> None:
    assert "no log files" in balsam.ok("log", "--no-follow").err
    (site / "log" / "a.log").write_text("".join(f"{number}\n" for number in range(30)))
    assert balsam.ok("log", "--no-follow", "-n", "2").out == "==> a.log <==\n28\n29\n"
    follower = subprocess.Popen([BALSAM, "log", "-n", "1"], stdout=subprocess.PIPE, text=True)
    assert follower.stdout is not None
    assert [follower.stdout.readline() for _ in range(2)] == ["==> a.log <==\n", "29\n"]
    (site / "log" / "b.log").write_text("new\n")
    assert [follower.stdout.readline() for _ in range(2)] == ["==> b.log <==\n", "new\n"]
    follower.send_signal(2)
    assert follower.wait(60) == 130


def test_plugins_are_listed_with_or_without_a_site(
    balsam: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    listed = {plugin["name"]: plugin for plugin in balsam.ok("plugin", "ls", "--json").json["plugins"]}
    assert listed["local"]["roles"]["node source"] == ["local"]
    assert "MPI launcher" in balsam.ok("plugin", "show", "local").out
    assert balsam("plugin", "show", "lcal").err == "balsam: no plugin named 'lcal'; did you mean 'local'?\n"


def test_a_broken_plugin_breaks_no_command_and_shows_its_traceback(
    balsam: CommandLine, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "balsam_wrecked-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: balsam-wrecked\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[balsam.plugins]\nwrecked = balsam_wrecked\n")
    (tmp_path / "balsam_wrecked.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    listed = balsam.ok("plugin", "ls").out
    assert "failed to load: see `balsam plugin show wrecked`" in listed
    assert "node source: local" in listed
    shown = balsam.ok("plugin", "show", "wrecked").out
    assert shown.rstrip().endswith("ModuleNotFoundError: No module named 'nothing_of_that_name'")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(balsam: CommandLine, shell: str) -> None:
    assert "_BALSAM_COMPLETE" in balsam.ok("completion", shell).out


def test_commands_and_options_complete(tmp_path: Path) -> None:
    asked = {"_BALSAM_COMPLETE": "bash_complete", "COMP_WORDS": "balsam ls --by", "COMP_CWORD": "2"}
    assert run_installed(cwd=tmp_path, environ=asked).out == "plain,--by-states\n"


def test_the_home_of_nobody_is_a_name_like_any_other(
    balsam: CommandLine, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert balsam("which", "--name", "~nobody-has-this").err.startswith(
        "balsam: no site named '~nobody-has-this', and no such folder"
    )
    monkeypatch.setenv("BALSAM_DB_PATH", "~nobody-has-this")
    assert "~nobody-has-this, which does not exist" in balsam("ls").err
    monkeypatch.delenv("BALSAM_DB_PATH")
    assert balsam.ok("init", "~nobody-has-this").out.startswith(f"Successfully created Balsam site at {site}/~nobody")
    balsam.ok("app", "--name", "hello", "--executable", "~nobody-has-this/a", "--envscript", "~nobody-has-this/b")
    balsam.ok("job", "--name", "a", "--workflow", "w", "--application", "hello", "--user-workdir", "~nobody", "--yes")


def test_without_a_home_folder_a_site_is_made_but_not_remembered(
    balsam: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)  # of no user, as in a container
    balsam.ok("init", str(tmp_path / "site"))
    assert caplog.messages == ["cannot remember the site: no home folder is known; set HOME"]
    monkeypatch.chdir(tmp_path / "site")
    assert balsam.ok("which").out == f"{tmp_path / 'site'}\n"
    assert balsam.ok("which", "--list").out.startswith("No sites known")


def _sourced(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{SCRIPTS}:{BALSAM.parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path}
    return subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False)
