"""balsam rm: deletes jobs or applications."""

from __future__ import annotations

from typing import Any

import click

from balsam_core.cli.options import command, yes_option
from balsam_core.cli.selection import filter_options, selection


@command("rm")
@click.argument("objects", type=click.Choice(["jobs", "apps"]))
@filter_options
@click.option("--all", "every", is_flag=True, help="all of them, or all that the filters match")
@click.option("--with-files", is_flag=True, help="delete the jobs' folders in the site, too")
@yes_option
def rm(objects: str, every: bool, with_files: bool, yes: bool, **filters: Any) -> None:
    """Delete jobs or apps; a running job is stopped first. Files stay, unless --with-files."""
    from balsam_core.cli import deleting
    from balsam_core.cli.context import opened

    chosen = selection(**filters)
    if chosen.is_empty and not every:
        raise click.UsageError(f"say which {objects}: --name, --id, --wf, --state, --tag, or --all")
    with opened() as here:
        if objects == "jobs":
            deleting.delete_jobs(here, chosen, with_files=with_files, yes=yes)
        else:
            deleting.delete_apps(here.store, chosen, yes=yes)
