"""Balsam's core: jobs and their states, the launcher, batch submission, the command line, the Python API."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balsam_core.api.executor import BalsamExecutor
    from balsam_core.api.futures import BalsamFuture
    from balsam_core.api.site import Site
    from balsam_core.errors import BalsamError, JobFailed
    from balsam_core.models.job import Job, JobSpec
    from balsam_core.state.machine import State

__version__ = "0.1.0"
__all__ = ["BalsamError", "BalsamExecutor", "BalsamFuture", "Job", "JobFailed", "JobSpec", "Site", "State"]

_PLACES = {
    "BalsamError": "balsam_core.errors",
    "BalsamExecutor": "balsam_core.api.executor",
    "BalsamFuture": "balsam_core.api.futures",
    "Job": "balsam_core.models.job",
    "JobFailed": "balsam_core.errors",
    "JobSpec": "balsam_core.models.job",
    "Site": "balsam_core.api.site",
    "State": "balsam_core.state.machine",
}


def __getattr__(name: str) -> Any:
    # What the Python API needs takes 0.3 s to import, and neither `balsam --help` nor the worker needs any of it.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
