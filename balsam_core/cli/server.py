"""balsam server: controls the PostgreSQL server of the site."""

from __future__ import annotations

import click

from balsam_core.cli.options import command


@command("server")
@click.option("--connect", "action", flag_value="connect", help="start the server on this host, unless it runs")
@click.option("--reset", "action", flag_value="reset", help="stop the server and start it again")
@click.option("--stop", "action", flag_value="stop", help="stop the server")
@click.option("--status", "action", flag_value="status", help="say where it runs")
@click.option("--list-active-connections", "action", flag_value="connections", help="list who is connected")
@click.option("--list-users", "action", flag_value="users", help="list who may log in")
@click.option("--add-user", metavar="NAME", help="let somebody log in; prints the password")
@click.option("--drop-user", metavar="NAME", help="take that right away")
@click.option("--yes", "--force", "-y", "yes", is_flag=True, help="do not ask")
def server(action: str | None, add_user: str | None, drop_user: str | None, yes: bool) -> None:
    """Control the PostgreSQL server of the site."""
    from balsam_core.cli import serving
    from balsam_core.cli.output import print_lines

    if sum(chosen is not None for chosen in (action, add_user, drop_user)) != 1:
        raise click.UsageError("say one of --connect, --reset, --stop, --status, --list-..., --add-user, --drop-user")
    if "" in (add_user, drop_user):
        raise click.UsageError("the name of the user is empty")
    if add_user:
        print_lines(serving.add(add_user))
    elif drop_user:
        print_lines(serving.drop(drop_user))
    elif action:
        print_lines(serving.act(action, yes))
