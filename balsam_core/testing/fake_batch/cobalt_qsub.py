"""qsub of the fake Cobalt: its options, the script's directives, what it refuses and in which words."""

from __future__ import annotations

import getopt
import os
import time
from pathlib import Path
from typing import Any

from balsam_core.testing.fake_batch.faces import Answer, Asked, BadWords, clock, directives, lines, seconds_in
from balsam_core.testing.fake_batch.jobs import OVER, BatchJob, Config
from balsam_core.testing.fake_batch.queue import Queue, first_state

_SHORT = "A:n:t:q:O:o:e:M:hi:"
_LONG = [
    *("project=", "nodecount=", "time=", "queue=", "outputprefix=", "output=", "error=", "jobname=", "cwd=", "env="),
    *("attrs=", "dependencies=", "mode=", "proccount=", "debuglog=", "notify=", "kernel=", "held"),
]
_SHORT_NAMES = {
    "-A": "--project",
    "-n": "--nodecount",
    "-t": "--time",
    "-q": "--queue",
    "-O": "--outputprefix",
    "-o": "--output",
    "-e": "--error",
    "-h": "--held",
    "-M": "--notify",
}
_USAGE = (
    "Usage: qsub.py --help\nUsage: qsub.py [options] <executable> [<excutable options>]\n\n"
    "Refer to man pages for JOBID EXPANSION and SCRIPT JOB DIRECTIVES.\n\n\n"
)
_NO_HANDLERS = 'No handlers could be found for logger "Proxy"\n'


def qsub(queue: Queue, asked: Asked) -> Answer:
    """Queue a batch job; prints its id."""
    options, rest = _read(list(asked.words))
    if not rest:
        raise BadWords(Answer(_USAGE, "No executable or script specified\n\n", 1))
    # Blanks in the path of the script are lost, those in --cwd are not.
    command = Path(options.get("--cwd", str(asked.cwd))) / rest[0].replace(" ", "")
    words = _directive_words(command)
    options = {"--queue": next(iter(queue.config.queues)), **_read(words)[0], **options}
    minutes = _check(queue.config, options, command, rest[0])
    logged = [*(["--mode", "script"] if words else []), *words, *asked.words]
    job = queue.submit(lambda number: _job(asked, options, command, rest, minutes, number))
    complaint = _begin_log(job, logged)
    return Answer(f"{job.number}\n", _unmet(queue, options) + complaint)


def log_time(seconds: float) -> str:
    """The time as Cobalt writes it."""
    return time.strftime("%a %b %d %H:%M:%S %Y +0000 (UTC)", time.gmtime(seconds))


def _read(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options by their long names, and the words behind them."""
    try:
        given, rest = getopt.getopt(words, _SHORT, _LONG)
    except getopt.GetoptError as error:
        option = f"--{error.opt}" if len(error.opt) > 1 else f"-{error.opt}"
        raise BadWords(Answer(err=f"{_USAGE}qsub.py: error: no such option: {option}\n", code=2)) from error
    return {_SHORT_NAMES.get(option, option): value for option, value in given}, rest


def _directive_words(command: Path) -> list[str]:
    """The words of the script's directives, apart at blanks: there are no quotes."""
    if not command.is_file() or not command.read_bytes().startswith(b"#!"):
        return []
    return [word for line in directives(command, "#COBALT") for word in line.split()]


def _check(config: Config, options: dict[str, str], command: Path, typed: str) -> float:
    """The walltime in seconds; refuses what Cobalt refuses, in its order."""
    count = options.get("--nodecount")
    if count is not None and not count.isdecimal():
        words = f"qsub.py: error: option -n: invalid integer value: '{count}'\n"
        raise BadWords(Answer(err=f"{_USAGE}{words}", code=2))
    for option, name in (("--nodecount", "nodecount"), ("--time", "time")):
        if option not in options:
            raise _refused(f"'{name}' not provided")
    seconds = _seconds(options["--time"])
    if not command.is_file():
        raise _refused(f"command {typed} not found, or is not a file")
    if not os.access(command, os.X_OK):
        raise _refused(f"command {command} is not executable")
    if not 0 < int(count or 0) <= len(config.nodes):
        raise _refused("node count out of realistic range")
    _check_queue(config, options["--queue"], seconds)
    for part in filter(None, options.get("--env", "").split(":")):
        if "=" not in part:
            raise _refused(f"Improperly formatted argument to env : ['{part}']")
    return seconds


def _seconds(text: str) -> float:
    try:
        return seconds_in(text, 60)
    except ValueError as error:
        raise _refused(f"invalid time specification: illegal value '{text}' for minutes") from error


def _check_queue(config: Config, name: str, seconds: float) -> None:
    if name not in config.queues:
        raise _refused(f"{_NO_HANDLERS}<Fault 1001: \"trying to add job to non-existent queue '{name}'\">")
    most = config.queues[name]
    if most is not None and seconds > most * 60:
        limit = clock(most * 60)
        words = f"Walltime greater than the '{name}' queue max walltime of {limit}\\n"
        raise _refused(f'{_NO_HANDLERS}<Fault 1001: "{words}">')


def _job(
    asked: Asked, options: dict[str, str], command: Path, rest: list[str], seconds: float, number: int
) -> BatchJob:
    cwd = Path(options.get("--cwd", str(asked.cwd)))
    prefix = cwd / options.get("--outputprefix", str(number))
    return BatchJob(
        number=number,
        name=options.get("--jobname") or (prefix.name if "--outputprefix" in options else ""),
        user=asked.user,
        nodes=int(options["--nodecount"]),
        walltime_seconds=seconds,
        queue=options["--queue"],
        project=options.get("--project", ""),
        argv=(str(command), *rest[1:]),
        cwd=str(cwd),
        output=str(cwd / options.get("--output", f"{prefix}.output")),
        error=str(cwd / options.get("--error", f"{prefix}.error")),
        submitted_at=time.time(),
        words=asked.words,
        environ=dict(_pairs(options.get("--env", ""))),
        state=first_state("--held" in options),
        facts={
            "attrs": dict(_pairs(options.get("--attrs", ""))),
            "log": str(cwd / options.get("--debuglog", f"{prefix}.cobaltlog")),
            "login": asked.login,
            "path": asked.environ.get("PATH", ""),
        },
    )


def _pairs(text: str) -> list[tuple[str, Any]]:
    """`a=1:b=2`."""
    return [(name, value) for name, _, value in (part.partition("=") for part in filter(None, text.split(":")))]


def _begin_log(job: BatchJob, words: list[str]) -> str:
    """Begin the log beside the output; what is said when that fails."""
    file = job.facts["log"]
    try:
        with Path(file).open("a") as log:
            head = f"Jobid: {job.number}\nqsub {' '.join(words)}\n"
            log.write(f"{head}{log_time(job.submitted_at)} submitted with cwd set to: {job.cwd}\n")
    except OSError as error:
        what = f"WARNING: failed to create cobalt log file at: {file}"
        return lines([what, f"WARNING:     Error information: [Errno {error.errno}] {error.strerror}: '{file}'"])
    return ""


def _unmet(queue: Queue, options: dict[str, str]) -> str:
    """A warning about dependencies that are in no queue."""
    known = {str(job.number) for job in queue.jobs() if job.state != OVER}
    unknown = [word for word in options.get("--dependencies", "").split(":") if word and word not in known]
    return lines(
        [f"WARNING: dependencies {':'.join(unknown)} do not match jobs currently in the queue"] if unknown else []
    )


def _refused(words: str) -> BadWords:
    return BadWords(Answer(err=f"{words}\n", code=1))
