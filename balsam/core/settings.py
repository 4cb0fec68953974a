"""The settings of the site under Balsam 0.5's names: `from balsam import settings`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from balsam.core.site import current_site
from balsam_core.errors import SiteNotFound, suggestion
from balsam_core.site import Site


class Settings:
    """Read when they are asked for; a name that there is not raises AttributeError."""

    configured = True

    def __getattr__(self, name: str) -> Any:
        if name not in _NAMES:
            raise AttributeError(f"no setting {name!r}; {suggestion(name, _NAMES)}")
        return _NAMES[name](current_site())


def _databases(site: Site) -> dict[str, dict[str, str]]:
    url = site.settings.site.database
    kind = "postgresql" if url.startswith("postgres") else "sqlite3"
    name = url if url else str(site.database_file)
    empty = {"HOST": "", "PORT": "", "USER": "", "PASSWORD": ""}
    return {"default": {"ENGINE": f"django.db.backends.{kind}", "NAME": name, **empty}}


def _cores(site: Site) -> int:
    import os

    return len(os.sched_getaffinity(0))


_NAMES: dict[str, Callable[[Site], Any]] = {
    "BALSAM_HOME": lambda site: str(site.path),
    "BALSAM_PATH": lambda site: str(site.path),
    "BALSAM_WORK_DIRECTORY": lambda site: str(site.data),
    "LOGGING_DIRECTORY": lambda site: str(site.log),
    "SERVICE_PATH": lambda site: str(site.qsubmit),
    "DATABASES": _databases,
    "SCHEDULER_CLASS": lambda site: site.settings.scheduler.name,
    "JOB_TEMPLATE": lambda site: site.settings.template.file,
    "DEFAULT_PROJECT": lambda site: next((q.project for q in site.settings.queues if q.project), ""),
    "LOG_HANDLER_LEVEL": lambda site: "INFO",
    "SERVICE_PERIOD": lambda site: 1,
    "MAX_CONCURRENT_MPIRUNS": lambda site: 1000,
    "NUM_TRANSITION_THREADS": lambda site: site.settings.launcher.num_transition_threads,
    "SERIAL_CORES_PER_NODE": _cores,
    "SERIAL_HYPERTHREAD_STRIDE": lambda site: 1,
    "USE_TZ": lambda site: True,
    "TIME_ZONE": lambda site: "UTC",
}

settings = Settings()


def all_settings() -> dict[str, Any]:
    """Every setting by its name; none where documentation is built without a site."""
    try:
        site = current_site()
    except SiteNotFound:
        return {}
    return {name: read(site) for name, read in _NAMES.items()}
