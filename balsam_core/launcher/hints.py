"""What a user should know before a launcher begins: no such workflow, idle cores; and whether one is there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy.sql import ColumnElement, and_

from balsam_core.errors import JobSpecError, suggestion
from balsam_core.models.batch import OPEN
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import END, State
from balsam_core.state.store import Store
from balsam_core.state.tables import jobs

UNFINISHED = tuple(state for state in State if state not in END)


def known_workflow(store: Store, workflow: str) -> str:
    """The pattern that a filter by workflow means; raises JobSpecError, with the nearest one, when it fits no job."""
    pattern = store.workflow_pattern(workflow)
    if pattern and not store.has_any(JobFilter(workflow=pattern)):
        raise JobSpecError(f"no job has the workflow {workflow!r}; {suggestion(workflow, store.count_by_workflow())}")
    return pattern


def idle_cores(store: Store, workflow: str, cores: int) -> str:
    """How many cores of a node idle while a job has it to itself; empty when every job that may come packs."""
    if cores < 2 or not store.has_any(_WholeNodeJobs(workflow)):
        return ""
    return f"jobs with the default node_packing_count of 1 have a node to themselves: {cores - 1} of {cores} cores idle"


def nobody_runs(store: Store, workflow: str, machine_id: str) -> bool:
    """Whether no launcher that lives, and no batch job that waits or runs, would take jobs of this workflow."""
    dead = {launcher.launcher_id for launcher in store.expired_launchers(machine_id)}
    filters = [row.wf_filter for row, _ in store.launchers() if row.launcher_id not in dead]
    filters += [batch.wf_filter for batch in store.batches.select(machine_id=machine_id, states=OPEN)]
    return not any(_takes(pattern or "*", workflow) for pattern in filters)


def _takes(pattern: str, workflow: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), workflow, re.DOTALL) is not None


@dataclass(frozen=True)
class _WholeNodeJobs:
    workflow: str

    def where(self) -> ColumnElement[bool]:
        unfinished = JobFilter(workflow=self.workflow, states=UNFINISHED).where()
        return and_(unfinished, jobs.c.node_packing_count == 1, jobs.c.num_nodes == 1, jobs.c.threads_per_rank == 1)
