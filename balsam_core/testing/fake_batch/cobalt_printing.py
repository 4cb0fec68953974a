"""How the fake Cobalt prints batch jobs: tables of columns, and the long listing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby

from balsam_core.testing.fake_batch.cobalt_qsub import log_time
from balsam_core.testing.fake_batch.faces import clock
from balsam_core.testing.fake_batch.jobs import ENDING, HELD, OVER, QUEUED, RUNNING, BatchJob

FULL_HEADER = (
    "JobID:JobName:User:WallTime:QueuedTime:RunTime:TimeRemaining:Nodes:State:Location:Mode:Procs:Preemptable:Queue:"
    "StartTime:Index"
)
_LONG_ONLY = (
    *("User_Hold", "Admin_Hold", "Queue", "StartTime", "Index", "SubmitTime", "Path", "OutputDir", "ErrorPath"),
    *("OutputPath", "Envs", "Command", "Args", "Project", "S", "attrs"),
)
_STATES = {QUEUED: "queued", HELD: "user_hold", RUNNING: "running", ENDING: "killing", OVER: "done"}
_LETTERS = {QUEUED: "Q", HELD: "H", RUNNING: "R", ENDING: "K", OVER: "D"}
_NOTHING = "N/A"

_VALUES: dict[str, Callable[[BatchJob, float], str]] = {
    "jobid": lambda job, now: str(job.number),
    "jobname": lambda job, now: job.name or _NOTHING,
    "user": lambda job, now: job.user,
    "walltime": lambda job, now: clock(job.walltime_seconds),
    "queuedtime": lambda job, now: clock((job.started_at or now) - job.submitted_at),
    "runtime": lambda job, now: clock(job.seconds_used(now)) if job.has_nodes else _NOTHING,
    "timeremaining": lambda job, now: _seconds_left(job, now) if job.has_nodes else _NOTHING,
    "nodes": lambda job, now: str(job.nodes),
    "state": lambda job, now: _STATES[job.state],
    "location": lambda job, now: locations(job) if job.has_nodes else "None",
    "mode": lambda job, now: "script",
    "procs": lambda job, now: str(job.nodes),
    "preemptable": lambda job, now: "False",
    "user_hold": lambda job, now: str(job.state == HELD),
    "admin_hold": lambda job, now: "False",
    "queue": lambda job, now: job.queue,
    "starttime": lambda job, now: log_time(job.started_at) if job.started_at else _NOTHING,
    "index": lambda job, now: "None",
    "submittime": lambda job, now: log_time(job.submitted_at),
    "path": lambda job, now: str(job.facts["path"]),
    "outputdir": lambda job, now: job.cwd,
    "errorpath": lambda job, now: job.error,
    "outputpath": lambda job, now: job.output,
    "envs": lambda job, now: ":".join(f"{name}={value}" for name, value in job.environ.items()),
    "command": lambda job, now: job.argv[0],
    "args": lambda job, now: " ".join(job.argv[1:]),
    "project": lambda job, now: job.project or _NOTHING,
    "short_state": lambda job, now: _LETTERS[job.state],
    "s": lambda job, now: _LETTERS[job.state],
    "attrs": lambda job, now: str(job.facts["attrs"]),
}


def as_table(jobs: Sequence[BatchJob], columns: Sequence[str], now: float | None = None) -> str:
    """A header, a line of `=`, and a row per batch job; unknown columns hold `-`, ids stand to the right."""
    now = time.time() if now is None else now
    rows = [[_value(job, column, now) for column in columns] for job in jobs]
    for number, column in enumerate(columns):
        if column.lower() == "jobid":
            width = max((len(row[number]) for row in rows), default=0)
            rows = [[*row[:number], row[number].rjust(width), *row[number + 1 :]] for row in rows]
    head = ["S" if column.lower() == "short_state" else column for column in columns]
    return _with_rule(head, rows)


def as_listing(jobs: Sequence[BatchJob], columns: Sequence[str], full: bool) -> str:
    """A block per batch job, a line per value."""
    names = list(dict.fromkeys([*columns, *_LONG_ONLY])) if full else list(columns)
    names = [name for name in names if name.lower() != "jobid"]
    names = [*(name for name in names if name not in _LONG_ONLY), *(name for name in _LONG_ONLY if name in names)]
    width, now = max(map(len, names), default=0), time.time()
    return "".join(
        f"JobID: {job.number}\n" + "".join(f"    {name:<{width}} : {_value(job, name, now)}\n" for name in names) + "\n"
        for job in jobs
    )


def shown_ids(jobs: Sequence[BatchJob]) -> str:
    """The table of qdel: ids and users."""
    return _with_rule(["JobID", "User"], [[str(job.number), job.user] for job in jobs])


def locations(job: BatchJob) -> str:
    """The numbers of its nodes, as in `2,4-5,7`; of nodes without numbers, their names."""
    if not all(host.isdecimal() for host in job.hosts):
        return ",".join(job.hosts)
    numbers = sorted(map(int, job.hosts))
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _value(job: BatchJob, column: str, now: float) -> str:
    value = _VALUES.get(column.lower())
    return "-" if value is None else value(job, now)


def _seconds_left(job: BatchJob, now: float) -> str:
    return clock(max(job.walltime_seconds - job.seconds_used(now), 0))


def _with_rule(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, cells)) for cells in zip(head, *rows, strict=True)]
    rule = "=" * (sum(widths) + 2 * len(widths))
    return "".join([_line(head, widths), f"{rule}\n", *(_line(row, widths) for row in rows)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{cell:<{width}}  " for cell, width in zip(cells, widths, strict=True)) + "\n"
