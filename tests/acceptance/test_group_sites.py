"""A site that two users of one Unix group share: root and the ordinary user that tests borrow."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.runner import BALSAM
from tests.postgres import as_user, server_user

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not below a folder of pytest: those are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="balsam-group-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def run(folder: Path, *words: str, user: bool = False) -> str:
    """What a command prints, as root or as the ordinary user; it succeeds."""
    environ = {**os.environ, "HOME": str(folder), "BALSAM_DB_PATH": str(folder / "site")}
    command = [*(as_user() if user else []), *words]
    done = subprocess.run(
        command, env=environ, cwd=folder, capture_output=True, text=True, timeout=60, check=False, umask=0o022
    )
    assert done.returncode == 0, done
    return done.stdout


def test_members_of_the_group_add_jobs_and_write_in_their_folders(folder: Path) -> None:
    group = grp.getgrgid(pwd.getpwnam(server_user()).pw_gid).gr_name
    balsam = str(BALSAM)
    run(folder, balsam, "init", "site", "--group", group)
    run(folder, balsam, "app", "--name", "note", "--executable", "touch", user=True)
    for name, user in (("a", False), ("b", True)):
        job = ("--name", name, "--workflow", "w", "--application", "note", "--args", "x")
        run(folder, balsam, "job", *job, "--yes", user=user)
    run(folder, balsam, "launcher", "--consume-all")
    assert run(folder, balsam, "ls", "--by-states", user=True).count("JOB_FINISHED") == 1
    made = list((folder / "site" / "data").rglob("*"))
    assert {(grp.getgrgid(path.stat().st_gid).gr_name, stat.S_IMODE(path.stat().st_mode)) for path in made} == {
        (group, 0o2770),
        (group, 0o660),
    }
    for place in made:
        run(folder, "touch", str(place / "more" if place.is_dir() else place), user=True)


def test_a_launcher_of_another_member_makes_the_calls_of_a_program(folder: Path) -> None:
    group = grp.getgrgid(pwd.getpwnam(server_user()).pw_gid).gr_name
    balsam = str(BALSAM)
    run(folder, balsam, "init", "site", "--group", group)
    submit = "from balsam_core import BalsamExecutor; BalsamExecutor().submit(pow, 2, 5)"
    run(folder, sys.executable, "-c", submit)
    run(folder, balsam, "launcher", "--wf-filter", "calls", user=True)
    assert "JOB_FINISHED" in run(folder, balsam, "ls", "--by-states")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder / "site" / "data").rglob("*")}
    assert modes == {0o2770, 0o660}


def test_a_password_that_the_group_would_read_is_refused(folder: Path) -> None:
    command = [str(BALSAM), "init", "site", "--group", "root", "--database", "postgresql://me:secret@host/db"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "~/.pgpass" in done.stderr, "secret" in done.stderr) == (1, True, False)
    assert not (folder / "site").exists()
