"""balsam dashboard: serves the site as web pages."""

from __future__ import annotations

import click

from balsam_core.cli.options import command


@command("dashboard")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="PORT", help="on loopback; left out: any free one"
)
@click.option("--allow-actions", is_flag=True, help="let the pages kill jobs; else they only show")
def dashboard(port: int, allow_actions: bool) -> None:
    """Serve the site as web pages on this host, until Ctrl-C; open the link that is printed.

    From elsewhere: `ssh -L PORT:localhost:PORT HOST`, then the same link.
    """
    from balsam_core.cli.browsing import serve_site
    from balsam_core.cli.context import opened

    with opened() as here:
        serve_site(here, port, allow_actions=allow_actions)
