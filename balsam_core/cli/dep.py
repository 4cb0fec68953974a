"""balsam dep: makes one job wait for another."""

from __future__ import annotations

import click

from balsam_core.cli.options import command


@command("dep")
@click.argument("parent")
@click.argument("child")
def dep(parent: str, child: str) -> None:
    """Make the job CHILD wait until PARENT has finished; any unique part of an id will do."""
    from balsam_core.cli.context import opened
    from balsam_core.cli.output import print_lines

    with opened() as here:
        first, second = here.store.find_job(parent), here.store.find_job(child)
        here.store.add_dependency(first.job_id, second.job_id)
    print_lines([f"Created link {first.cute_id} --> {second.cute_id}"])
