"""balsam wait: waits until jobs have reached a state."""

from __future__ import annotations

from typing import Any

import click

from balsam_core.cli.options import Amount, command
from balsam_core.cli.selection import filter_options, selection

_MISSED = 1


@command("wait")
@click.argument("more_ids", metavar="[ID]...", nargs=-1)
@filter_options
@click.option(
    "--for", "target", metavar="STATE", default="JOB_FINISHED", show_default=True, help="the state to come to"
)
@click.option("--timeout", type=Amount(min=0), metavar="SECONDS", help="give up after so long")
@click.pass_context
def wait(ctx: click.Context, /, target: str, timeout: float | None, **filters: Any) -> None:
    """Wait until the jobs have reached a state, or have ended otherwise.

    Exit code 0: all reached it. 1: some ended otherwise, or the time was up.
    """
    from balsam_core.cli.context import opened
    from balsam_core.cli.output import print_lines
    from balsam_core.cli.waiting import Display, target_state, wait_for

    chosen = selection(**filters)
    if chosen.states:
        raise click.UsageError("--state is what changes while one waits; choose by ID, --name, --wf or --tag")
    state = target_state(target)
    with opened() as here, Display() as show:
        tally = wait_for(here.store, chosen.exact_filter(here.store), state, timeout, show)
    print_lines([tally.summary])
    if not tally.all_reached:
        ctx.exit(_MISSED)
