"""Watching a site: one look as text, and the screen with its keys on a real site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from balsam_core.cli.context import opened
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import State
from balsam_core.state.outcomes import End
from balsam_core.state.store import open_store, sqlite_url
from tests.acceptance.runner import CommandLine
from tests.helpers import finish, make_launcher, put, running

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from balsam_core.cli.screen import TopApp

_DEADLINE_SECONDS = 60.0


@pytest.fixture
def worked(hello: Path) -> Path:
    """A site with jobs that run, failed and wait."""
    store = open_store(sqlite_url(hello / "balsam.db"))
    launcher = make_launcher(store, nodes=2)
    failed = running(store, launcher, "bad", application="hello")
    finish(store, launcher, failed, End.ERROR, message="nonzero return 1: [b]no[/b] input", at=time.time())
    running(store, launcher, "runs", application="hello")
    for number in range(120):
        put(store, State.CREATED, f"waits{number}", application="hello", workflow="other")
    store.database.close()
    return hello


def screen_test(act: Callable[[TopApp, Pilot[None]], Awaitable[None]], wanted: JobFilter | None = None) -> None:
    """Open the screen at 80x24 on the current site, and act."""
    from balsam_core.cli.screen import TopApp

    async def open_and_act() -> None:
        with opened() as here:
            app = TopApp(here, wanted or JobFilter(), 0.1)
            async with app.run_test(size=(80, 24)) as pilot:
                await act(app, pilot)

    asyncio.run(open_and_act())


def text_of(app: TopApp) -> str:
    """What the terminal shows."""
    width = app.size.width
    shown = "".join(segment.text for line in app.screen._compositor.render_strips() for segment in line)
    return "\n".join(shown[at : at + width] for at in range(0, len(shown), width))


async def until(app: TopApp, pilot: Pilot[None], words: str) -> str:
    """Wait until the terminal shows these words."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while words not in (shown := text_of(app)):
        assert time.monotonic() < deadline, f"no {words!r} in\n{shown}"
        await pilot.pause(0.02)
    return shown


def test_one_look_is_text(balsam: CommandLine, worked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "textual", None)
    lines = balsam.ok("top", "--once", "--limit", "3").out.splitlines()
    assert lines[0].startswith(f"balsam top  {worked}"[:60])
    assert lines[1:3] == [
        "122 jobs: 120 CREATED, 1 RUNNING, 1 FAILED",
        "rate: 1 jobs ended a minute (1 FAILED in 60 s)",
    ]
    assert [line for line in lines if line.endswith(":")] == ["launchers:", "nodes:", "failing:", "jobs:"]
    assert lines[-1] == "(3 of 122 jobs)"
    assert any(line.endswith("| nonzero return 1: [b]no[/b] input") for line in lines)


def test_one_look_takes_the_filters_of_ls(balsam: CommandLine, worked: Path) -> None:
    lines = balsam.ok("top", "--once", "--wf", "o*", "--state", "CREATED,FAILED", "--limit", "1").out.splitlines()
    assert lines[1] == "120 jobs: 120 CREATED"
    assert lines[-2].split(" | ")[1:5] == ["waits0", "other   ", "hello      ", "CREATED"]
    assert balsam("top", "--once", "--state", "DONE").code == 1


def test_one_look_as_json_has_the_same_facts(balsam: CommandLine, worked: Path) -> None:
    look = balsam.ok("top", "--json", "--limit", "1").json
    assert (look["schema_version"], look["states"]) == (1, {"CREATED": 120, "RUNNING": 1, "FAILED": 1})
    assert (look["ended"], look["ended_per_minute"], look["nodes_busy"], look["total"]) == ({"FAILED": 1}, 1, 1, 122)
    assert [one["name"] for one in look["jobs"]] == ["runs"]
    assert [(one["running"], one["status"]) for one in look["launchers"]] == [(1, "live")]


def test_without_textual_or_a_terminal_the_way_out_is_named(
    balsam: CommandLine, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "textual", None)
    ran = balsam("top")
    assert (ran.code, "pip install 'balsam-core[top]'" in ran.err) == (1, True)


@pytest.mark.top
def test_without_a_terminal_one_look_is_offered(balsam: CommandLine, site: Path) -> None:
    ran = balsam("top")
    assert (ran.code, ran.err) == (1, "balsam: balsam top needs a terminal; `balsam top --once` prints one look\n")


@pytest.mark.top
def test_the_screen_shows_each_view_within_80_columns(worked: Path) -> None:
    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        shown = await until(app, pilot, "122 jobs: 120 CREATED, 1 RUNNING, 1 FAILED")
        assert "launchers: 1 live  nodes: 1.0 of 2 busy [#####.....]  batch jobs: none" in shown
        for words in ("[1 jobs]", "1-100 of 122", "k kill  q quit"):
            await until(app, pilot, words)
        for key, words in (("2", "serial"), ("3", "[##########]"), ("4", "scheduler says"), ("5", "[b]no[/b] input")):
            await pilot.press(key)
            await until(app, pilot, words)
        await pilot.press("tab")
        await until(app, pilot, "[1 jobs]")

    screen_test(act)


@pytest.mark.top
def test_what_others_change_is_seen(balsam: CommandLine, worked: Path) -> None:
    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(app, pilot, "122 jobs")
        store = open_store(sqlite_url(worked / "balsam.db"))
        put(store, State.CREATED, "new", application="hello")
        store.database.close()
        await until(app, pilot, "123 jobs")

    screen_test(act)


@pytest.mark.top
def test_keys_filter_and_turn_pages(worked: Path) -> None:
    from textual.widgets import Input

    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(app, pilot, "1-100 of 122")
        await pilot.press("greater_than_sign")
        await until(app, pilot, "101-122 of 122")
        await pilot.press("less_than_sign")
        await until(app, pilot, "1-100 of 122")
        for key, answer, words in (
            ("w", "te*", "2 jobs: 1 RUNNING, 1 FAILED"),
            ("s", "failed", "1-1 of 1"),
            ("n", "runs", "1 job: 1 RUNNING"),
            ("s", "DONE", "no state named 'DONE'"),
        ):
            await pilot.press(key)
            await until(app, pilot, ":  ")
            app.screen.query_one(Input).value = answer
            await pilot.press("enter")
            await until(app, pilot, words)
        await pilot.press("c")
        await until(app, pilot, "1-100 of 122")

    screen_test(act)


@pytest.mark.top
def test_history_and_output_open_and_follow(worked: Path) -> None:
    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(app, pilot, "1-2 of 2")
        await pilot.press("down", "enter")
        await until(app, pilot, "nonzero return 1: [b]no[/b] input")
        await until(app, pilot, "Why it is there: balsam explain")
        await pilot.press("escape")
        await until(app, pilot, "1-2 of 2")
        await pilot.press("up", "o")
        await until(app, pilot, "(nothing yet")
        with opened() as here:
            (job,) = here.store.jobs(JobFilter(name="runs"))
        folder = worked / "data" / job.folder
        folder.mkdir(parents=True)
        (folder / "runs.out").write_text("step 1\x1b[31m red\n")
        await until(app, pilot, "step 1[31m red")

    screen_test(act, JobFilter(workflow="test"))


@pytest.mark.top
def test_an_output_that_cannot_be_read_does_not_end_the_screen(worked: Path) -> None:
    (worked / "file").touch()
    store = open_store(sqlite_url(worked / "balsam.db"))
    put(store, State.CREATED, "odd", application="hello", workflow="odd", user_workdir=str(worked / "file" / "folder"))
    store.database.close()

    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(app, pilot, "1-1 of 1")
        await pilot.press("o")
        await until(app, pilot, "(cannot be read: Not a directory)")
        await pilot.press("escape")
        await until(app, pilot, "1-1 of 1")

    screen_test(act, JobFilter(workflow="odd"))


@pytest.mark.top
def test_a_job_is_killed_only_when_the_user_says_yes(balsam: CommandLine, worked: Path) -> None:
    async def act(app: TopApp, pilot: Pilot[None]) -> None:
        await until(app, pilot, "1-2 of 2")
        for answer, words in (("n", "nothing was killed"), ("escape", "nothing was killed"), ("y", "killed [runs")):
            await pilot.press("k")
            await until(app, pilot, "Kill [runs | ")
            await pilot.press(answer)
            await until(app, pilot, words)
            await pilot.press("1")
        await until(app, pilot, "1 FAILED, 1 USER_KILLED")
        await pilot.press("k")
        await until(app, pilot, "is USER_KILLED: there is nothing to kill")
        await pilot.press("2", "k")
        await until(app, pilot, "choose a job first")

    screen_test(act, JobFilter(workflow="test"))
    (event,) = balsam.ok("ls", "--name", "runs", "--history", "--json").json["jobs"][0]["events"][-1:]
    assert (event["to_state"], event["message"]) == ("USER_KILLED", "balsam top")
