"""A private PostgreSQL server in a site's folder, driven by an ordinary user's commands."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.runner import BALSAM, CommandLine
from tests.postgres import PostgresServer, as_user, server_user

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(240)]


class Shell:
    """Types commands as the ordinary user, in the folder of a site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]:
        return self._run([str(BALSAM), *args])

    def notebook(self) -> subprocess.CompletedProcess[str]:
        """Starts the server as a notebook written for Balsam 0.5 does."""
        program = "import sys; from balsam.scripts import postgres_control; postgres_control.start_main(sys.argv[1])"
        return self._run([sys.executable, "-c", program, str(self.site)])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "HOME": str(self.folder)}
        if self.site.exists():
            environ["BALSAM_DB_PATH"] = str(self.site)
        return subprocess.run(
            [*as_user(), *command],
            env=environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def ok(self, *args: str) -> str:
        done = self(*args)
        assert done.returncode == 0, done
        return done.stdout


@pytest.fixture
def shell() -> Iterator[Shell]:
    # Not below a folder of pytest: those are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="balsam-server-"))
    if os.geteuid() == 0:
        user = pwd.getpwnam(server_user())
        os.chown(folder, user.pw_uid, user.pw_gid)
    shell = Shell(folder)
    yield shell
    if shell.site.exists():
        shell("server", "--stop")
    shutil.rmtree(folder)


def test_a_site_with_a_server_of_its_own_lives_through_stops_and_kills(shell: Shell) -> None:
    import psycopg

    assert "Successfully created" in shell.ok("init", "site", "--database", "postgresql")
    cluster = shell.site / "postgresql"
    modes = [(cluster / name).stat().st_mode & 0o777 for name in ("", "password", "address.json")]
    assert modes == [0o700, 0o600, 0o600]
    assert "trust" not in (cluster / "data" / "pg_hba.conf").read_text()
    shell.ok("app", "--name", "hello", "--executable", "true")
    shell.ok("job", "--name", "a", "--workflow", "w", "--application", "hello", "--yes")
    assert "runs at 127.0.0.1" in shell.ok("server", "--status")

    added = shell.ok("server", "--add-user", "friend")
    assert "postgresql://friend@127.0.0.1:" in added
    assert shell.ok("server", "--list-users").split() == ["balsam", "friend"]
    assert "balsam" in shell.ok("server", "--list-active-connections")
    shell.ok("server", "--drop-user", "friend")
    url, _, line = shell.ok("server", "--add-user", "me:too@lab").splitlines()
    passfile = shell.folder / "pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text(f"{line}\n")
    with psycopg.connect(url.rpartition(" ")[2], passfile=str(passfile)) as connected:
        assert connected.info.user == "me:too@lab"
    shell.ok("server", "--drop-user", "me:too@lab")
    assert shell.ok("server", "--list-users").split() == ["balsam"]

    postmaster = int((cluster / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    refused = shell("ls")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.rstrip().endswith("start it with `balsam server --connect`")
    assert "was started" in shell.ok("server", "--connect")
    assert "CREATED" in shell.ok("ls")
    first_port = shell.ok("server", "--status").split()[-1]
    assert "was started at 127.0.0.1" in shell.ok("server", "--reset")
    assert shell.ok("server", "--status").split()[-1] != first_port
    assert "CREATED" in shell.ok("ls")
    assert "The server was stopped" in shell.ok("server", "--stop")
    assert [shell.notebook().returncode for _ in range(2)] == [0, 0]
    assert "The server was stopped" in shell.ok("server", "--stop")

    (cluster / "address.json").write_text('{"machine": "another", "host": "login9", "port": 1}')
    assert "DatabaseError: the server was started on login9" in shell.notebook().stderr
    asked = shell("server", "--connect")
    assert (asked.returncode, "login9, and nobody has stopped it; is it gone for good?" in asked.stderr) == (1, True)
    shell.ok("server", "--connect", "--yes")
    assert "CREATED" in shell.ok("ls")


def test_root_is_told_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    ran = CommandLine(monkeypatch, capsys)("init", str(tmp_path / "site"), "--database", "postgresql")
    assert ran.code == 1
    assert ran.err.startswith("balsam: PostgreSQL does not run as root; do this as an ordinary user, or use")


def test_a_site_may_use_an_existing_server(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    postgres_server: PostgresServer,
) -> None:
    balsam = CommandLine(monkeypatch, capsys)
    postgres_server.run("CREATE DATABASE existing")
    url = postgres_server.url("existing").replace("balsam@", "balsam:secret@")
    balsam.ok("init", str(tmp_path / "site"), "--database", url)
    assert (tmp_path / "site" / "settings.toml").stat().st_mode & 0o777 == 0o600
    monkeypatch.chdir(tmp_path / "site")
    balsam.ok("make_dummies", "2")
    # As a process of its own: the launcher forks.
    subprocess.run([str(BALSAM), "launcher", "--consume-all"], check=True, timeout=100, capture_output=True)
    assert [job["state"] for job in balsam.jobs()] == ["JOB_FINISHED"] * 2
    ran = balsam("server", "--connect")
    assert (ran.code, "no server of its own" in ran.err, "secret" in ran.err) == (1, True, False)
