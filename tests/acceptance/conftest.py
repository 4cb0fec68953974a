"""Fixtures of the acceptance tests: a command line, and a site to use it in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.facade import Facade, opened_facade
from tests.acceptance.runner import CommandLine


@pytest.fixture
def balsam(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line, run inside this process."""
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def site(balsam: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new site, which is the current folder."""
    path = tmp_path / "site"
    balsam.ok("init", str(path))
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def hello(balsam: CommandLine, site: Path) -> Path:
    """A new site with the application `hello`."""
    balsam.ok("app", "--name", "hello", "--executable", "echo")
    return site


@pytest.fixture
def facade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Facade]:
    """Balsam 0.5's modules inside this process, on a new site; on each database with the fixture `each_database`."""
    with opened_facade(tmp_path / "site", monkeypatch) as opened:
        yield opened
