"""balsam report: writes what became of a workflow into one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from balsam_core.cli.options import command


@command("report")
@click.argument("workflow")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="the file; else WORKFLOW-report.html here"
)
def report(workflow: str, output: Path | None) -> None:
    """Write what ran, where and how long, node-hours, and failures by cause into one HTML file."""
    from balsam_core.cli import plotting
    from balsam_core.cli.context import opened

    if not workflow.strip():
        raise click.UsageError("the workflow is empty; `balsam ls wf` lists them")
    with opened() as here:
        plotting.write_report(here, workflow, output)
