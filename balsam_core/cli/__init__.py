"""The command line: `main` runs it, and turns every deliberate error into one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from balsam_core.cli.balsam02 import current_words
from balsam_core.cli.group import LazyGroup
from balsam_core.cli.usage import usage_line
from balsam_core.errors import BalsamError

OK, ERROR, USAGE, INTERRUPTED = 0, 1, 2, 130

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_SECTIONS = {
    "Sites": {
        "init": "Make a site: a folder with a database of jobs.",
        "which": "Show the current site, or list the known ones.",
        "db": "Upgrade, copy, back up or restore the database.",
        "server": "Control the PostgreSQL server of the site.",
        "plugin": "List the installed plugins.",
        "machine": "List the machines that there are presets for.",
    },
    "Jobs": {
        "app": "Define an application that jobs run.",
        "job": "Add a job, or a file of jobs.",
        "mkchild": "Add a child of the job that runs this command.",
        "dep": "Make one job wait for another.",
        "ls": "List jobs, applications, workflows, launchers or batch jobs.",
        "explain": "Say why a job, a batch job or a launcher is where it is.",
        "modify": "Change a field of jobs or applications, or the state of jobs.",
        "hold": "Keep jobs from starting.",
        "release": "Let held jobs start again.",
        "killjob": "Stop jobs; running ones too.",
        "retry": "Send failed jobs back to be run again.",
        "rm": "Delete jobs or applications.",
        "clean": "Delete the files of jobs that have ended.",
        "make_dummies": "Add jobs that do nothing, to try a site out.",
    },
    "Running": {
        "launcher": "Run the jobs on the nodes at hand.",
        "submit-launch": "Submit a batch job that runs a launcher.",
        "cancel-launch": "Cancel a batch job.",
        "service": "Keep batch jobs in the queue while work remains.",
        "top": "Watch the site: states, rate, launchers, what fails.",
        "dashboard": "Serve the site as web pages.",
        "wait": "Wait until jobs have reached a state.",
        "tail": "Follow what a job prints.",
        "log": "Follow the log files of the site.",
    },
    "Looking back": {
        "plot": "Plot nodes busy, jobs finished, jobs by state over time.",
        "report": "Write a workflow's history into one HTML file.",
    },
    "Shell": {
        "completion": "Print the script that completes commands in your shell.",
    },
}


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"balsam-core {version('balsam-core')}")
        ctx.exit()


def _show_tracebacks(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if isinstance(ctx.obj, _Manner):
        ctx.obj.debug = wanted


balsam = LazyGroup(
    _SECTIONS,
    name="balsam",
    help="Keeps a database of jobs and runs them inside batch allocations.",
    epilog="Exit codes: 0 done, 1 error, 2 wrong usage. More: docs/command-line.md",
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[
        click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=_show_tracebacks,
            help="Show where an error comes from.",
        ),
        click.Option(
            ["--version", "-V"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_show_version,
            help="Show the version.",
        ),
    ],
)


@dataclass
class _Manner:
    """How errors are shown."""

    debug: bool = False


def main(args: Sequence[str] | None = None) -> int:
    """Run one command of `balsam`; the exit code."""
    _open_closed_streams()
    manner = _Manner()
    try:
        return _run(args, manner)
    except Exception as error:
        return _tell(error, _unforeseen(error), manner)


def _run(args: Sequence[str] | None, manner: _Manner) -> int:
    try:
        words = current_words(sys.argv[1:] if args is None else args)
        code = balsam.main(words, prog_name="balsam", standalone_mode=False, obj=manner)
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except BalsamError as error:
        return _tell(error, str(error), manner)
    except click.UsageError as error:
        return _say(usage_line(error), USAGE)
    except click.ClickException as error:
        return _say(f"balsam: {error.format_message()}", error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        cause = error if isinstance(error, KeyboardInterrupt) else error.__cause__
        if isinstance(cause, KeyboardInterrupt):
            return INTERRUPTED
        return _say("balsam: aborted", ERROR)
    except BrokenPipeError:
        return _hush()
    except OSError as error:
        if error.filename is None and error.errno not in _DISK_FULL:
            raise
        return _tell(error, _of_file(error), manner)


def _tell(error: Exception, words: str, manner: _Manner) -> int:
    if manner.debug:
        traceback.print_exception(error)
    return _say(f"balsam: {words}", ERROR)


def _say(line: str, code: int) -> int:
    click.echo(line, err=True)
    return code


def _of_file(error: OSError) -> str:
    if error.errno in _DISK_FULL:
        return f"cannot write {error.filename or 'the output'}: {error.strerror}; free some space"
    return f"cannot use {error.filename}: {error.strerror}; is it there, and may you use it?"


def _unforeseen(error: Exception) -> str:
    from balsam_core.cli.unforeseen import told

    return told(error)


def _open_closed_streams() -> None:
    # Python has None for a stream that is closed at the start, as `<&-` and some daemons do.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 it stays open until the process ends


def _hush() -> int:
    # What is left in the buffer goes nowhere: the interpreter would complain about it when it flushes at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ERROR
