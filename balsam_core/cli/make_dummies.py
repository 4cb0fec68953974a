"""balsam make_dummies: adds jobs that do nothing."""

from __future__ import annotations

import click

from balsam_core.cli.options import command


@command("make_dummies")
@click.argument("count", metavar="N", type=click.IntRange(min=1, max=1_000_000))
def make_dummies(count: int) -> None:
    """Add N jobs of the application `dummy`, which does nothing, in the workflow `dummy`."""
    from balsam_core.cli.context import opened
    from balsam_core.cli.output import print_lines
    from balsam_core.counting import counted
    from balsam_core.models.app import AppSpec
    from balsam_core.models.job import JobSpec

    specs = [JobSpec(name=f"dummy{number}", workflow="dummy", application="dummy") for number in range(count)]
    with opened() as here:
        if not any(app.name == "dummy" for app in here.store.apps("dummy")):
            here.store.add_app(AppSpec(name="dummy", executable="true", description="does nothing"))
        here.store.add_jobs(specs)
    print_lines([f"Added {counted(count, 'job')} of the app dummy"])
