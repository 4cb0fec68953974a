"""All that a plugin author imports; pydantic's part is loaded when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balsam_core.errors import (
    LaunchError,
    PluginError,
    SchedulerError,
    SchedulerNotUnderstood,
    SchedulerRejected,
    SchedulerUnavailable,
)
from balsam_core.plugins.contracts import (
    Allocation,
    BatchEvent,
    BatchRecord,
    BatchState,
    BatchStatus,
    Command,
    CommandResult,
    Hardware,
    IdleNodes,
    JobEvent,
    Launch,
    Machine,
    MpiLauncher,
    Node,
    NodeShape,
    NodeSource,
    Placement,
    Probe,
    Queue,
    Scheduler,
    StatusReport,
)

if TYPE_CHECKING:
    from balsam_core.models.batch import BatchRequest
    from balsam_core.plugins.hookspecs import hookimpl
    from balsam_core.plugins.plugin_settings import PluginSettings

__all__ = [
    "Allocation",
    "BatchEvent",
    "BatchRecord",
    "BatchRequest",
    "BatchState",
    "BatchStatus",
    "Command",
    "CommandResult",
    "Hardware",
    "IdleNodes",
    "JobEvent",
    "Launch",
    "LaunchError",
    "Machine",
    "MpiLauncher",
    "Node",
    "NodeShape",
    "NodeSource",
    "Placement",
    "PluginError",
    "PluginSettings",
    "Probe",
    "Queue",
    "Scheduler",
    "SchedulerError",
    "SchedulerNotUnderstood",
    "SchedulerRejected",
    "SchedulerUnavailable",
    "StatusReport",
    "hookimpl",
]


def __getattr__(name: str) -> object:
    """Pluggy and pydantic, imported late: the contracts alone cost a few milliseconds."""
    if name == "BatchRequest":
        from balsam_core.models.batch import BatchRequest

        return BatchRequest
    if name == "PluginSettings":
        from balsam_core.plugins.plugin_settings import PluginSettings

        return PluginSettings
    if name == "hookimpl":
        from balsam_core.plugins.hookspecs import hookimpl

        return hookimpl
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
