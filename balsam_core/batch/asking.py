"""Runs a scheduler's commands for the core, and keeps what they answered as evidence."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass

from balsam_core.commands import run_command
from balsam_core.models.batch import Evidence
from balsam_core.plugins.contracts import Command, CommandResult

_KEPT = 4000
_KEPT_WORDS = 100


@dataclass(frozen=True)
class Shell:
    """How commands run: with this environment, at most so long."""

    environ: Mapping[str, str]
    timeout_seconds: float

    def run(self, command: Command) -> CommandResult:
        """Run to the end or the time limit; a missing command is a result too."""
        return run_command(command, self.timeout_seconds, self.environ)


def evidence_of(result: CommandResult) -> Evidence:
    """What is kept of an answer."""
    argv = result.argv
    if len(argv) > _KEPT_WORDS:
        # A command that asks of thousands of batch jobs is kept with each of those that changed.
        argv = (*argv[:_KEPT_WORDS], f"... and {len(argv) - _KEPT_WORDS} more")
    return Evidence(argv, result.returncode, result.stdout[-_KEPT:], result.stderr[-_KEPT:], result.timed_out)


def user_name() -> str:
    """Whose batch jobs are asked for; a user without an entry in the password database is known by number."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
