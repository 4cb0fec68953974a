"""Looks after the database of the current site: its schema, and the host that it belongs to."""

from __future__ import annotations

import os
from pathlib import Path

from balsam_core.cli.asking import ask
from balsam_core.cli.context import current_folder
from balsam_core.counting import counted
from balsam_core.errors import DatabaseError
from balsam_core.opening import site_database
from balsam_core.site import find_site
from balsam_core.state.database import Database, open_database
from balsam_core.state.hosts import hostname, machine_id
from balsam_core.state.store import Store, open_store, sqlite_url
from balsam_core.state.transfer import transfer


def upgrade_database() -> Path | None:
    """Upgrade the schema; the copy that was made, None if it was up to date. Raises DatabaseError while it is used."""
    site = find_site(os.environ, current_folder())
    database = site_database(site)
    database.refuse_missing()
    if database.schema_version() is None:
        database.check()
    refuse_live_launchers(Store(database))
    return database.upgrade(site.path)


def adopt_database(*, yes: bool) -> str:
    """Bind the site to this host; its name. Asks first when a launcher elsewhere may still be using it."""
    site = find_site(os.environ, current_folder())
    store = open_store(site_database(site))
    here = machine_id(os.environ)
    elsewhere = [row for row, _ in store.launchers() if row.machine_id != here]
    if elsewhere:
        row = elsewhere[0]
        ask(f"A launcher on {row.host} (pid {row.pid}) never ended; is it gone for good?", yes=yes)
    store.adopt_by_force(here, hostname())
    return hostname()


def copy_database(url: str) -> list[str]:
    """Copy the site into the empty database at `url`, and say how to use it there."""
    said = _copy(_site_store(), open_database(url))
    return [*said, "To use it, set `database` in the section [site] of settings.toml to its URL"]


def backup_database(file: Path) -> list[str]:
    """Copy the site into a new SQLite file; launchers may go on, the copy is of one moment."""
    if file.exists():
        raise DatabaseError(f"{file} exists; give the name of a new file")
    source = _site_store()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    try:
        return _copy(source, open_database(sqlite_url(file.absolute()), journal="DELETE"), alone=False)
    except BaseException:
        file.unlink()
        raise


def restore_database(file: Path) -> list[str]:
    """Copy a backup into the database of the site, which must be empty; one that is not there is made."""
    if not file.is_file():
        raise DatabaseError(f"there is no file {file}; give one that `balsam db backup` wrote")
    backup = open_store(sqlite_url(file.absolute()), journal="DELETE")
    database = site_database(find_site(os.environ, current_folder()))
    if database.schema_version() is None:
        database.create()
    database.check()
    refuse_live_launchers(Store(database))
    return _copy(backup, database, alone=False)


def _site_store() -> Store:
    return open_store(site_database(find_site(os.environ, current_folder())))


def _copy(source: Store, target: Database, *, alone: bool = True) -> list[str]:
    if alone:
        refuse_live_launchers(source)
    target.create()
    copied = transfer(source.database, target)
    target.close()
    tables = {"jobs": "job", "apps": "app", "dependencies": "dependency", "events": "event"}
    what = ", ".join(counted(copied[table], noun) for table, noun in tables.items())
    return [f"Copied {what} to {target.name}"]


def refuse_live_launchers(store: Store) -> None:
    """Raise DatabaseError while a launcher holds a lease on the site."""
    dead = {launcher.launcher_id for launcher in store.expired_launchers(machine_id(os.environ))}
    for row, _ in store.launchers():
        if row.launcher_id not in dead:
            raise DatabaseError(
                f"a launcher runs on {row.host} (pid {row.pid}) and uses this database; stop it, then try again"
            )
