"""balsam init: makes a site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from balsam_core.cli.options import command

if TYPE_CHECKING:
    from balsam_core.plugins import Machine
    from balsam_core.site import Site


@command("init")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--database", metavar="KIND", help="sqlite, postgresql, or a URL postgresql://...; else sqlite")
@click.option("--machine", metavar="NAME", help="write the settings of this machine; `balsam machine ls` lists them")
@click.option("--group", metavar="NAME", help="let the members of this Unix group use it; else its owner alone")
def init(path: Path, database: str | None, machine: str | None, group: str | None) -> None:
    """Make a site in the folder PATH: settings, a database, and room for job folders."""
    from balsam_core.cli.context import current_folder
    from balsam_core.cli.output import print_lines, warn
    from balsam_core.homes import expanded
    from balsam_core.site import create_site, is_site, network_file_system

    preset = _preset(machine)
    kind = database or (preset.database if preset else "sqlite")
    if kind not in ("sqlite", "postgresql") and not kind.startswith(("postgresql://", "postgres://")):
        raise click.UsageError(f"--database {kind.partition(':')[0]!r}: give sqlite, postgresql or postgresql://...")
    if group is not None:
        _refuse_shared_password(kind)
    folder = current_folder() / expanded(path)
    if ".." in folder.parts:
        folder = folder.resolve()
    if is_site(folder) and (database, machine, group) == (None, None, None):
        # As in Balsam 0.5, whose scripts begin with `balsam init` each time they run.
        print_lines([f"{folder} is a Balsam site already", f"Use it with: . balsamactivate {folder}"])
        return
    network = network_file_system(folder) if kind == "sqlite" else None
    site = create_site(folder, lambda site: _prepare(site, kind, preset, on_network=network is not None), group=group)
    if network is not None:
        warn(
            f"{site.path} lies on the network file system {network!r}: SQLite there is slow, and safe only while "
            "one host uses the site; the slower rollback journal was chosen in settings.toml"
        )
    print_lines([f"Successfully created Balsam site at {site.path}", f"Use it with: . balsamactivate {site.path}"])


def _refuse_shared_password(database: str) -> None:
    from balsam_core.errors import ConfigError

    if "@" in database and ":" in database.partition("://")[2].rpartition("@")[0]:
        raise ConfigError(
            "the whole group would read the password in that URL; leave it out, and let each keep it in ~/.pgpass"
        )


def _preset(name: str | None) -> Machine | None:
    from balsam_core.plugins.registry import load_registry

    return None if name is None else load_registry().machine(name)


def _prepare(site: Site, database: str, machine: Machine | None, *, on_network: bool) -> None:
    """Write what was chosen into the settings, then make the database that they name."""
    values: dict[str, dict[str, object]] = {"site": {}}
    if database != "sqlite":
        values["site"]["database"] = database
    if on_network:
        # The write-ahead log needs memory that all readers share; see sqlite.org/wal.html.
        values["site"]["journal"] = "delete"
    if machine is not None and machine.database == "postgresql":
        # Launchers on compute nodes connect to it.
        values["site"]["listen"] = "127.0.0.1,hostname"
    _write_settings(site, values, machine)
    if database == "postgresql":
        _start_server(site)
    _make_database(site)


def _write_settings(site: Site, values: dict[str, dict[str, object]], machine: Machine | None) -> None:
    from balsam_core.settings_file import machine_values, with_queues, with_settings

    text = with_settings(site.settings_file.read_text(encoding="utf-8"), values)
    if machine is not None:
        text = with_queues(with_settings(text, machine_values(machine)), machine.queues)
    site.settings_file.chmod(0o600)
    site.settings_file.write_text(text, encoding="utf-8")


def _start_server(site: Site) -> None:
    from balsam_core.opening import site_cluster
    from balsam_core.server.users import make_database
    from balsam_core.site import Site

    cluster = site_cluster(Site(site.path))
    cluster.make()
    cluster.start()
    make_database(cluster.url("postgres"), cluster.url().database or "")


def _make_database(site: Site) -> None:
    import os

    from balsam_core.opening import site_database
    from balsam_core.site import Site
    from balsam_core.state.hosts import hostname, machine_id
    from balsam_core.state.store import create_store

    # The settings were read before the file had its last word.
    store = create_store(site_database(Site(site.path)))
    store.adopt(machine_id(os.environ), hostname())
    store.database.close()
