"""balsam tail: follows what a job prints."""

from __future__ import annotations

import click

from balsam_core.cli.options import Whole, command


@command("tail")
@click.argument("job", metavar="JOB")
@click.option("--follow/--no-follow", default=True, help="go on until the job ends (the default), or stop at the end")
@click.option("--lines", "-n", type=Whole(min=0), default=20, metavar="N", help="begin N lines before the end")
def tail(job: str, follow: bool, lines: int) -> None:
    """Show the end of what JOB prints, and what is added until it ends; a job that has not begun is waited for."""
    from balsam_core.cli.context import opened
    from balsam_core.cli.following import follow_job, show_end
    from balsam_core.workdirs import Workdirs

    with opened() as here:
        found = here.store.find_job(job)
        output = Workdirs(here.site.data).output_of(found)
        if follow:
            follow_job(here.store, found, output, lines)
        else:
            show_end(output, lines)
