"""`balsam explain`, as it is typed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from balsam_core.state.machine import State
from balsam_core.state.store import Store, open_store, sqlite_url
from tests.acceptance.runner import CommandLine
from tests.helpers import MACHINE, make_launcher, put, running


@pytest.fixture
def store(hello: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store behind the command line, on the machine of the helpers' launchers."""
    monkeypatch.setenv("BALSAM_MACHINE_ID", MACHINE)
    opened = open_store(sqlite_url(hello / "balsam.db"))
    yield opened
    opened.database.close()


def test_a_job_is_explained_in_sentences_and_with_a_command(balsam: CommandLine, store: Store) -> None:
    job_id = str(put(store, State.PREPROCESSED, application="hello", hold=True))[:8]
    first, *rest = balsam.ok("explain", job_id).out.splitlines()
    assert first.startswith(f"[job | {job_id}] is PREPROCESSED since ")
    assert rest == [
        "It is on hold: no launcher takes it up.",
        "",
        "Let it start again:",
        f"    balsam release {job_id}",
    ]


def test_json_has_the_sentences_and_the_facts(balsam: CommandLine, store: Store) -> None:
    launcher = make_launcher(store)
    job = running(store, launcher, application="hello")
    said = balsam.ok("explain", str(job.job_id), "--json").json
    assert (said["schema_version"], said["about"]) == (1, "job")
    assert said["sentences"][1].startswith("Attempt 1 runs on node n1 as pid 4711 for ")
    assert said["facts"]["job"]["state"] == "RUNNING"
    assert said["facts"]["holder"]["launcher_id"] == str(launcher)
    assert said["advice"] == [{"text": "Follow what it prints", "command": f"balsam tail {str(job.job_id)[:8]}"}]


def test_a_launcher_is_explained(balsam: CommandLine, store: Store) -> None:
    launcher = make_launcher(store)
    said = balsam.ok("explain", "launcher", str(launcher)[:8]).out.splitlines()
    assert said[0].startswith(f"Launcher {str(launcher)[:8]} (serial mode, 1 node, on here) began as pid ")
    assert "It holds no job." in said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["launch", "7"], 1, "balsam: no batch job is called '7'; `balsam ls queues --history` lists them"),
        (["launcher", "a"], 1, "balsam: no launcher has the id 'a'; `balsam ls launchers --verbose` lists them"),
        (["ab"], 1, "balsam: no job has the id 'ab'; `balsam ls` lists the ids"),
        (
            ["site", "x"],
            2,
            "balsam explain: give a job's id, or `launch ID`, or `launcher ID`; see `balsam explain --help`",
        ),
    ],
)
def test_what_cannot_be_explained_is_told_in_one_line(
    balsam: CommandLine, store: Store, words: list[str], code: int, message: str
) -> None:
    ran = balsam("explain", *words)
    assert (ran.code, ran.err) == (code, f"{message}\n")
