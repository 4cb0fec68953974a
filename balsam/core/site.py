"""The site that a program which imports `balsam` works on, and its database."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balsam_core.errors import BalsamError, SiteNotFound

if TYPE_CHECKING:
    from balsam_core.site import Site
    from balsam_core.state.store import Store


def require_site() -> None:
    """End the program with a word on how to activate a site, unless there is one; Balsam 0.5 did so at import.

    BALSAM_SPHINX_DOC_BUILD_ONLY: the program needs no site, as long as it asks nothing of one.
    """
    if os.environ.get("BALSAM_SPHINX_DOC_BUILD_ONLY"):
        return
    try:
        current_site()
    except SiteNotFound as error:
        print(f"balsam: {error}", file=sys.stderr)
        raise SystemExit(1) from None


@cache
def current_site() -> Site:
    """The site of BALSAM_DB_PATH, else the one around the current folder; raises SiteNotFound."""
    from balsam_core.site import find_site

    return find_site(os.environ, Path.cwd())


@cache
def store() -> Store:
    """The database of the current site, opened once per process; in a child after a fork, with connections of its own.

    A job takes it as its launcher left it: looking at the schema again would cost each of thousands of jobs queries.
    """
    from balsam_core.opening import open_site

    try:
        opened = _as_its_launcher_left_it(current_site()) if _in_job() else open_site(current_site(), os.environ)
    except BalsamError as error:
        print(f"balsam: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    return opened


def close_connections() -> None:
    """Close the connections that nobody uses at the moment; the next query opens one."""
    if store.cache_info().currsize:
        store().database.close()


def _as_its_launcher_left_it(site: Site) -> Store:
    from balsam_core.opening import site_database
    from balsam_core.state.store import Store

    database = site_database(site)
    database.refuse_missing()
    return Store(database)


# What a child must neither use nor close: the parent's other threads were in the middle of it.
_PARENTS: list[Any] = []


def _leave_connections_to_parent() -> None:
    if store.cache_info().currsize:
        engine = store().database.engine
        _PARENTS.append(engine.pool)
        engine.dispose(close=False)


def _in_job() -> bool:
    return bool(os.environ.get("BALSAM_JOB_ID"))


os.register_at_fork(before=close_connections, after_in_child=_leave_connections_to_parent)
