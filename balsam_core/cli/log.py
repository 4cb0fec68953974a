"""balsam log: follows the log files of the site."""

from __future__ import annotations

import click

from balsam_core.cli.options import Whole, command


@command("log")
@click.option("--follow/--no-follow", default=True, help="go on as the files grow (the default), or stop at their end")
@click.option("--lines", "-n", type=Whole(min=0), default=20, metavar="N", help="begin N lines before the end")
def log(follow: bool, lines: int) -> None:
    """Show the end of every file in the site's log folder, and what is added to them."""
    import os

    from balsam_core.cli.context import current_folder
    from balsam_core.cli.log_files import follow_files, show_ends
    from balsam_core.cli.output import tell
    from balsam_core.site import find_site

    # The database is not opened: a log is wanted most when that is what fails.
    folder = find_site(os.environ, current_folder()).log
    read = show_ends(folder, lines)
    if not read:
        tell(f"no log files in {folder} yet" + ("; waiting for one" if follow else ""))
    if follow:
        follow_files(folder, read)
