"""balsam machine: lists the machines that `balsam init --machine` has presets for."""

from __future__ import annotations

import click

from balsam_core.cli.group import Group
from balsam_core.cli.options import command, json_option


@click.group("machine", cls=Group)
def machine() -> None:
    """The machines that `balsam init PATH --machine NAME` has presets for."""


@command("ls")
@json_option
def machine_ls(as_json: bool) -> None:
    """List the presets of the installed plugins."""
    from balsam_core.cli.output import print_json, print_table
    from balsam_core.models.listings import MachineLine, MachineListing
    from balsam_core.plugins.registry import load_registry

    lines = [
        MachineLine(
            name=one.name,
            scheduler=one.scheduler,
            mpi=one.mpi,
            nodes=one.nodes,
            database=one.database,
            queues=list(dict.fromkeys(queue.name for queue in one.queues)),
            description=one.description,
        )
        for one in load_registry().machines()
    ]
    if as_json:
        print_json(MachineListing(machines=lines))
        return
    columns = ("name", "scheduler", "mpi", "nodes", "database", "description")
    print_table(columns, [[getattr(line, column) for column in columns] for line in lines])


machine.add_command(machine_ls)
