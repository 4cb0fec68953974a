"""Opens the database of a site, after a look at its schema and at the machine that it belongs to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from balsam_core.errors import ConfigError
from balsam_core.site import Site
from balsam_core.state.database import Database, open_database
from balsam_core.state.hosts import hostname, machine_id
from balsam_core.state.store import Store, open_store, sqlite_url

if TYPE_CHECKING:
    from balsam_core.server.cluster import Cluster


def open_site(site: Site, environ: Mapping[str, str]) -> Store:
    """The store of a site; close it with `store.database.close()`.

    Raises ConfigError (settings), SchemaMismatch, and DatabaseError, also while another host uses the site.
    """
    store = open_store(site_database(site))
    try:
        store.adopt(machine_id(environ), hostname())
    except BaseException:
        store.database.close()
        raise
    return store


def site_database(site: Site) -> Database:
    """The database of a site: the one of its settings, else SQLite in its folder. Raises ConfigError."""
    settings = site.settings.site
    if settings.database == PRIVATE_CLUSTER:
        from balsam_core.state.postgres import PostgresDatabase

        way_out = "start it with `balsam server --connect`"
        return PostgresDatabase("postgresql:///", address=site_cluster(site).url, way_out=way_out)
    try:
        return open_database(settings.database or sqlite_url(site.database_file), journal=settings.journal.upper())
    except ConfigError as error:
        raise ConfigError(f"{site.settings.where('site', 'database')}: {error}") from None


def site_cluster(site: Site) -> Cluster:
    """The private PostgreSQL cluster of a site, whether it has been made or not."""
    from balsam_core.server.cluster import Cluster

    return Cluster(site.path / "postgresql", site.settings.site, site.log / "postgresql.log", os.environ)


# What [site] database says of a site with a server of its own.
PRIVATE_CLUSTER = "postgresql"
