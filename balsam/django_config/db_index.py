"""The sites that a user has, as notebooks list them."""

from __future__ import annotations

from balsam_core.site import is_site, known_sites

__all__ = ["refresh_db_index"]


def refresh_db_index() -> list[str]:
    """The folders of the sites that this user has made and that still exist."""
    return [str(path) for path in known_sites() if is_site(path)]
