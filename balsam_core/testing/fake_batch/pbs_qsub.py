"""qsub of the fake PBS: its options, the script's directives, what it refuses and in which words."""

from __future__ import annotations

import getopt
import re
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balsam_core.testing.fake_batch.faces import Answer, Asked, BadWords, directives, seconds_in
from balsam_core.testing.fake_batch.jobs import BatchJob, Config
from balsam_core.testing.fake_batch.pbs_printing import job_id
from balsam_core.testing.fake_batch.queue import Queue, first_state

_OPTIONS = "A:a:C:c:e:hIJ:j:k:l:M:m:N:o:P:p:q:r:S:u:Vv:W:Xz"
_RESOURCES = frozenset(
    {
        *("select", "place", "nodes", "walltime", "min_walltime", "max_walltime", "ncpus", "mpiprocs", "mem", "vmem"),
        *("ngpus", "filesystems", "software"),
    }
)
_UNKNOWN_QUEUE, _UNKNOWN_RESOURCE, _LIMITS = 170, 187, 188
_DAY = 24 * 3600.0


@dataclass
class _Wanted:
    """What options ask for; `resources` are those of -l, each by its name."""

    options: dict[str, str] = field(default_factory=dict)
    resources: dict[str, str] = field(default_factory=dict)

    def read(self, words: list[str]) -> list[str]:
        """Take the options among words, over those so far; the words behind them."""
        try:
            given, rest = getopt.getopt(words, _OPTIONS)
        except getopt.GetoptError as error:
            raise BadWords(Answer(err=f"qsub: invalid option -- '{error.opt}'\n", code=2)) from error
        for option, value in given:
            if option == "-l":
                self.resources.update(part.partition("=")[::2] for part in value.split(","))
            else:
                self.options[option] = value
        return rest


def qsub(queue: Queue, asked: Asked) -> Answer:
    """Queue a batch job; prints its id."""
    wanted = _Wanted()
    rest = wanted.read(list(asked.words))
    is_program = "--" in asked.words
    script = asked.cwd / rest[0] if rest else None
    if not is_program:
        if script is None or not script.is_file():
            raise _refused("script file:: No such file or directory", 1)
        wanted = _Wanted()
        for line in directives(script, "#PBS"):
            wanted.read(shlex.split(line))
        wanted.read(list(asked.words))
    name, minutes = _queue(queue.config, wanted)
    _check_resources(wanted, minutes)
    job = queue.submit(lambda number: _job(queue, asked, wanted, name, number, [] if is_program else [script], rest))
    return Answer(f"{job_id(job)}\n")


def _queue(config: Config, wanted: _Wanted) -> tuple[str, int | None]:
    name = wanted.options.get("-q") or next(iter(config.queues))
    if name not in config.queues:
        raise _refused("Unknown queue", _UNKNOWN_QUEUE)
    return name, config.queues[name]


def _check_resources(wanted: _Wanted, minutes: int | None) -> None:
    unknown = [name for name in wanted.resources if name not in _RESOURCES]
    if unknown:
        raise _refused(f"Unknown resource Resource_List.{unknown[0]}", _UNKNOWN_RESOURCE)
    try:
        seconds = _walltime(wanted)
    except ValueError as error:
        raise _refused("Illegal attribute or resource value Resource_List.walltime", 1) from error
    if minutes is not None and seconds > minutes * 60:
        raise _refused("Job violates queue and/or server resource limits", _LIMITS)


def _job(
    queue: Queue, asked: Asked, wanted: _Wanted, name: str, number: int, scripts: list[Any], rest: list[str]
) -> BatchJob:
    options, resources = wanted.options, wanted.resources
    count, chunk = _chunks(resources)
    title = options.get("-N") or (Path(rest[0]).name if scripts else "STDIN")[:15]
    output = _path(options.get("-o"), asked.cwd / f"{title}.o{number}")
    error = output if options.get("-j") in ("oe", "eo") else _path(options.get("-e"), asked.cwd / f"{title}.e{number}")
    argv, executable, stdin = _first_process(queue, wanted, number, scripts, rest)
    return BatchJob(
        number=number,
        name=title,
        user=asked.user,
        nodes=count,
        walltime_seconds=_walltime(wanted),
        queue=name,
        project=options.get("-A", ""),
        argv=argv,
        stdin=stdin,
        cwd=str(asked.cwd),
        output=output,
        error=error,
        spooled=True,
        submitted_at=time.time(),
        words=asked.words,
        environ=_given(asked, options),
        state=first_state("-h" in options),
        facts={
            "chunk": chunk,
            "resources": resources,
            "options": options,
            "executable": executable,
            "login": asked.login,
            "variables": _variables(asked, name),
        },
    )


def _first_process(
    queue: Queue, wanted: _Wanted, number: int, scripts: list[Any], rest: list[str]
) -> tuple[tuple[str, ...], str | None, str]:
    """A login shell that is told the script's name on its standard input; `-S` names another shell."""
    if not scripts:
        return tuple(rest), None, ""
    spooled = queue.folder.spool / f"{number}.SC"
    spooled.write_bytes(scripts[0].read_bytes())
    spooled.chmod(0o700)
    shells = [path for path in wanted.options.get("-S", "/bin/bash").split(",") if "@" not in path]
    shell = shells[0] if shells else "/bin/bash"
    return (f"-{Path(shell).name}",), shell, f"{spooled}\n"


def _chunks(resources: dict[str, str]) -> tuple[int, dict[str, int]]:
    """How many nodes, and the numbers of each: `2:ncpus=8:mpiprocs=2`, or the older `nodes=2:ppn=2`."""
    old = "select" not in resources and "nodes" in resources
    first, *parts = resources.get("nodes" if old else "select", "1").split(":")
    chunk = {name: int(value) for name, _, value in (part.partition("=") for part in parts) if value.isdigit()}
    if old and "ppn" in chunk:
        ppn = chunk.pop("ppn")
        chunk = {"ncpus": ppn, "mpiprocs": ppn}
    return (int(first) if first.isdigit() else 1), chunk


def _walltime(wanted: _Wanted) -> float:
    text = wanted.resources.get("walltime")
    return 5 * 365 * _DAY if text is None else seconds_in(text, 1)


def _path(given: str | None, default: Path) -> str:
    """The file that -o names; a host before it is this one."""
    return re.sub(r"^[\w.-]+:", "", given) if given else str(default)


def _given(asked: Asked, options: dict[str, str]) -> dict[str, str]:
    """The variables of -v and -V."""
    every = dict(asked.environ) if "-V" in options else {}
    for part in filter(None, options.get("-v", "").split(",")):
        name, assigned, value = part.partition("=")
        every[name] = value if assigned else asked.environ.get(name, "")
    return every


def _variables(asked: Asked, queue: str) -> dict[str, str]:
    """What a batch job is told of its submitter."""
    environ = asked.environ
    return {
        "PBS_O_HOME": asked.login["HOME"],
        "PBS_O_LANG": environ.get("LANG", "C.UTF-8"),
        "PBS_O_PATH": environ.get("PATH", ""),
        "PBS_O_SHELL": environ.get("SHELL", "/bin/bash"),
        "PBS_O_INTERACTIVE_AUTH_METHOD": "resvport",
        "PBS_O_INTERACTIVE_ENCRYPT_METHOD": "",
        "PBS_O_WORKDIR": str(asked.cwd),
        "PBS_O_SYSTEM": "Linux",
        "PBS_O_QUEUE": queue,
        "PBS_O_HOST": "localhost",
    }


def _refused(words: str, code: int) -> BadWords:
    return BadWords(Answer(err=f"qsub: {words}\n", code=code))
