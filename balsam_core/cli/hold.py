"""balsam hold: keeps jobs from starting."""

from __future__ import annotations

from typing import Any

import click

from balsam_core.cli.options import command, yes_option
from balsam_core.cli.selection import filter_options, selection


@command("hold")
@click.argument("more_ids", metavar="[ID]...", nargs=-1)
@filter_options
@yes_option
def hold(yes: bool, **filters: Any) -> None:
    """Keep jobs from starting until `balsam release`; one that runs already goes on."""
    from balsam_core.cli.holding import set_hold

    set_hold(selection(**filters), True, yes=yes)
