"""Tests what a plugin offers against the contracts, as `balsam plugin check` shows it."""

from __future__ import annotations

import os

from balsam_core.batch.asking import user_name
from balsam_core.commands import answer_of, run_command
from balsam_core.errors import PluginError, SchedulerError, suggestion
from balsam_core.plugins import Scheduler
from balsam_core.plugins.registry import load_registry
from balsam_core.settings import Settings
from balsam_core.testing.running import Finding, check_mpi_launcher, check_node_source, check_scheduler

_SECONDS = 30.0


def check_plugin(name: str, settings: Settings | None, *, live: bool) -> list[Finding]:
    """Every test of everything that the plugin offers; raises PluginError when there is none, or it failed to load."""
    registry = load_registry(settings)
    found = [info for info in registry.plugins() if info.name == name]
    if not found:
        raise PluginError(f"no plugin named {name!r}; {suggestion(name, {info.name for info in registry.plugins()})}")
    if found[0].error is not None:
        raise PluginError(
            f"plugin {found[0]} failed to load: {found[0].error_summary}; see `balsam plugin show {name}`"
        )
    roles = found[0].roles
    findings = []
    for scheduler in registry.schedulers():
        if scheduler.name in roles.get("scheduler", ()):
            findings += check_scheduler(scheduler)
            if live:
                findings.append(_ask(registry.scheduler(scheduler.name)))
    for offer in roles.get("MPI launcher", ()):
        findings += check_mpi_launcher(registry.mpi_launcher(offer))
    for offer in roles.get("node source", ()):
        findings += check_node_source(registry.node_source(offer))
    return findings


def _ask(scheduler: Scheduler) -> Finding:
    """One status query for an id that no batch job has."""
    subject, test = f"scheduler {scheduler.name}", "it answers here and now"
    try:
        result = run_command(scheduler.status_command(["1"], user_name()), _SECONDS, os.environ)
        scheduler.parse_status(["1"], answer_of(result))
    except (PluginError, SchedulerError) as error:
        return Finding(subject, test, str(error))
    return Finding(subject, test, None)
