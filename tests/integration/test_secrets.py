"""What the process table, the logs and the jobs show of a site: no password, and no shell's work."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import make_url

from tests import helpers
from tests.integration.launching import Site, temporary_site, wait_until
from tests.integration.ranking import on_nodes, rank_processes
from tests.postgres import PostgresServer

SECRET = "correct-horse-battery"
# Each would leave a file behind in the hands of a shell.
TRICKS = ["$(touch pwned)", "`touch pwned`", "; touch pwned;", "&& touch pwned", "| tee pwned", "> pwned", "'\"\\"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with temporary_site(tmp_path) as site:
        yield site


@pytest.mark.mpi
@pytest.mark.postgres
def test_no_process_and_no_file_but_the_settings_shows_the_password(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    helpers.SERVER.append(postgres_server)
    with temporary_site(tmp_path) as site:
        url = make_url(site.environ.pop("BALSAM_SITE__DATABASE")).set(password=SECRET)
        settings = site.folder / "settings.toml"
        line = f'database = "{url.render_as_string(hide_password=False)}"'
        settings.write_text(settings.read_text().replace('# database = ""', line))
        job = site.add("job", "env; tr '\\0' '\\n' </proc/$PPID/environ; sleep 1; echo done")
        launcher = site.start("--persistent", **on_nodes(2))
        rank_processes(launcher, 2)
        site.wait_state(job, "RUNNING")
        shown = [(one.pid, one.info["cmdline"]) for one in psutil.process_iter(["cmdline"])]
        listening = [one for one in _own(launcher.pid) if any(c.status == "LISTEN" for c in one.net_connections())]
        site.wait_state(job, "JOB_FINISHED")
        launcher.send(signal.SIGTERM)
        assert launcher.wait() == 0
        assert [pid for pid, words in shown if SECRET in str(words)] == []
        assert listening == []
        files = [file for file in site.folder.rglob("*") if file.is_file() and file != settings]
        assert "done" in site.output(job)
        assert [file for file in files if SECRET.encode() in file.read_bytes()] == []
    helpers.SERVER.pop().give_back()


def test_what_is_special_to_a_shell_reaches_a_job_as_it_is(site: Site) -> None:
    (site.folder / "env.sh").write_text("export FROM=envscript\n")
    site.app("plain", "/usr/bin/printf %s\\\\n")
    site.app(
        "prepared",
        "/usr/bin/printf %s\\\\n",
        envscript=str(site.folder / "env.sh"),
        preprocess="/bin/echo ; touch pwned",
    )
    fields: dict[str, Any] = {"workflow": "w;touch pwned", "environ_vars": {"X": TRICKS[0]}, "tags": {"t": TRICKS[1]}}
    args = " ".join(f"'{trick}'" for trick in TRICKS[:-1]) + r""" "'\"\\" """
    jobs = [site.add(f"$(touch pwned) {name}", application=name, args=args, **fields) for name in ("plain", "prepared")]
    site.run()
    wait_until(lambda: [site.state(job) for job in jobs] == ["JOB_FINISHED"] * 2, explain=lambda: site.story(jobs[1]))
    assert [site.output(job).splitlines() for job in jobs] == [TRICKS, TRICKS]
    assert list(site.folder.rglob("pwned")) == []


def _own(launcher: int) -> list[psutil.Process]:
    """The launcher, and the workers that it started: not the ranks, whose MPI may listen."""
    parent = psutil.Process(launcher)
    return [parent, *(one for one in parent.children(recursive=True) if "-S" in one.cmdline())]
