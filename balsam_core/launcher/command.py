"""The command line and the variables with which a job runs."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from balsam_core.errors import JobSpecError
from balsam_core.models.app import AppSpec, function_words, names_function
from balsam_core.models.job import Job

_QUOTING = re.compile(r"['\"\\]")
# Linux starts no program that has a longer word in its environment: MAX_ARG_STRLEN, with the name and a NUL at the end.
_LONGEST_VARIABLE = 131_072 - len("BALSAM_PARENT_IDS=") - 1
# A quoted piece, which is kept as it is, or a redirection: `> file`, `2>&1`, `< file`.
_PIECE = re.compile(
    r"""(?P<quoted>'[^']*'|"(?:\\.|[^"\\])*"|\\.)"""
    r"""|(?<!\S)(?P<operator>[12]?>>?|&>>?|<)\s*(?P<target>&[12]|[^\s'"\\<>|&;]+)(?!\S)"""
)


def job_words(job: Job, app: AppSpec) -> list[str]:
    """The program and its arguments, split as a shell would but run without one; `~` is the user's home.

    Raises JobSpecError when the quotes do not match, or the application has no executable yet.
    """
    executable = _PIECE.sub(_without_redirection, app.executable) if app.envscript else app.executable
    if not executable.strip():
        raise JobSpecError(f"the application {app.name!r} has no executable")
    parts = f"{executable} {job.args}".split()
    line = " ".join(os.path.expanduser(part) if part[0] == "~" else part for part in parts)  # noqa: PTH111 - a word, not a path
    try:
        # Most lines have no quotes, and shlex takes 40 microseconds where split takes one.
        words = shlex.split(line) if _QUOTING.search(line) else line.split()
    except ValueError as error:
        raise JobSpecError(f"the command {line!r} cannot be split into words: {error}") from error
    return [*function_words(words[0]), *words[1:]] if names_function(words[0]) else words


def in_envscript(words: Sequence[str], envscript: str, redirections: str = "") -> list[str]:
    """The command as it runs after `source <envscript>`, in the one place where a shell is asked for."""
    if not envscript:
        return list(words)
    return ["bash", "-c", f"source {shlex.quote(envscript)} && exec {shlex.join(words)}{redirections}"]


def redirections(app: AppSpec) -> str:
    """Where an application with an envscript sends its output, as words behind its command; `args` hold none.

    Programs of Balsam 0.5 write `prog > prog.out`, which its shell understood in such an application only.
    """
    found = (piece for piece in _PIECE.finditer(app.executable) if piece["operator"]) if app.envscript else ()
    return "".join(f" {piece['operator']}{_shell_target(piece['target'])}" for piece in found)


def _without_redirection(piece: re.Match[str]) -> str:
    return piece["quoted"] or ""


def _shell_target(target: str) -> str:
    return target if target[0] == "&" else shlex.quote(os.path.expanduser(target))  # noqa: PTH111 - a word, not a path


def job_environ(job: Job, *, site: Path, parents: Sequence[UUID], job_mode: str, launcher_nodes: int) -> dict[str, str]:
    """The variables that a job or its scripts get beside the launcher's own environment.

    BALSAM_PARENT_IDS is empty when there are too many to be named in a variable, more than 3,276.
    """
    own: Mapping[str, str] = job.environ_vars
    parent_ids = json.dumps([str(parent) for parent in parents])
    return {
        "BALSAM_JOB_ID": str(job.job_id),
        "BALSAM_PARENT_IDS": parent_ids if len(parent_ids) <= _LONGEST_VARIABLE else "",
        "BALSAM_DB_PATH": str(site),
        "BALSAM_LAUNCHER_NODES": str(launcher_nodes),
        "BALSAM_JOB_MODE": job_mode,
        "OMP_NUM_THREADS": str(job.threads_per_rank),
        **own,
    }
