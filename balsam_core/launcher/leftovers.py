"""Says why the jobs that a launcher leaves behind cannot run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from balsam_core.counting import counted
from balsam_core.launcher.modes import JobMode
from balsam_core.models.job import Job
from balsam_core.state.machine import RUNNABLE, State


def why_left(jobs: Iterable[Job], mode: JobMode, seconds_left: float | None) -> list[str]:
    """One line per reason, most jobs first: `3 jobs: on hold; release them with `balsam release``."""
    reasons = Counter(_why(job, mode, seconds_left) for job in jobs)
    return [f"{counted(count, 'job')}: {reason}" for reason, count in reasons.most_common()]


def _why(job: Job, mode: JobMode, seconds_left: float | None) -> str:
    if job.hold:
        return "on hold; release with `balsam release`"
    if job.state is State.AWAITING_PARENTS:
        return "waits for parents that have not finished"
    if job.launcher_id is not None:
        return f"held by launcher {str(job.launcher_id)[:8]}"
    if job.state in RUNNABLE:
        refusal = mode.why_not(job, seconds_left)
        if refusal is not None:
            return refusal.text
    return f"{job.state}, would run in another launch"
