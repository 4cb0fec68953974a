"""Balsam 0.5's import paths, for programs that were written for it; a thin facade over balsam_core.

`balsam.launcher.dag` is what tasks and driver scripts import. Importing it needs a site: BALSAM_DB_PATH, or a current
folder inside one. `import balsam` alone needs none; after it, the part of Django that such programs use is there.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from balsam.stand_in import provide
from balsam_core import __version__

__all__ = ["__version__", "config_logging", "settings", "setup"]

provide()


def setup() -> None:
    """Make sure that there is a site; ends the program with a word on how to activate one, as imports do."""
    from balsam.core.site import require_site

    require_site()


def config_logging(basename: str, filename: str | None = None, buffer_capacity: int | None = None) -> str:
    """Log to a file in the site's `log` folder, named after `basename` and the time; its path.

    buffer_capacity: how many lines are kept back and written together; None: each is written at once.
    """
    from balsam.core.logs import log_to_file

    return log_to_file(basename, filename, buffer_capacity)


def __getattr__(name: str) -> Any:
    if name == "settings":
        from balsam.core.settings import settings

        return settings
    raise AttributeError(f"module 'balsam' has no attribute {name!r}")


def _other_balsams(path: list[str]) -> list[str]:
    """The distributions named `balsam` on a path: another project, which installs a package of the same name."""
    return [found.name for folder in path if folder for found in Path(folder).glob("balsam-[0-9]*.dist-info")]


if _found := _other_balsams(sys.path):
    warnings.warn(
        f"the distribution {_found[0].removesuffix('.dist-info')} is another project that installs a package 'balsam' "
        "too, and what is imported depends on the order of sys.path; keep one of the two: pip uninstall balsam, then "
        "pip install --force-reinstall balsam-core",
        stacklevel=2,
    )
