"""The programs that an application names, and what is wrong with those that cannot run on this host."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from balsam_core.models.app import AppSpec

# The fields of an application that hold a command.
COMMANDS = ("executable", "preprocess", "postprocess")


def missing_programs(spec: AppSpec) -> Iterator[tuple[str, str]]:
    """The fields of an application that name a program which cannot run here, each with what is wrong with it."""
    for field in COMMANDS:
        for program in _programs(getattr(spec, field)):
            if shutil.which(program) is None and not (program.endswith(".py") and Path(program).is_file()):
                yield field, _what_is_wrong(program)
    if spec.envscript and not Path(spec.envscript).is_file():
        yield "envscript", _what_is_wrong(spec.envscript)


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
