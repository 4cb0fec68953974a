"""Moves jobs that need no work of their own: whole sets at a time, in SQL, without building one object.

10,000 jobs without staging and scripts go from CREATED to PREPROCESSED in two statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import Connection, exists, func, literal, select, text, true, update
from sqlalchemy.sql import ColumnElement, and_, or_

from balsam_core.models.job import Job
from balsam_core.state.filters import workflow_is
from balsam_core.state.jobs import select_jobs
from balsam_core.state.leases import is_live
from balsam_core.state.machine import BROKEN, State
from balsam_core.state.moves import chunks, fail_children, move, words
from balsam_core.state.tables import PROCESSABLE, apps, dependencies, jobs

_APP = apps.c.name == jobs.c.application
_HAS_APP = exists().where(_APP)
_HAS_PREPROCESS = exists().where(_APP, apps.c.preprocess != "")
_HAS_POSTPROCESS = exists().where(_APP, apps.c.postprocess != "")
_HAS_PARENTS = exists().where(dependencies.c.child_id == jobs.c.job_id)
_STAGES_IN = or_(jobs.c.stage_in_url != "", and_(jobs.c.input_files != "", _HAS_PARENTS))
_STAGES_OUT = and_(jobs.c.stage_out_url != "", jobs.c.stage_out_files != "")
_FREE_TO_GO = or_(jobs.c.unmet_parents == 0, jobs.c.wait_for_parents.is_(False))


# So many new jobs move in one transaction: the first of 100,000 need not wait for the last.
PAGE = 2_000
# New jobs that lie so thin among others are found by their state.
_SPARSE = 20


def advance(tx: Connection, workflow: str, *, now: float, page: int = PAGE) -> int:
    """Move the processable jobs of `workflow` (empty: of all) as far as they go by themselves; how many moves.

    Of those that have not run about a page is moved, the oldest first; `page` moves or more: there may be others left.
    """
    # What has run comes first: its end releases children, and they go on in the same call.
    every = _processable(workflow)
    moved = _take(tx, _STEPS_AFTER_RUN, every, _present(tx, every), now=now)
    present = _present(tx, every)
    if not present & set(_BEFORE_RUN):
        return moved
    some = _paged(tx, workflow, page)
    moved += _fail_jobs_without_app(tx, some, now=now)
    if State.CREATED in present:
        moved += _hold_back_waiting(tx, some, now=now)
    return moved + _take(tx, _STEPS_BEFORE_RUN, some, present, now=now)


def claim_work(tx: Connection, launcher_id: UUID, workflow: str, limit: int) -> list[Job]:
    """Claim jobs that stop at a script, a handler or staging, for one launcher's transitions; at most `limit`.

    A launcher whose lease is over gets none.
    """
    if not is_live(tx, launcher_id):
        return []
    # New jobs are many, and have no work before they are READY: they are not even looked at.
    states = jobs.c.state.in_(words(_WITH_WORK))
    wanted = and_(_processable(workflow), states, _HAS_WORK, jobs.c.hold.is_(False))
    claimed = select_jobs(tx, wanted, limit=limit, order=(jobs.c.priority.desc(), jobs.c.seq), skip_locked=True)
    for chunk in chunks((job.job_id for job in claimed), _CHUNK):
        tx.execute(update(jobs).where(jobs.c.job_id.in_(chunk)).values(launcher_id=launcher_id))
    return claimed


def _present(tx: Connection, wanted: ColumnElement[bool]) -> set[str]:
    return set(tx.execute(select(jobs.c.state).where(wanted).distinct()).scalars())


def _paged(tx: Connection, workflow: str, page: int) -> ColumnElement[bool]:
    """About a page of the jobs of `workflow` that have not run: the same ones in every statement that follows."""
    every = _processable(workflow)
    some = select(jobs.c.seq).where(every, jobs.c.state.in_(words(_BEFORE_RUN))).limit(page).subquery()
    first, last, count = tx.execute(select(func.min(some.c.seq), func.max(some.c.seq), func.count())).one()
    if count < page:
        return every
    these = jobs.c.seq.between(first, last)
    if last - first > _SPARSE * page:
        return and_(every, these)
    # Without the words of the partial index, and with a workflow that no index knows: SQLite then goes to these rows
    # alone, where an index of states would lead it through all new jobs, in every statement of every page.
    named = true() if not workflow else workflow_is(workflow)
    if workflow and "*" not in workflow:
        named = jobs.c.workflow.concat("") == workflow
    return and_(jobs.c.launcher_id.is_(None), these, named)


def _take(tx: Connection, steps: Sequence[_Step], wanted: ColumnElement[bool], present: set[str], *, now: float) -> int:
    moved = 0
    for state, target, condition, message in steps:
        if state in present:
            where = and_(wanted, jobs.c.state == state.value, condition)
            moved += move(tx, where, target, now=now, message=message)
            present.add(target)
    return moved


def _processable(workflow: str) -> ColumnElement[bool]:
    partial_index: ColumnElement[bool] = text(PROCESSABLE)  # type: ignore[assignment]
    return and_(partial_index, workflow_is(workflow) if workflow else true())


def _fail_jobs_without_app(tx: Connection, wanted: ColumnElement[bool], *, now: float) -> int:
    nameless = move(
        tx,
        and_(wanted, jobs.c.state.in_(words(_BEFORE_RUN)), jobs.c.application == ""),
        State.FAILED,
        now=now,
        message="it names no application; set one with `balsam modify ID application NAME`",
    )
    return nameless + move(
        tx,
        and_(wanted, jobs.c.state.in_(words(_BEFORE_RUN)), ~_HAS_APP),
        State.FAILED,
        now=now,
        message=literal("no application named ") + jobs.c.application,
    )


def _hold_back_waiting(tx: Connection, wanted: ColumnElement[bool], *, now: float) -> int:
    waiting = and_(
        wanted,
        jobs.c.state == State.CREATED.value,
        jobs.c.wait_for_parents,
        jobs.c.unmet_parents > 0,
    )
    parent = jobs.alias("broken_parent")
    broken = (
        select(dependencies.c.parent_id)
        .join(parent, parent.c.job_id == dependencies.c.parent_id)
        .where(dependencies.c.child_id.in_(select(jobs.c.job_id).where(waiting)), parent.c.state.in_(words(BROKEN)))
        .distinct()
    )
    parents = list(tx.execute(broken).scalars())
    fail_children(tx, parents, now=now)
    return move(tx, waiting, State.AWAITING_PARENTS, now=now)


_BEFORE_RUN = (State.CREATED, State.READY, State.STAGED_IN)
_WITH_WORK = (
    State.READY,
    State.STAGED_IN,
    State.POSTPROCESSED,
    State.RUN_DONE,
    State.RUN_ERROR,
    State.RUN_TIMEOUT,
)
_CHUNK = 500

_HAS_HANDLER = or_(
    and_(jobs.c.state == State.RUN_ERROR.value, jobs.c.post_error_handler),
    and_(jobs.c.state == State.RUN_TIMEOUT.value, jobs.c.post_timeout_handler),
)
_HAS_WORK = or_(
    and_(jobs.c.state == State.READY.value, _STAGES_IN),
    and_(jobs.c.state == State.STAGED_IN.value, _HAS_PREPROCESS),
    and_(jobs.c.state == State.POSTPROCESSED.value, _STAGES_OUT),
    and_(or_(jobs.c.state == State.RUN_DONE.value, _HAS_HANDLER), _HAS_POSTPROCESS),
)

_Step: TypeAlias = tuple[State, State, ColumnElement[bool], str]

# Where a job goes that has nothing to do in the states between; the first line that fits it counts.
_STEPS_BEFORE_RUN: tuple[_Step, ...] = (
    (State.CREATED, State.PREPROCESSED, and_(_FREE_TO_GO, ~_STAGES_IN, ~_HAS_PREPROCESS), ""),
    (State.CREATED, State.STAGED_IN, and_(_FREE_TO_GO, ~_STAGES_IN), ""),
    (State.CREATED, State.READY, _FREE_TO_GO, ""),
    (State.READY, State.PREPROCESSED, and_(~_STAGES_IN, ~_HAS_PREPROCESS), ""),
    (State.READY, State.STAGED_IN, ~_STAGES_IN, ""),
    (State.STAGED_IN, State.PREPROCESSED, ~_HAS_PREPROCESS, ""),
)

_STEPS_AFTER_RUN: tuple[_Step, ...] = (
    (State.RUN_DONE, State.JOB_FINISHED, and_(~_HAS_POSTPROCESS, ~_STAGES_OUT), ""),
    (State.RUN_DONE, State.POSTPROCESSED, ~_HAS_POSTPROCESS, ""),
    (State.POSTPROCESSED, State.JOB_FINISHED, ~_STAGES_OUT, ""),
    (State.RUN_TIMEOUT, State.RESTART_READY, and_(~jobs.c.post_timeout_handler, jobs.c.auto_timeout_retry), ""),
    (
        State.RUN_TIMEOUT,
        State.FAILED,
        ~and_(jobs.c.post_timeout_handler, _HAS_POSTPROCESS),
        "no timeout handler takes care of it",
    ),
    (
        State.RUN_ERROR,
        State.FAILED,
        ~and_(jobs.c.post_error_handler, _HAS_POSTPROCESS),
        "no error handler takes care of it",
    ),
)
