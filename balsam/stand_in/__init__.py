"""The small part of Django that programs written for Balsam 0.5 import, for where no Django is installed.

`import balsam` makes `from django.db import transaction` and the like work. A Django that is installed is found first,
and is never shadowed: then its own classes are used throughout.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

_HERE = Path(__file__).parent
_FILES = {
    "django": "django_package",
    "django.conf": "conf",
    "django.core": "core",
    "django.core.exceptions": "exceptions",
    "django.db": "db",
    "django.db.models": "models",
    "django.db.models.functions": "functions",
    "django.db.models.query": "query",
    "django.db.transaction": "transaction",
    "django.db.utils": "utils",
    "django.utils": "core",
    "django.utils.timezone": "timezone",
}
_PACKAGES = {name.rpartition(".")[0] for name in _FILES} - {""}


class StandIn(MetaPathFinder):
    """Finds the modules of the stand-in; it is asked last, so that a real Django comes first."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module of that name, unless it is one that a real Django lacks."""
        if fullname not in _FILES or not _is_ours(fullname):
            return None
        spec = spec_from_file_location(fullname, _HERE / f"{_FILES[fullname]}.py")
        if spec is not None and fullname in _PACKAGES:
            # Nothing lies in it: what it holds is found here, by name.
            spec.submodule_search_locations = []
        return spec


def provide() -> None:
    """From now on `import django` finds a real Django, or else the stand-in; to be called as often as one likes."""
    if not any(isinstance(finder, StandIn) for finder in sys.meta_path):
        sys.meta_path.append(StandIn())


def configure_real_django(site_settings: Callable[[], Mapping[str, Any]]) -> None:
    """Give a Django that is installed the site's settings, unless the program has settings of its own.

    Its transactions are then of an empty database in memory: the site's are made by the facade, call by call.
    """
    import django

    if getattr(django, "is_balsams_stand_in", False) or os.environ.get("DJANGO_SETTINGS_MODULE"):
        return
    from django.conf import settings

    if not settings.configured:
        memory = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
        settings.configure(**{**site_settings(), "DATABASES": memory, "LOGGING_CONFIG": None})
        django.setup()


def _is_ours(fullname: str) -> bool:
    top = sys.modules.get("django")
    return fullname == "django" or getattr(top, "is_balsams_stand_in", False)
