"""Reads the transcripts in docs (`$ command` and what it printed), types them into a shell, and compares.

A block ```console holds commands and their standard output; `> ` continues a command. One that begins with
```console elsewhere needs what a test does not have (a cluster, a terminal, a browser) and is not typed. A block whose
first line is like ```python square.py is a file that the reader makes. `...` stands for any text. Ids, times, process
ids, host names and the reader's home differ from one run to the next, and are not compared; an id of the transcript
that is typed in a later command is replaced by the one that the run gave in its place.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

READER = "/home/you"
ELSEWHERE = "elsewhere"
_BLOCK = re.compile(r"^```(\S*)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ ")
_VARYING = (
    (_UUID, "<ID>"),
    (re.compile(r"(?<![0-9a-zA-Z.])[0-9a-f]{8}\b"), "<ID>"),
    (re.compile(r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d\.\d{6}"), "<TIME>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(\d+ \w+ ago\)"), "<TIME>"),
    (re.compile(r"on \S+, pid \d+"), "on <HOST>, pid <PID>"),
    (re.compile(r"\S+/bin/python[\d.]*"), "<PYTHON>"),
)


@dataclass(frozen=True)
class Typed:
    """One command of a transcript, and the standard output that it shows."""

    command: str
    output: str


@dataclass(frozen=True)
class Answer:
    """What a command printed on standard output, and its exit code."""

    output: str
    code: int


@dataclass(frozen=True)
class File:
    """A file that the reader is told to make."""

    name: str
    text: str


def steps(document: str) -> Iterator[Typed | File]:
    """The commands and files of a document, in order, without what is typed elsewhere."""
    for language, name, text in _BLOCK.findall(document):
        if language == "console":
            yield from () if name == ELSEWHERE else _typed(text)
        elif name:
            yield File(name, text)


def commands(document: str) -> Iterator[str]:
    """Every command of a document, also what is typed elsewhere."""
    for language, _name, text in _BLOCK.findall(document):
        if language == "console":
            yield from (typed.command for typed in _typed(text))


def plain_blocks(document: str) -> Iterator[str]:
    """The text of every block that is shell, or says no language."""
    for language, _name, text in _BLOCK.findall(document):
        if language in ("", "bash", "sh"):
            yield text


def _typed(block: str) -> Iterator[Typed]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        first, *rest = part.splitlines()
        command = [first]
        while rest and rest[0].startswith("> "):
            command.append(rest.pop(0)[2:])
        # The launcher's log lines are progress, on standard error.
        shown = [line for line in rest if not _LOG_LINE.match(line)]
        yield Typed("\n".join(command), "\n".join(shown).rstrip())


@dataclass
class Reader:
    """Someone who types what a document says, in a folder of their own, into one shell."""

    home: Path
    ids: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Reader:
        self._errors = (self.home.parent / "stderr").open("wb")
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=self.home,
            env=_environ(self.home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shell.kill()
        self._shell.communicate()
        self._errors.close()

    def follow(self, document: str) -> Iterator[tuple[Typed, Answer]]:
        """Make the files and type the commands; each command with what it really printed."""
        for step in steps(document):
            if isinstance(step, File):
                Path(self._run("pwd").output.replace(READER, str(self.home)), step.name).write_text(step.text)
            else:
                yield step, self._type(step)

    def _type(self, typed: Typed) -> Answer:
        command = re.sub(r"\b[0-9a-f]{4,8}\b", self._real_id, _UUID.sub(self._real_id, typed.command))
        answer = self._run(command)
        self.ids.update(zip(_UUID.findall(typed.output), _UUID.findall(answer.output), strict=False))
        return answer

    def _real_id(self, found: re.Match[str]) -> str:
        return next((real for shown, real in self.ids.items() if shown.startswith(found[0])), found[0])

    def _run(self, command: str) -> Answer:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{command}\ncode=$?; echo; echo END-OF-OUTPUT $code\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.startswith("END-OF-OUTPUT "):
                return Answer("".join(lines).rstrip().replace(str(self.home), READER), int(line.split()[1]))
            lines.append(line)
        raise AssertionError(f"the shell ended in {command!r}")


def comparable(text: str) -> str:
    """The text without what differs from one run to the next."""
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def fits(shown: str, printed: str) -> bool:
    """Whether a command printed what the document shows."""
    pattern = ".*".join(re.escape(part) for part in comparable(shown).split("..."))
    return re.fullmatch(pattern, comparable(printed), re.DOTALL) is not None


def _environ(home: Path) -> Mapping[str, str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("BALSAM_")}
    folder = str(Path(sys.executable).parent)
    path = environ.get("PATH", os.defpath)
    assert shutil.which("bash")
    return {**environ, "HOME": str(home), "PATH": f"{folder}{os.pathsep}{path}"}
