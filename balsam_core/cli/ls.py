"""balsam ls: lists jobs, applications, workflows, launchers or batch jobs."""

from __future__ import annotations

from typing import Any

import click

from balsam_core.cli.options import Whole, command, json_option
from balsam_core.cli.selection import filter_options, selection

_OBJECTS = ("jobs", "apps", "wf", "launchers", "queues")
_WITHOUT_FILTERS = frozenset({"launchers", "queues"})


@command("ls")
@click.argument("objects", type=click.Choice(_OBJECTS), default="jobs")
@filter_options
@click.option("--by-states", is_flag=True, help="count the jobs in each state")
@click.option("--history", is_flag=True, help="show every move of each job; queues: those that ended, too")
@click.option(
    "--verbose", "-v", is_flag=True, help="show every field; launchers: those that ended, too; queues: evidence"
)
@click.option("--tree", is_flag=True, help="show jobs below those that they wait for")
@click.option("--limit", type=Whole(min=1), envvar="BALSAM_LS_LIMIT", help="show at most so many jobs")
@click.option("--fields", envvar="BALSAM_LS_FIELDS", metavar="A:B", help="further columns, joined by colons")
@json_option
def ls(
    objects: str,
    by_states: bool,
    history: bool,
    verbose: bool,
    tree: bool,
    limit: int | None,
    fields: str | None,
    as_json: bool,
    **filters: Any,
) -> None:
    """List jobs, applications (apps), workflows (wf), launchers or batch jobs (queues)."""
    from dataclasses import replace

    from balsam_core.cli import listing
    from balsam_core.cli.context import opened

    if by_states + history + tree + verbose > 1 and objects != "queues":
        raise click.UsageError("--by-states, --history, --tree and --verbose exclude each other")
    wanted = selection(**filters)
    if objects in _WITHOUT_FILTERS and not wanted.is_empty:
        raise click.UsageError(f"{objects} cannot be filtered: the filters choose jobs, workflows and apps")
    with opened() as here:
        wanted = replace(wanted, workflow=here.store.workflow_pattern(wanted.workflow))
        if objects == "apps":
            listing.show_apps(here.store, wanted, verbose=verbose, as_json=as_json)
        elif objects == "wf":
            listing.show_workflows(here.store, wanted, as_json=as_json)
        elif objects == "launchers":
            listing.show_launchers(here.store, ended=verbose, as_json=as_json)
        elif objects == "queues":
            from balsam_core.cli.queues import show_queues

            show_queues(here, history=history, verbose=verbose, as_json=as_json)
        elif by_states:
            listing.show_counts(here.store, wanted.filter(), as_json=as_json)
        elif tree:
            listing.show_tree(here.store, wanted.filter(), limit, as_json=as_json)
        elif history:
            listing.show_history(here.store, wanted.filter(), limit, as_json=as_json)
        elif verbose:
            listing.show_records(here, wanted.filter(), limit, as_json=as_json)
        else:
            listing.show_jobs(here.store, wanted.filter(), limit, listing.extra_fields(fields), as_json=as_json)
