"""balsam job: adds a job, or a file of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from balsam_core.cli.job_options import job_options
from balsam_core.cli.options import command


@command("job")
@job_options
@click.option(
    "--from-file", type=click.Path(path_type=Path), metavar="FILE", help="add the jobs of a .csv or .jsonl file"
)
@click.option("--skip-existing", is_flag=True, help="leave out jobs whose workflow and name are there already")
def job(from_file: Path | None, skip_existing: bool, yes: bool, **options: Any) -> None:
    """Add a job; or, with --from-file, one per row, for which the other options are defaults.

    The columns of a file are the fields of a job (name, workflow, application, args, num_nodes ...); all of its jobs
    are added, or none.
    """
    from balsam_core.cli import adding
    from balsam_core.cli.context import current_folder, opened
    from balsam_core.cli.job_options import given_fields

    if from_file is None:
        adding.require(options, ("name", "workflow", "application"))
    with opened() as here:
        fields = adding.with_parents(given_fields(options, current_folder()), here.store)
        if from_file is None:
            adding.add_one(here.store, adding.spec_of(fields), yes=yes, skip_existing=skip_existing)
        else:
            adding.add_file(here.store, from_file, fields, yes=yes, skip_existing=skip_existing)
