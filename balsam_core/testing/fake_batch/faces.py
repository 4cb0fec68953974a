"""What a fake scheduler looks like: its commands, and the world of its batch jobs."""

from __future__ import annotations

import os
import pwd
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from balsam_core.testing.fake_batch.folder import Folder
from balsam_core.testing.fake_batch.jobs import BatchJob, Config
from balsam_core.testing.fake_batch.queue import Queue

# A daemon's, not the submitter's.
DAEMON_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Answer:
    """What a command says."""

    out: str = ""
    err: str = ""
    code: int = 0


@dataclass(frozen=True)
class Asked:
    """Who runs a command: its words, its environment, where."""

    words: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: Path

    @property
    def user(self) -> str:
        """The user's name."""
        return pwd.getpwuid(os.getuid()).pw_name

    @property
    def login(self) -> dict[str, str]:
        """What a login gives; the home is the submitter's, so that a test keeps out of its user's own."""
        home = self.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
        return {"HOME": home, "LOGNAME": self.user, "USER": self.user, "SHELL": "/bin/bash"}


class Face(ABC):
    """One scheduler's ways. refusal: the exit code of a command that refuses."""

    refusal: int
    commands: Mapping[str, Callable[[Queue, Asked], Answer]]

    @abstractmethod
    def environ(self, folder: Folder, job: BatchJob) -> dict[str, str]:
        """The environment of a batch job that starts; may write files into the spool."""

    def starts_in(self, job: BatchJob) -> str:
        """The folder in which a batch job starts."""
        return job.cwd

    def note_end(self, job: BatchJob) -> None:
        """A batch job that ran is over; most schedulers leave no trace outside."""
        return


class BadWords(Exception):
    """A command's words are refused; carries the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.err)
        self.answer = answer


def face_of(config: Config) -> Face:
    """The face of a fake scheduler."""
    if config.kind == "pbs":
        from balsam_core.testing.fake_batch.pbs import Pbs

        return Pbs()
    from balsam_core.testing.fake_batch.cobalt import Cobalt

    return Cobalt()


def clock(seconds: float) -> str:
    """HH:MM:SS."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def seconds_in(text: str, unit: int) -> float:
    """The seconds in `HH:MM:SS`, `MM:SS` or a number of `unit` seconds; raises ValueError."""
    if ":" not in text:
        return float(int(text) * unit)
    total = 0
    for part in text.split(":"):
        total = total * 60 + int(part)
    return float(total)


def directives(script: Path, mark: str) -> list[str]:
    """The lines behind `mark` at the head of a script."""
    found = []
    for line in script.read_text(errors="replace").splitlines():
        if line.startswith(mark):
            found.append(line[len(mark) :].strip())
        elif line.strip() and not line.startswith("#"):
            break
    return found


def lines(texts: Sequence[str]) -> str:
    """Each on a line of its own."""
    return "".join(f"{text}\n" for text in texts)
