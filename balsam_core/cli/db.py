"""balsam db: upgrades, copies and restores the database, or moves it to this host."""

from __future__ import annotations

from pathlib import Path

import click

from balsam_core.cli.group import Group
from balsam_core.cli.options import command


@click.group("db", cls=Group)
def db() -> None:
    """Upgrade, copy, back up or restore the database of the site, or move it to this host."""


@command("upgrade")
def upgrade() -> None:
    """Bring the database to this program's schema; a copy is made first."""
    from balsam_core.cli.output import print_lines
    from balsam_core.cli.upkeep import upgrade_database

    copy = upgrade_database()
    print_lines([f"Upgraded the database; a copy of the old one: {copy}" if copy else "The database is up to date"])


@command("adopt")
@click.option("--yes", "--force", "-y", "yes", is_flag=True, help="do not ask")
def adopt(yes: bool) -> None:
    """Bind the site to this host, when the other one is gone for good."""
    from balsam_core.cli.output import print_lines
    from balsam_core.cli.upkeep import adopt_database

    print_lines([f"The site belongs to {adopt_database(yes=yes)} now"])


@command("copy")
@click.option("--to", "url", required=True, metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/DB, empty")
def copy(url: str) -> None:
    """Copy all rows of the site into another, empty database; the settings stay as they are."""
    from balsam_core.cli.output import print_lines
    from balsam_core.cli.upkeep import copy_database

    print_lines(copy_database(url))


@command("backup")
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Copy all rows of the site into a new SQLite FILE."""
    from balsam_core.cli.output import print_lines
    from balsam_core.cli.upkeep import backup_database

    print_lines(backup_database(file))


@command("restore")
@click.argument("file", type=click.Path(path_type=Path))
def restore(file: Path) -> None:
    """Copy all rows of a backup into the database of the site, which must be empty."""
    from balsam_core.cli.output import print_lines
    from balsam_core.cli.upkeep import restore_database

    print_lines(restore_database(file))


db.add_command(upgrade)
db.add_command(copy)
db.add_command(backup)
db.add_command(restore)
db.add_command(adopt)
