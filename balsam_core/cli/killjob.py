"""balsam killjob: stops jobs for good."""

from __future__ import annotations

from typing import Any

import click

from balsam_core.cli.options import command, yes_option
from balsam_core.cli.selection import filter_options, selection


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
        if not living:
            found = f"{counted(sum(counts.values()), 'job')} had ended already" if counts else NOTHING_FOUND
            print_lines([f"{found}; nothing was killed"])
            return
        tail = " and the jobs that wait for them" if recursive else ""
        ask(f"Kill {counted(living, 'job')}{tail}?", yes=yes or chosen.only_ids)
        killed = here.store.kill(wanted, recursive=recursive, message="balsam killjob")
    print_lines([f"Killed {counted(len(killed), 'job')}"])
