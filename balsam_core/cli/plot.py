"""balsam plot: shows how a site has used its nodes, from the history of its jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from balsam_core.cli.options import command
from balsam_core.cli.selection import filter_options, selection

_KINDS = ("utilization", "throughput", "states", "gantt", "scaling")
_FORMATS = (".png", ".svg", ".html")


@command("plot")
@click.argument("kind", type=click.Choice(_KINDS))
@filter_options
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="draw into this .png, .svg or .html file"
)
def plot(kind: str, output: Path | None, **filters: Any) -> None:
    """Show nodes busy, jobs finished or jobs by state over time; a table, unless -o names a file to draw."""
    from balsam_core.cli import plotting
    from balsam_core.cli.context import opened

    if output is not None and output.suffix.lower() not in _FORMATS:
        raise click.UsageError(f"cannot tell how to draw {str(output)!r}; the name ends in {', '.join(_FORMATS)}")
    chosen = selection(**filters)
    if kind == "scaling" and chosen != selection(None, (), chosen.workflow or None, (), ()):
        raise click.UsageError("scaling is about launchers: of the filters it takes --wf alone")
    with opened() as here:
        if output is None:
            plotting.print_chart(here.store, kind, chosen)
        else:
            plotting.draw_chart(here, kind, chosen, output)
