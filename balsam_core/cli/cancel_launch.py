"""balsam cancel-launch: cancels a batch job."""

from __future__ import annotations

import click

from balsam_core.cli.options import command, yes_option


@command("cancel-launch")
@click.argument("batch_job", metavar="ID")
@yes_option
def cancel_launch(batch_job: str, yes: bool) -> None:
    """Cancel the batch job ID: its number in `ls queues`, else the scheduler's id. Its jobs can be restarted."""
    from balsam_core.batch.cancelling import cancel
    from balsam_core.cli.asking import ask
    from balsam_core.cli.context import opened
    from balsam_core.cli.output import print_lines
    from balsam_core.cli.queues import poller

    with opened() as here:
        asker = poller(here)
        job = here.store.batches.find(batch_job, asker.machine_id)
        ask(f"Cancel batch job {job.number} ({job}, {job.state.value})?", yes=yes or not job.is_open)
        cancel(asker, str(job.number))
        print_lines([f"Asked {job.scheduler} to cancel batch job {job.number} ({job.scheduler_id})"])
