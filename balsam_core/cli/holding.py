"""Holds and releases jobs, for `balsam hold` and `balsam release`."""

from __future__ import annotations

import click

from balsam_core.cli.asking import ask
from balsam_core.cli.context import opened
from balsam_core.cli.output import print_lines
from balsam_core.cli.selection import NOTHING_FOUND, Chosen
from balsam_core.counting import counted


def set_hold(chosen: Chosen, held: bool, *, yes: bool) -> None:
    """Set or clear `hold` of the chosen jobs; asks unless they were named by their ids."""
    if chosen.is_empty:
        raise click.UsageError("name jobs: by ID, --name, --wf, --state or --tag")
    verb, done = ("Hold", "Held") if held else ("Release", "Released")
    with opened() as here:
        wanted = chosen.exact_filter(here.store)
        count = sum(here.store.count_by_state(wanted).values())
        if not count:
            print_lines([f"{NOTHING_FOUND}; nothing was changed"])
            return
        ask(f"{verb} {counted(count, 'job')}?", yes=yes or chosen.only_ids)
        changed = here.store.change_jobs(wanted, {"hold": held})
    print_lines([f"{done} {counted(changed, 'job')}"])
