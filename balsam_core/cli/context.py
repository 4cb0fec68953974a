"""Opens the current site and its database for one command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from balsam_core.errors import ConfigError
from balsam_core.opening import open_site
from balsam_core.settings import Settings
from balsam_core.sharing import follow_sharing
from balsam_core.site import Site, find_site
from balsam_core.state.store import Store


@dataclass(frozen=True)
class Opened:
    """The current site, as a command uses it."""

    site: Site
    settings: Settings
    store: Store


@contextmanager
def opened() -> Iterator[Opened]:
    """The current site with its database open and checked; what the command makes there is shared as the site is.

    Raises SiteNotFound, ConfigError (settings), SchemaMismatch, and DatabaseError while another host uses the site.
    """
    site = find_site(os.environ, current_folder())
    follow_sharing(site.path)
    store = open_site(site, os.environ)
    try:
        yield Opened(site, site.settings, store)
    finally:
        store.database.close()


def current_folder() -> Path:
    """Where the command was called; raises ConfigError when that folder was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the current folder has been deleted; go to another one") from None
