"""balsam top: watches a site."""

from __future__ import annotations

from typing import Any

import click

from balsam_core.cli.options import Amount, Whole, command, json_option
from balsam_core.cli.selection import filter_options, selection


@command("top")
@filter_options
@click.option("--once", is_flag=True, help="print one look as text (or --json) and end")
@click.option("--limit", type=Whole(min=1), default=20, show_default=True, help="with --once: so many jobs")
@click.option(
    "--interval",
    type=Amount(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="how often it looks whether something has changed",
)
@json_option
def top(once: bool, limit: int, interval: float, as_json: bool, **filters: Any) -> None:
    """Watch a site: states, rate, launchers, nodes, batch jobs, what fails; open or kill jobs."""
    from balsam_core.cli.context import opened
    from balsam_core.cli.watching import check_terminal, print_look, watch

    wanted = selection(**filters).filter()
    once = once or as_json
    if not once:
        check_terminal()
    with opened() as here:
        if once:
            print_look(here, wanted, limit, as_json=as_json)
        else:
            watch(here, wanted, interval)
