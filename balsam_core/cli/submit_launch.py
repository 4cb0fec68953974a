"""balsam submit-launch: submits a batch job that runs a launcher."""

from __future__ import annotations

from typing import Literal

import click

from balsam_core.cli.options import Whole, Words, command, json_option


@command("submit-launch")
@click.option("--nodes", "-n", type=Whole(min=1), required=True, help="how many nodes")
@click.option("--time-minutes", "-t", type=Whole(min=1), required=True, help="for how long")
@click.option("--queue", "-q", help="which queue of the scheduler")
@click.option("--project", "-A", help="who is charged")
@click.option("--job-mode", type=click.Choice(["serial", "mpi"]), help="pack single processes, or start MPI programs")
@click.option("--wf-filter", metavar="WF", help="run only jobs of this workflow; `*` stands for anything")
@click.option("--sched-flags", cls=Words, help="further words for the submit command")
@click.option("--scheduler", metavar="NAME", help="instead of the one in the settings")
@click.option("--mpi", metavar="NAME", help="MPI launcher, instead of the one in the settings")
@click.option("--node-source", metavar="NAME", help="where the launcher finds its nodes, instead of the settings")
@click.option("--gpus-per-node", type=Whole(min=0), help="how many GPUs of each node to use")
@click.option("--dry-run", is_flag=True, help="print the script and the command; submit nothing")
@json_option
def submit_launch(
    nodes: int,
    time_minutes: int,
    queue: str | None,
    project: str | None,
    job_mode: Literal["serial", "mpi"] | None,
    wf_filter: str | None,
    sched_flags: str | None,
    scheduler: str | None,
    mpi: str | None,
    node_source: str | None,
    gpus_per_node: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Submit a batch job whose launcher runs the jobs of the current site."""
    from balsam_core.batch.submission import Submission, Wanted
    from balsam_core.cli import submitting
    from balsam_core.cli.context import opened
    from balsam_core.cli.queues import shell
    from balsam_core.cli.workflow import workflow_meant
    from balsam_core.plugins.registry import load_registry

    with opened() as here:
        wanted = Wanted(
            nodes=nodes,
            time_limit_minutes=time_minutes,
            job_mode=job_mode or here.settings.launcher.default_job_mode,
            queue=queue,
            project=project,
            wf_filter=workflow_meant(here.store, wf_filter or "") or None,
            scheduler=scheduler,
            mpi=mpi,
            node_source=node_source,
            gpus_per_node=gpus_per_node,
            sched_flags=submitting.words(sched_flags),
        )
        submission = Submission(here.site, here.store, here.settings, load_registry(here.settings), shell(here))
        if dry_run:
            submitting.show_rehearsal(submission.rehearse(wanted), as_json=as_json)
        else:
            submitting.show_submitted(submission.submit(wanted), as_json=as_json)
