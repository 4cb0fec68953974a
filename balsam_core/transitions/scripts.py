"""Which pre- or postprocess script a job has to run now, and where the job goes after it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from balsam_core.errors import JobSpecError
from balsam_core.models.app import AppSpec
from balsam_core.models.job import Job
from balsam_core.state.machine import State

_HANDLED = {State.RUN_ERROR: "BALSAM_JOB_ERROR", State.RUN_TIMEOUT: "BALSAM_JOB_TIMEOUT"}


@dataclass(frozen=True)
class Script:
    """One script to run in a job's working directory.

    target: where the job goes when it ends with 0; None: a handler must move the job itself, and after a transfer
    there is more to do.
    """

    kind: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    log: str
    header: str
    target: State | None

    def failure(self, what: str, tail: str = "") -> str:
        """The message of a job that fails because of this script."""
        words = f"{self.kind.replace('_', ' ')} {what}"
        return f"{words}: {tail.strip()}" if tail.strip() else words


def script_of(job: Job, app: AppSpec) -> Script | None:
    """The script that `job` waits for in its state, if any; raises JobSpecError when its command cannot be read."""
    if job.state is State.STAGED_IN and app.preprocess:
        return _script("preprocess", app.preprocess, State.PREPROCESSED)
    if job.state is State.RUN_DONE and app.postprocess:
        return _script("postprocess", app.postprocess, State.POSTPROCESSED)
    if job.state in _HANDLED and app.postprocess:
        return _script("postprocess", app.postprocess, None, handled=job.state)
    return None


def begin_log(workdir: Path, script: Script) -> None:
    """Make the working directory and write the head of the script's log; raises OSError."""
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / script.log).open("a", encoding="utf-8") as log:
        log.write(script.header)


def _script(kind: str, command: str, target: State | None, handled: State | None = None) -> Script:
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise JobSpecError(f"the {kind} command {command!r} cannot be split into words: {error}") from error
    header = f"# Balsam {'Preprocessor' if kind == 'preprocess' else 'Postprocessor'}: {command}\n"
    environ = {}
    if handled is not None:
        header += f"# Invoked to handle {handled}\n"
        environ[_HANDLED[handled]] = "TRUE"
    return Script(kind, argv, environ, f"{kind}.log", header, target)
