"""An application: the program that jobs run, with the scripts before and after it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, field_validator

from balsam_core.homes import expanded

# `python -m` this runs one call of a function.
FUNCTION_RUNNER = "balsam_core.function"
_FUNCTION = re.compile(r"(?:[^\W\d]\w*(?:\.[^\W\d]\w*)*|.+\.py):[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class AppSpec(BaseModel):
    """An application as a user defines it; `executable` may hold arguments, as a command line does."""

    model_config = ConfigDict(extra="forbid")

    app_id: UUID = Field(default_factory=uuid4)
    name: str
    executable: str
    description: str = ""
    preprocess: str = ""
    postprocess: str = ""
    envscript: str = ""

    @field_validator("name", "executable")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("should not be empty")
        return value

    @field_validator("name", "executable", "preprocess", "postprocess", "envscript")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if _CONTROL.search(value):
            raise ValueError("holds a newline or a control character")
        return value

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> AppSpec:
        """The application of one database row."""
        return cls.model_construct(**row)


def resolved_command(command: str, cwd: Path) -> str:
    """A command as `balsam app` stores it: a path is made absolute, a `.py` file runs with this Python.

    So does `module:function`, and `file.py:function` whose file is made absolute.
    A word without a slash that is no file of `cwd` (a program on PATH) stays as it is. Links are kept: the `python` of
    a virtual environment is one.
    """
    words = command.split(maxsplit=1)
    if not words:
        return command
    if names_function(words[0]) and not (cwd / words[0]).is_file():
        return " ".join([*map(shlex.quote, function_words(_in_folder(words[0], cwd))), *words[1:]])
    program, arguments = expanded(words[0]), words[1:]
    found = cwd / program
    if found.is_file() or "/" in words[0]:
        program = found
    head = shlex.quote(str(program))
    if program.suffix == ".py" and (found.is_file() or "/" in words[0]):
        head = f"{shlex.quote(sys.executable)} {head}"
    return " ".join([head, *arguments])


def names_function(word: str) -> bool:
    """Whether a word has the form `module:function` or `file.py:function`."""
    return _FUNCTION.match(word) is not None


def function_words(target: str) -> list[str]:
    """The command that calls such a function, by this Python."""
    return [sys.executable, "-m", FUNCTION_RUNNER, target]


def called_function(words: Sequence[str]) -> str | None:
    """The function that a command calls by its runner; None: it is another program."""
    return words[3] if len(words) > 3 and words[1] == "-m" and words[2] == FUNCTION_RUNNER else None


def _in_folder(target: str, cwd: Path) -> str:
    module, _, name = target.rpartition(":")
    return f"{cwd / expanded(module)}:{name}" if module.endswith(".py") else target
