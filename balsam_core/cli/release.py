"""balsam release: lets held jobs start again."""

from __future__ import annotations

from typing import Any

import click

from balsam_core.cli.options import command, yes_option
from balsam_core.cli.selection import filter_options, selection


@command("release")
@click.argument("more_ids", metavar="[ID]...", nargs=-1)
@filter_options
@yes_option
def release(yes: bool, **filters: Any) -> None:
    """Let jobs that were held start again."""
    from balsam_core.cli.holding import set_hold

    set_hold(selection(**filters), False, yes=yes)
