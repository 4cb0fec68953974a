"""The database server of a site, as notebooks start it."""

from __future__ import annotations

import os
from pathlib import Path

from balsam_core.errors import DatabaseError
from balsam_core.opening import PRIVATE_CLUSTER, site_cluster
from balsam_core.site import find_site

__all__ = ["start_main"]


def start_main(db_path: str | os.PathLike[str]) -> None:
    """Start the server of the site in that folder, unless it runs or the site needs none.

    Raises SiteNotFound, and DatabaseError when it cannot start or was left running on another host.
    """
    site = find_site({"BALSAM_DB_PATH": os.fspath(db_path)}, Path.cwd())
    if site.settings.site.database != PRIVATE_CLUSTER:
        return
    cluster = site_cluster(site)
    elsewhere = cluster.left_elsewhere()
    if elsewhere:
        raise DatabaseError(
            f"the server was started on {elsewhere.host}; run `balsam server --connect` if that is gone"
        )
    cluster.start()
