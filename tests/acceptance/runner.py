"""Runs `balsam` for tests: inside this process, which is quick, or as the installed command."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from balsam_core.cli import main

BALSAM = Path(sys.executable).parent / "balsam"
SCRIPTS = Path(__file__).parents[2] / "balsam_core" / "cli" / "shell"


@dataclass(frozen=True)
class Ran:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON that it printed."""
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """Types commands into this process."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *args: str, stdin: str = "") -> Ran:
        """Run one command with `stdin` as its standard input."""
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self.capsys.readouterr()
        code = main(args)
        captured = self.capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    def ok(self, *args: str, stdin: str = "") -> Ran:
        """Run one command that must succeed."""
        ran = self(*args, stdin=stdin)
        assert ran.code == 0, ran
        return ran

    def jobs(self, *args: str) -> list[dict[str, Any]]:
        """Every field of the jobs that `ls` lists."""
        listed: list[dict[str, Any]] = self.ok("ls", *args, "--verbose", "--json").json["jobs"]
        return listed

    def add(self, name: str, *args: str) -> str:
        """Add a job of the application `hello`; its id."""
        added = self.ok("job", "--name", name, "--workflow", "w", "--application", "hello", *args, "--yes")
        return added.out.rpartition("[")[2].rstrip("]\n")


def run_installed(*args: str, cwd: Path, environ: Mapping[str, str] | None = None, stdin: str = "") -> Ran:
    """Run the installed command."""
    done = subprocess.run(
        [BALSAM, *args],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **(environ or {})},
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
