"""balsam retry: sends failed jobs back to be run again."""

from __future__ import annotations

from typing import Any

import click

from balsam_core.cli.options import command, yes_option
from balsam_core.cli.selection import filter_options, selection


@command("retry")
@click.argument("more_ids", metavar="[ID]...", nargs=-1)
@filter_options
@click.option("--all", "every", is_flag=True, help="every failed job of the site")
@click.option(
    "--recursive/--no-recursive", default=True, help="send those back that failed because of them (the default), or not"
)
@yes_option
def retry(every: bool, recursive: bool, yes: bool, **filters: Any) -> None:
    """Send FAILED, RUN_ERROR and RUN_TIMEOUT jobs back to be run again.

    Where a script or staging failed, that is done again; a job that failed because of a parent waits for it again.
    """
    from balsam_core.cli.retrying import retry_jobs

    chosen = selection(**filters)
    if chosen.is_empty and not every:
        raise click.UsageError("name jobs: by ID, --name, --wf, --state or --tag, or --all")
    retry_jobs(chosen, recursive=recursive, yes=yes)
