"""Deletes jobs: running ones are stopped first, and their launcher is given a moment to let go of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from balsam_core.counting import counted
from balsam_core.state.filters import JobFilter
from balsam_core.state.store import Store

_LET_GO_SECONDS = 15.0
_ASK_SECONDS = 0.1


@dataclass(frozen=True)
class Deletion:
    """What came of it; stubborn: jobs that are killed, but that a live launcher has not let go of yet."""

    deleted: int
    stubborn: frozenset[UUID]

    @property
    def trouble(self) -> str:
        """What to tell about the stubborn jobs; empty: there are none."""
        if not self.stubborn:
            return ""
        return (
            f"{counted(len(self.stubborn), 'job')} killed but not deleted: the launcher has not stopped them yet; "
            "delete them again later, and see `balsam ls launchers`"
        )


def delete_jobs(
    store: Store, job_ids: Sequence[UUID], held: Sequence[UUID], *, machine_id: str, message: str
) -> Deletion:
    """Delete jobs with their events and edges, but no file; jobs that wait for them fail.

    held: those of them that a launcher holds; they are killed with `message` and deleted when it let go of them.
    """
    stubborn = _stop(store, held, machine_id, message) if held else frozenset()
    return Deletion(store.delete_jobs([job_id for job_id in job_ids if job_id not in stubborn]), stubborn)


def _stop(store: Store, held: Sequence[UUID], machine_id: str, message: str) -> frozenset[UUID]:
    wanted = JobFilter(ids=[str(job_id) for job_id in held])
    store.kill(wanted, message=message)
    deadline = time.monotonic() + _LET_GO_SECONDS
    while (still := _still_held(store, wanted, machine_id)) and time.monotonic() < deadline:
        time.sleep(_ASK_SECONDS)
    return still


def _still_held(store: Store, wanted: JobFilter, machine_id: str) -> frozenset[UUID]:
    # A dead launcher never lets go, and nothing of it runs on: whoever takes its jobs back sweeps them.
    dead = {launcher.launcher_id for launcher in store.expired_launchers(machine_id)}
    live = {row.launcher_id for row, _ in store.launchers()} - dead
    rows = store.listed(("job_id", "launcher_id"), wanted)
    return frozenset(row.job_id for row in rows if row.launcher_id in live)
