"""balsam service: keeps batch jobs in the queue while work remains."""

from __future__ import annotations

import click

from balsam_core.cli.group import Group
from balsam_core.cli.options import command


class _Service(Group):
    """`balsam service` alone runs it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return click.Group.parse_args(self, ctx, args)


@click.group("service", cls=_Service, invoke_without_command=True)
@click.option("--detach", is_flag=True, help="go on in the background; the log is log/service.log")
@click.option("--dry-run", is_flag=True, help="print what the next round would do; submit nothing")
@click.pass_context
def service(ctx: click.Context, detach: bool, dry_run: bool) -> None:
    """Keep the right batch jobs in the queue while work remains, within the limits of [[queues]]."""
    if ctx.invoked_subcommand is not None:
        return
    from balsam_core.cli import queueing
    from balsam_core.cli.output import print_lines

    if dry_run:
        print_lines(queueing.rehearse())
    elif detach:
        print_lines([queueing.detach()])
    else:
        queueing.run()


@command("status")
def status() -> None:
    """Show whether the service runs, what waits, and which queues rest."""
    from balsam_core.cli import queueing
    from balsam_core.cli.output import print_lines

    print_lines(queueing.status())


@command("stop")
def stop() -> None:
    """End the service of this site, which runs on this host; batch jobs stay."""
    from balsam_core.cli import queueing
    from balsam_core.cli.output import print_lines

    print_lines([queueing.stop()])


@command("resume")
def resume() -> None:
    """Use queues again that rest after failures."""
    from balsam_core.cli import queueing
    from balsam_core.cli.output import print_lines

    print_lines([queueing.resume()])


service.add_command(status)
service.add_command(stop)
service.add_command(resume)
