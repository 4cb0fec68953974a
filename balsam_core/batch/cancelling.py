"""Cancels batch jobs; a launcher that runs in one is ended gracefully by its scheduler's signal."""

from __future__ import annotations

from balsam_core.batch.asking import evidence_of
from balsam_core.batch.polling import Poller
from balsam_core.commands import answer_of
from balsam_core.errors import JobSpecError, SchedulerRejected
from balsam_core.models.batch import OPEN, BatchJob, Change


def cancel(poller: Poller, name: str) -> BatchJob:
    """Ask the scheduler to cancel the batch job called `name`; the record as it was.

    Raises JobSpecError (no such batch job, or it is over), PluginError, SchedulerError.
    """
    batches = poller.store.batches
    job = batches.find(name, poller.machine_id)
    if not job.is_open:
        raise JobSpecError(f"batch job {job.number} is {job.state.value} already; nothing was cancelled")
    if job.scheduler_id is None:
        poller.refresh()
        job = batches.find(name, poller.machine_id)
    if job.scheduler_id is None:
        raise JobSpecError(
            f"batch job {job.number} has no id of {job.scheduler} yet; look with `balsam ls queues`, and try again"
        )
    scheduler = poller.registry.scheduler(job.scheduler)
    result = poller.shell.run(scheduler.cancel_command([job.scheduler_id]))
    agreed = scheduler.parse_cancel([job.scheduler_id], answer_of(result))
    if job.scheduler_id not in agreed:
        words = " ".join(f"{result.stdout} {result.stderr}".split()) or f"exit code {result.returncode}"
        raise SchedulerRejected(f"{job} was not cancelled: {words}")
    # The scheduler may have taken its time, and a launcher begun meanwhile.
    batches.apply([Change(job.launch_id, state, state, "", {"cancelled": True}) for state in OPEN])
    batches.note(job.launch_id, "asked to be cancelled", evidence_of(result))
    return job
