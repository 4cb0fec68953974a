"""The ids of batch jobs: `42`, `6_1` of an array, `42;far` on another cluster; which rows of a table mean them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from balsam_core.plugins import BatchState, BatchStatus, StatusReport

# In tables only: `6_[3-4%2]` is what of an array has not begun, `6_[1,3,...]` the same cut short; `7+1` is a part.
ROW_ID = re.compile(r"([1-9]\d*)(?:_(\d+)|_\[([\d,:%.-]*)\]?|\+\d+)?\Z", re.ASCII)
_TASKS = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?\Z", re.ASCII)
# Of several rows of one batch job, the first here speaks for it: an array has not ended while one task has not.
_ORDER = (
    BatchState.RUNNING,
    BatchState.ENDING,
    BatchState.STARTING,
    BatchState.SUSPENDED,
    BatchState.QUEUED,
    BatchState.HELD,
    BatchState.UNKNOWN,
    BatchState.FAILED,
    BatchState.TIMEOUT,
    BatchState.PREEMPTED,
    BatchState.CANCELLED,
    BatchState.DONE,
)


@dataclass(frozen=True)
class Row:
    """One row of a table; id: as printed; cluster None: this one; text: the row itself."""

    id: str
    cluster: str | None
    status: BatchStatus
    text: str


@dataclass(frozen=True)
class Table:
    """The rows that could be read, and those that could not."""

    rows: tuple[Row, ...]
    unreadable: tuple[str, ...] = ()


def number_of(batch_id: str) -> str:
    """The id as Slurm's options take it, without its cluster."""
    return batch_id.partition(";")[0]


def cluster_of(batch_id: str) -> str | None:
    """The cluster in `42;other`; None: this one."""
    return batch_id.partition(";")[2] or None


def cluster_words(ids: Iterable[str]) -> tuple[str, ...]:
    """The option that asks the clusters of all `ids`; nothing when this one has them all."""
    clusters = {cluster_of(batch_id) for batch_id in ids}
    named = sorted(cluster for cluster in clusters if cluster)
    if not named:
        return ()
    return ("--clusters=all",) if None in clusters else (f"--clusters={','.join(named)}",)


def report_of(ids: Sequence[str], table: Table) -> StatusReport:
    """What the table says of `ids`; an id that rows of several clusters could mean is left out, its rows unreadable."""
    jobs, unreadable = {}, list(table.unreadable)
    for batch_id in ids:
        rows = [row for row in table.rows if _is_of(row, batch_id)]
        if len({row.cluster for row in rows}) > 1:
            unreadable += [row.text for row in rows]
        elif rows:
            jobs[batch_id] = min(rows, key=lambda row: _ORDER.index(row.status.state)).status
        else:
            unreadable += [row.text for row in table.rows if _may_hide(row, batch_id)]
    return StatusReport(jobs, tuple(dict.fromkeys(unreadable)))


def _is_of(row: Row, batch_id: str) -> bool:
    if cluster_of(batch_id) not in (None, row.cluster):
        return False
    number, _, task = number_of(batch_id).partition("_")
    match = ROW_ID.match(row.id)
    if match is None or match[1] != number:
        return False
    return not task or match[2] == task or (task.isdecimal() and _holds(match[3] or "", int(task)))


def _may_hide(row: Row, batch_id: str) -> bool:
    """Whether the row names tasks of the same array and is cut short."""
    number, _, task = number_of(batch_id).partition("_")
    is_cut = "..." in row.id or ("[" in row.id and "]" not in row.id)
    return bool(task) and is_cut and row.id.startswith(f"{number}_")


def _holds(tasks: str, task: int) -> bool:
    """Whether `3-7:2,9%2` holds the task: at most 2 at once of 3, 5, 7 and 9."""
    for part in tasks.partition("%")[0].split(","):
        if match := _TASKS.match(part):
            first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
            if first <= task <= last and step and (task - first) % step == 0:
                return True
    return False
