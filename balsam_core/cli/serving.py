"""What `balsam server` does: each action gives the lines to print."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from urllib.parse import quote

from balsam_core.cli.asking import ask
from balsam_core.cli.context import current_folder, opened
from balsam_core.errors import ConfigError
from balsam_core.opening import PRIVATE_CLUSTER, site_cluster
from balsam_core.server.cluster import OWNER, Cluster
from balsam_core.server.users import add_user, drop_user, list_connections, list_users
from balsam_core.site import Site, find_site
from balsam_core.state.database import Database


def act(action: str, yes: bool) -> list[str]:
    """Do one of ACTIONS; on SQLite there is no server to start or stop, and scripts that do so go on."""
    if action in _OF_THE_PROCESS and not _site().settings.site.database:
        return ["This site is on SQLite, which needs no server"]
    return ACTIONS[action](yes)


def connect(yes: bool) -> list[str]:
    """Start the server here, unless it runs."""
    cluster = _cluster()
    _ask_about_the_other_host(cluster, yes)
    ran = cluster.is_running()
    address = cluster.start()
    return [f"The server {'runs' if ran else 'was started'} at {address.host}:{address.port}"]


def reset(yes: bool) -> list[str]:
    """Stop the server, and start it with the settings as they are now."""
    _cluster().stop()
    return connect(yes)


def stop(yes: bool) -> list[str]:
    """Stop the server."""
    return ["The server was stopped" if _cluster().stop() else "The server does not run on this host"]


def status(yes: bool) -> list[str]:
    """Where the server runs."""
    cluster = _cluster()
    if cluster.is_running():
        address = cluster.address()
        return [f"The server runs at {address.host}:{address.port}"]
    elsewhere = cluster.left_elsewhere()
    if elsewhere:
        return [f"The server was started on {elsewhere.host}, and nobody has stopped it"]
    return ["The server does not run; start it with `balsam server --connect`"]


def connections(yes: bool) -> list[str]:
    """Who is connected."""
    with opened() as site, _served(site.store.database).read() as tx:
        return ["  ".join(map(str, row)) for row in list_connections(tx)]


def users(yes: bool) -> list[str]:
    """Who may log in."""
    with opened() as site, _served(site.store.database).read() as tx:
        return list_users(tx)


def add(name: str) -> list[str]:
    """Let somebody log in; the line for their ~/.pgpass."""
    with opened() as site, _served(site.store.database).write() as tx:
        password = add_user(tx, name)
        place = site.store.database.name
    host, _, database = place.partition("/")
    return [
        f"Added {name}; the site's URL for them: postgresql://{quote(name, safe='')}@{place}",
        "This line goes into their ~/.pgpass (mode 0600); it is shown only now:",
        f"{host}:{database}:{_in_pgpass(name)}:{password}",
    ]


def drop(name: str) -> list[str]:
    """Take the right to log in from somebody."""
    with opened() as site, _served(site.store.database).write() as tx:
        drop_user(tx, name, owner=OWNER)
    return [f"Dropped {name}"]


ACTIONS: Mapping[str, Callable[[bool], list[str]]] = {
    "connect": connect,
    "reset": reset,
    "stop": stop,
    "status": status,
    "connections": connections,
    "users": users,
}
_OF_THE_PROCESS = frozenset({"connect", "reset", "stop", "status"})


def _site() -> Site:
    return find_site(os.environ, current_folder())


def _cluster() -> Cluster:
    site = _site()
    if site.settings.site.database != PRIVATE_CLUSTER:
        raise ConfigError("this site has no server of its own; `balsam init PATH --database postgresql` makes one")
    return site_cluster(site)


def _in_pgpass(word: str) -> str:
    # See "The Password File" in PostgreSQL's documentation of libpq.
    return word.replace("\\", "\\\\").replace(":", "\\:")


def _served(database: Database) -> Database:
    if not database.serves_many_hosts:
        raise ConfigError("this site is on SQLite, which has no server; `balsam db copy --to URL` moves it to one")
    return database


def _ask_about_the_other_host(cluster: Cluster, yes: bool) -> None:
    # Two servers on the same files would destroy them.
    elsewhere = cluster.left_elsewhere()
    if elsewhere:
        ask(f"The server was started on {elsewhere.host}, and nobody has stopped it; is it gone for good?", yes=yes)
