"""Starts and results of attempts, recorded in batches.

Every change of a running job is guarded by its launcher and its attempt. Where the guard holds no longer, the lease was
lost: the caller gets the job's id back and must kill what it started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, exists, select, update

from balsam_core.state.machine import END, PROCESSABLE, RUNNABLE, State
from balsam_core.state.moves import chunks, event_row, record, settle, words
from balsam_core.state.outcomes import End, RetryPolicy, Wishes, after_run
from balsam_core.state.prepared import Prepared
from balsam_core.state.tables import apps, dependencies, jobs

_CHUNK = 500


@dataclass(frozen=True)
class Start:
    """An attempt: when it started (epoch seconds), where, as which process; pid None: it could not be started."""

    job_id: UUID
    attempt: int
    at: float
    node: str
    pid: int | None
    pid_clock: float


@dataclass(frozen=True)
class Result:
    """How an attempt ended; `message` tells people more (the tail of the output of a failed one).

    added: keys that it sets in the job's `data`.
    """

    job_id: UUID
    attempt: int
    end: End
    at: float
    exit_code: int | None = None
    seconds: float = 0.0
    message: str = ""
    added: Mapping[str, Any] | None = None


class Recorded(NamedTuple):
    """What a report did: jobs whose lease was lost, events written, and what there is to do now.

    opens_work: for transitions, when a job stopped before a script or staging, or when an end may have released its
    children. opens_claim: for a claim, when a job is to run again, or was moved so by hand while it ran.
    """

    lost: set[UUID]
    events: list[dict[str, Any]]
    opens_work: bool
    opens_claim: bool


def report(
    tx: Connection,
    launcher_id: UUID,
    starts: Sequence[Start],
    results: Sequence[Result],
    policy: RetryPolicy,
    *,
    now: float,
) -> Recorded:
    """Record starts and results in one go.

    A job that was killed or moved by hand meanwhile is let go: it stays as it is, and counts as lost. What was
    recorded before (a launcher repeats what it is not sure about) changes nothing, and does not count as lost.
    """
    ids = {*(start.job_id for start in starts), *(result.job_id for result in results)}
    held_rows = _held_rows(tx, launcher_id, ids)
    written: list[dict[str, Any]] = []
    lost = {start.job_id for start in starts if not _record_start(held_rows.get(start.job_id), start, written)}
    lost |= {
        result.job_id for result in results if not _record_result(held_rows.get(result.job_id), result, policy, written)
    }
    _UPDATE_HELD.run(tx, (row.values() for row in held_rows.values() if row.changed))
    _add_to_data(tx, {row.seq: row.added for row in held_rows.values() if row.added})
    record(tx, written)
    ended = [row.job_id for row in held_rows.values() if row.has_children and row.state in _END_WORDS]
    settle(tx, ended, now=now)
    left = {row.state for row in held_rows.values() if row.changed}
    opens_work = bool(ended) or not left.isdisjoint(_PROCESSABLE_WORDS)
    return Recorded(lost, written, opens_work, opens_claim=not left.isdisjoint(_RUNNABLE_WORDS))


def record_unseen_starts(tx: Connection, launcher_id: UUID, started: Iterable[tuple[UUID, int]], *, now: float) -> None:
    """Record starts of jobs that a launcher still holds, and that only its journal shows."""
    waiting = and_(jobs.c.launcher_id == launcher_id, jobs.c.state.in_(_RUNNABLE_WORDS))
    held = set(tx.execute(select(jobs.c.job_id).where(waiting)).scalars())
    # Of all the jobs that a launcher has started, it holds a few, and mostly none.
    wanted = [attempt for attempt in started if attempt[0] in held] if held else []
    held_rows = _held_rows(tx, launcher_id, {job_id for job_id, _ in wanted})
    written: list[dict[str, Any]] = []
    for job_id, attempt in wanted:
        row = held_rows.get(job_id)
        if row and row.state in _RUNNABLE_WORDS and row.attempt == attempt - 1:
            row.start(Start(job_id, attempt, now, "", None, 0.0), "seen in its launcher's journal", written)
    _UPDATE_HELD.run(tx, (row.values() for row in held_rows.values() if row.changed))
    record(tx, written)


def _record_start(row: _HeldRow | None, start: Start, written: list[dict[str, Any]]) -> bool:
    """Whether the launcher still holds the job."""
    if row is None or row.state == "USER_KILLED":
        return False
    if row.attempt >= start.attempt:
        return True
    if row.state not in _RUNNABLE_WORDS or row.attempt != start.attempt - 1:
        return False
    row.start(start, f"on {start.node}" + (f", pid {start.pid}" if start.pid else ", could not be started"), written)
    return True


def _record_result(row: _HeldRow | None, result: Result, policy: RetryPolicy, written: list[dict[str, Any]]) -> bool:
    """Whether the launcher held the job until its end, or still does."""
    if row is None:
        return False
    if row.state == "RUNNING" and row.attempt == result.attempt:
        row.finish(result, policy, written)
        return True
    moved_away = row.pid is not None and row.attempt == result.attempt
    if row.state == "USER_KILLED" or row.attempt < result.attempt or moved_away:
        row.let_go()
        return False
    return True


class _HeldRow:
    """What a launcher holds of one job, as far as starts and results change it."""

    def __init__(self, row: Sequence[Any]) -> None:
        (
            self.seq,
            self.job_id,
            self.state,
            self.attempt,
            self.retries,
            self.state_at,
            self.node,
            self.pid,
            self.pid_clock,
            self.exit_code,
            self.launcher_id,
            self._wishes,
            self.has_children,
        ) = (*row[:11], row[11:-1], row[-1])
        self.changed = False
        self.added: Mapping[str, Any] | None = None

    def values(self) -> tuple[Any, ...]:
        """The columns of `_UPDATE_HELD`."""
        return (
            self.state, self.attempt, self.retries, self.state_at, self.node, self.pid, self.pid_clock,
            self.exit_code, self.launcher_id, self.seq,
        )  # fmt: skip

    def start(self, start: Start, message: str, written: list[dict[str, Any]]) -> None:
        """A new attempt runs."""
        written.append(event_row(self.job_id, start.attempt, self.state, State.RUNNING, start.at, message))
        self.state, self.attempt, self.state_at = "RUNNING", start.attempt, start.at
        self.node, self.pid, self.pid_clock, self.exit_code = start.node, start.pid, start.pid_clock, None
        self.changed = True

    def finish(self, result: Result, policy: RetryPolicy, written: list[dict[str, Any]]) -> None:
        """The attempt ended; nobody holds the job any more."""
        steps, reran = after_run(
            result.end,
            self.wishes(),
            policy,
            exit_code=result.exit_code,
            seconds=result.seconds,
            message=result.message,
        )
        for step in steps:
            written.append(event_row(self.job_id, self.attempt, self.state, step.state, result.at, step.message))
            self.state = step.state.value
        self.state_at, self.exit_code, self.retries = result.at, result.exit_code, self.retries + reran
        self.added = result.added
        self.let_go()

    def let_go(self) -> None:
        """Nobody holds the job any more."""
        self.launcher_id = self.pid = None
        self.changed = True

    def wishes(self) -> Wishes:
        """What the job asks for after a run."""
        max_retries, error_handler, timeout_handler, timeout_retry, url, files, postprocess = self._wishes
        return Wishes(
            postprocess=bool(postprocess),
            stage_out=bool(url and files),
            post_error_handler=error_handler,
            post_timeout_handler=timeout_handler,
            auto_timeout_retry=timeout_retry,
            max_retries=max_retries,
            retries=self.retries,
        )


def _add_to_data(tx: Connection, added: Mapping[int, Mapping[str, Any]]) -> None:
    """Set keys in the `data` of jobs; what the jobs themselves have written there stays."""
    changed: list[tuple[dict[str, Any], int]] = []
    for chunk in chunks(added, _CHUNK):
        for seq, data in tx.execute(select(jobs.c.seq, jobs.c.data).where(jobs.c.seq.in_(chunk))):
            changed.append(({**data, **added[seq]}, seq))
    _UPDATE_DATA.run(tx, changed)


def _held_rows(tx: Connection, launcher_id: UUID, job_ids: Iterable[UUID]) -> dict[UUID, _HeldRow]:
    found: dict[UUID, _HeldRow] = {}
    for chunk in chunks(job_ids, _CHUNK):
        # Few sizes, so that few statements are compiled: the last id fills up the places.
        size = next(size for size in _SIZES if size >= len(chunk))
        values = [launcher_id, *chunk, *chunk[-1:] * (size - len(chunk))]
        for page in _held_query(size).rows(tx, values):
            found.update((row.job_id, row) for row in map(_HeldRow, page))
    return found


@cache
def _held_query(size: int) -> Prepared:
    names = [f"job{place}" for place in range(size)]
    ids = [bindparam(name, type_=jobs.c.job_id.type) for name in names]
    columns = [
        jobs.c.seq, jobs.c.job_id, jobs.c.state, jobs.c.attempt, jobs.c.retries, jobs.c.state_at, jobs.c.node,
        jobs.c.pid, jobs.c.pid_clock, jobs.c.exit_code, jobs.c.launcher_id,
        jobs.c.max_retries, jobs.c.post_error_handler, jobs.c.post_timeout_handler, jobs.c.auto_timeout_retry,
        jobs.c.stage_out_url, jobs.c.stage_out_files, apps.c.postprocess,
        exists().where(dependencies.c.parent_id == jobs.c.job_id),
    ]  # fmt: skip
    query = (
        select(*columns)
        .outerjoin(apps, apps.c.name == jobs.c.application)
        .where(jobs.c.launcher_id == bindparam("launcher"), jobs.c.job_id.in_(ids))
        .order_by(jobs.c.seq)
        .with_for_update(of=jobs)
    )
    return Prepared(query, ["launcher", *names], columns)


_SIZES = (1, 4, 16, 64, 128, 256, _CHUNK)

_PROCESSABLE_WORDS = frozenset(words(PROCESSABLE))

_RUNNABLE_WORDS = frozenset(words(RUNNABLE))

_END_WORDS = frozenset(words(END))

_HELD_COLUMNS = [
    "state", "attempt", "retries", "state_at", "node", "pid", "pid_clock", "exit_code", "launcher_id"
]  # fmt: skip

_UPDATE_HELD = Prepared(
    update(jobs)
    .where(jobs.c.seq == bindparam("the_seq"))
    .values({name: bindparam(name, type_=jobs.c[name].type) for name in _HELD_COLUMNS}),
    [*_HELD_COLUMNS, "the_seq"],
)

_UPDATE_DATA = Prepared(
    update(jobs).where(jobs.c.seq == bindparam("the_seq")).values(data=bindparam("new_data", type_=jobs.c.data.type)),
    ["new_data", "the_seq"],
)
