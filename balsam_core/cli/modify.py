"""balsam modify: changes a field of jobs or applications, or the state of jobs."""

from __future__ import annotations

from typing import Any

import click

from balsam_core.cli.options import command, yes_option
from balsam_core.cli.selection import filter_options, selection


@command("modify")
@click.argument("words", nargs=-1, required=True, metavar="[ID] ATTR VALUE")
@click.option("--type", "kind", type=click.Choice(["jobs", "apps"]), default="jobs", help="what ID names")
@filter_options
@yes_option
def modify(words: tuple[str, ...], kind: str, yes: bool, **filters: Any) -> None:
    """Set the field ATTR of a job or an application to VALUE; ATTR `state` moves a job by hand.

    With filter options in the place of ID, all jobs that they match are changed.
    """
    from balsam_core.cli import changing
    from balsam_core.cli.context import opened

    chosen = selection(**filters)
    if kind == "apps":
        with opened() as here:
            changing.change_app(here.store, *_three(words, "APP ATTR VALUE --type apps"))
        return
    if chosen.is_empty:
        part, field, value = _three(words, "ID ATTR VALUE, or filters and ATTR VALUE")
        chosen = selection(None, [part], None, [], [])
    elif len(words) == 2:
        field, value = words
    else:
        raise click.UsageError("with filters, give ATTR VALUE")
    with opened() as here:
        changing.change_jobs(here.store, chosen, field, value, yes=yes)


def _three(words: tuple[str, ...], form: str) -> tuple[str, str, str]:
    if len(words) != 3:
        raise click.UsageError(f"give {form}; quote a value of several words")
    return words[0], words[1], words[2]
