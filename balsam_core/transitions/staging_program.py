"""The program that moves files from and to other hosts: a worker runs it, so that a hang ends at its time limit.

What it does is in a variable of its environment, not in its arguments, which everybody on the host can read.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import balsam_core
from balsam_core.transitions.copying import LOG, remove_parts
from balsam_core.transitions.persistence import Limits
from balsam_core.transitions.scripts import Script
from balsam_core.transitions.staging import stage_in, stage_out
from balsam_core.transitions.urls import StagingError, shown

TRANSFERS = frozenset({"stage_in", "stage_out"})
# Its own failure, told in the last line; other codes are a crash.
FAILED = 3
_REQUEST = "BALSAM_STAGING_REQUEST"
_LONGEST_LINE_BYTES = 4096
# It runs in the folder of a job, which may hold a `signal.py`.
_PROGRAM = """\
import sys
sys.path[:] = [*filter(None, sys.path), sys.argv[1]]
from balsam_core.transitions.staging_program import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Request:
    """What is to be moved. patterns: None: into the working directory; else which of its files go out."""

    workdir: str
    url: str
    patterns: str | None
    limits: Limits


def transfer_of(kind: str, request: Request) -> Script:
    """The program as a script of a job; kind: one of TRANSFERS."""
    package = str(Path(balsam_core.__file__).resolve().parent.parent)
    argv = (sys.executable, "-c", _PROGRAM, package)
    header = f"# Balsam {kind.replace('_', ' ')}: {shown(request.url)}\n"
    return Script(kind, argv, {_REQUEST: json.dumps(asdict(request))}, LOG, header, None)


def last_line(log: Path) -> str:
    """The result of the program that wrote the log; raises OSError."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST_LINE_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return lines[-1] if lines else ""


def main() -> int:
    """Do what the environment asks for, and say how it went in the last line; 0, or FAILED."""
    given = json.loads(os.environ.pop(_REQUEST))
    request = Request(**{**given, "limits": Limits(**given["limits"])})
    signal.signal(signal.SIGTERM, _leave)
    # What libraries log may hold secrets, and their errors come as exceptions.
    logging.disable(logging.CRITICAL)
    try:
        print(_move(request), flush=True)
    except StagingError as error:
        print(" ".join(str(error).split()), flush=True)
        return FAILED
    return 0


def summary(count: int, url: str, patterns: str) -> str:
    """How staging out went, for the history of the job."""
    return f"copied {count} files to {shown(url)}" if count else f"no file matched {patterns!r}"


def _move(request: Request) -> str:
    workdir, limits = Path(request.workdir), request.limits
    if request.patterns is None:
        stage_in(workdir, url=request.url, patterns="", parents={}, limits=limits, say=_say)
        return "stage in is done"
    count = stage_out(workdir, url=request.url, patterns=request.patterns, limits=limits, say=_say)
    return summary(count, request.url, request.patterns)


def _say(text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


def _leave(signum: int, _: object) -> None:
    """Ended by the worker: what stands still would not come to an orderly end."""
    remove_parts()
    os._exit(128 + signum)
