"""The programs that an application names, and what is wrong with those that cannot run on this host."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from balsam_core.models.app import FUNCTION_RUNNER, AppSpec, called_function

# The fields of an application that hold a command.
_CHECK_SECONDS = 60
COMMANDS = ("executable", "preprocess", "postprocess")


def missing_programs(spec: AppSpec) -> Iterator[tuple[str, str]]:
    """The fields of an application that name a program which cannot run here, each with what is wrong with it."""
    for field in COMMANDS:
        for program in _programs(getattr(spec, field)):
            if shutil.which(program) is None and not (program.endswith(".py") and Path(program).is_file()):
                yield field, _what_is_wrong(program)
    if spec.envscript and not Path(spec.envscript).is_file():
        yield "envscript", _what_is_wrong(spec.envscript)


def wrong_function(spec: AppSpec, site: Path) -> str:
    """Why the function that an application names cannot be called here; empty: it can, or it names none."""
    try:
        words = shlex.split(spec.executable)
    except ValueError:
        return ""
    target = called_function(words)
    if target is None:
        return ""
    command = [words[0], "-m", FUNCTION_RUNNER, "--check", target]
    environ = {**os.environ, "BALSAM_DB_PATH": str(site)}
    try:
        done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=_CHECK_SECONDS)  # fmt: skip
    except OSError:
        return ""  # the interpreter is missing, which is told as of any program
    except subprocess.TimeoutExpired:
        return f"importing {target!r} takes more than {_CHECK_SECONDS} s"
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return "" if done.returncode == 0 else lines[-1] if lines else f"importing {target!r} ended the interpreter"


def _what_is_wrong(program: str) -> str:
    if Path(program).is_file():
        return f"{program!r} is not executable; make it so with `chmod +x {shlex.quote(program)}`"
    return f"no program {program!r} here or on PATH"


def _programs(command: str) -> list[str]:
    """The program that a command starts, and the script when the program is Python."""
    try:
        words = [os.path.expanduser(word) for word in shlex.split(command)]  # noqa: PTH111 - words, not paths
    except ValueError:
        return []
    if len(words) > 1 and "python" in Path(words[0]).name and words[1].endswith(".py"):
        return words[:2]
    return words[:1]
