"""balsam killjob: stops jobs for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from balsam_core.cli.options import command, yes_option
from balsam_core.cli.selection import filter_options, selection

if TYPE_CHECKING:
    from balsam_core.models.job import Job


@command("killjob")
@click.argument("more_ids", metavar="[ID]...", nargs=-1)
@filter_options
@click.option("--all", "every", is_flag=True, help="every job of the site")
@click.option("--recursive", is_flag=True, help="kill the jobs that wait for them, too")
@yes_option
def killjob(every: bool, recursive: bool, yes: bool, **filters: Any) -> None:
    """Move jobs to USER_KILLED; a running one is stopped by its launcher."""
    from balsam_core.cli.asking import ask
    from balsam_core.cli.context import opened
    from balsam_core.cli.output import print_lines
    from balsam_core.cli.selection import NOTHING_FOUND
    from balsam_core.counting import counted
    from balsam_core.state.machine import END

    chosen = selection(**filters)
    if chosen.is_empty and not every:
        raise click.UsageError("name jobs: by --id, --name, --wf, --state or --tag, or --all")
    with opened() as here:
        wanted = chosen.exact_filter(here.store)
        counts = here.store.count_by_state(wanted)
        living = sum(count for state, count in counts.items() if state not in END)
        killed: list[Job] = []
        # The children of a job that has ended may live.
        if living or (counts and recursive):
            ask(_question(living, recursive), yes=yes or chosen.only_ids)
            killed = here.store.kill(wanted, recursive=recursive, message="balsam killjob")
    found = f"{counted(sum(counts.values()), 'job')} had ended already" if counts else NOTHING_FOUND
    print_lines([f"Killed {counted(len(killed), 'job')}" if killed else f"{found}; nothing was killed"])


def _question(living: int, recursive: bool) -> str:
    from balsam_core.counting import counted

    parts = [counted(living, "job")] if living else []
    parts += ["the jobs that wait for them"] if recursive else []
    return f"Kill {' and '.join(parts)}?"
