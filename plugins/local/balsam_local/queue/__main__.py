"""The queue's command: words in, lines of JSON out, errors on stderr with an exit code for each kind."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from balsam_local.queue import requests
from balsam_local.queue.errors import QueueError, QueueUnavailable
from balsam_local.queue.folder import Folder
from balsam_local.queue.jobs import BatchJob


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = _parser().parse_args(words)
    try:
        folder = Folder(Path(options.path).expanduser().absolute())
    except RuntimeError as error:  # ~nobody/queue
        return _fail(QueueUnavailable(f"cannot use the queue {options.path}: {error}; set [local] queue_path"))
    try:
        folder.make()
        if options.command == "run":
            return _run(folder, options.lock)
        if options.command == "submit":
            return _submit(folder, options)
        _print(getattr(requests, options.command)(folder, options.what, os.environ))
        return 0
    except QueueError as error:
        return _fail(error)
    except OSError as error:
        return _fail(QueueUnavailable(f"cannot use the queue {folder.path}: {error}; or set [local] queue_path"))


def _submit(folder: Folder, options: argparse.Namespace) -> int:
    job = BatchJob(
        id=0,
        name=options.name,
        nodes=options.nodes,
        minutes=options.minutes,
        script=os.path.abspath(options.script),  # noqa: PTH100 - a link keeps its name
        workdir=os.path.abspath(options.workdir),  # noqa: PTH100
        output=os.path.abspath(options.output_prefix) + ".output",  # noqa: PTH100
        machine_nodes=options.machine_nodes,
        grace_seconds=options.grace_seconds,
        queue=options.queue,
        project=options.project,
    )
    requests.check(job)
    if options.dry_run:
        print("this batch job could be queued; nothing was", file=sys.stderr)
        return 0
    job_id, trouble = requests.submit(folder, job, os.environ)
    print(job_id)
    if trouble:
        print(f"{trouble}; the next command tries again", file=sys.stderr)
    return 0


def _run(folder: Folder, lock: int) -> int:
    from balsam_local.queue.runner import run

    logging.basicConfig(format="%(asctime)s %(message)s")
    run(folder, lock)
    return 0


def _print(rows: list[requests.Row]) -> None:
    for one in rows:
        print(json.dumps(one))


def _fail(error: QueueError) -> int:
    print(error, file=sys.stderr)
    return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m balsam_local.queue", description=__doc__, allow_abbrev=False)
    parser.add_argument("--path", default="~/.balsam/queue", help="the folder of the queue (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_submit(commands)
    for name, about in (
        ("status", "batch jobs by id; without ids all that wait or run"),
        ("cancel", "end batch jobs, whether they wait or run"),
        ("history", "batch jobs that are over"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("what", nargs="*", type=int, metavar="ID")
    commands.add_parser("find", help="batch jobs by name").add_argument("what", metavar="NAME")
    commands.add_parser("run").add_argument("lock", type=int)
    return parser


def _add_submit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    submit = commands.add_parser("submit", help="queue a batch script; prints its id", allow_abbrev=False)
    submit.add_argument("--name", required=True)
    submit.add_argument("--nodes", type=_count, default=1)
    submit.add_argument("--minutes", type=_positive, required=True, help="its walltime")
    submit.add_argument("--workdir", default=".", help="where it starts")
    submit.add_argument("--output-prefix", required=True, help="PREFIX.output gets what it prints")
    submit.add_argument("--machine-nodes", type=_count, default=1, help="how many nodes this machine has (1)")
    submit.add_argument("--grace-seconds", type=_positive, default=10.0, help="between SIGTERM and SIGKILL (10)")
    submit.add_argument("--queue", help="remembered, nothing more")
    submit.add_argument("--project", help="remembered, nothing more")
    submit.add_argument("--dry-run", action="store_true", help="check and queue nothing")
    submit.add_argument("script")


def _count(word: str) -> int:
    number = int(word)
    if number < 1:
        raise ValueError
    return number


def _positive(word: str) -> float:
    number = float(word)
    if not 0 < number < 1e9:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
