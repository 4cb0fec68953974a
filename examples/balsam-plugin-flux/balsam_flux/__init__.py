"""The plugin `flux`: what it offers, and its settings."""

from __future__ import annotations

from balsam_core.plugins import MpiLauncher, NodeSource, PluginSettings, Scheduler, hookimpl
from balsam_flux.mpi import FluxRun
from balsam_flux.nodes import FluxNodes
from balsam_flux.scheduler import Flux


class FluxSettings(PluginSettings):
    """[flux]: attributes: further `--setattr` words of every batch job."""

    attributes: tuple[str, ...] = ()


@hookimpl
def balsam_settings() -> type[FluxSettings]:
    return FluxSettings


@hookimpl
def balsam_schedulers(settings: FluxSettings) -> list[Scheduler]:
    return [Flux(settings.attributes)]


@hookimpl
def balsam_mpi_launchers() -> list[MpiLauncher]:
    return [FluxRun()]


@hookimpl
def balsam_node_sources() -> list[NodeSource]:
    return [FluxNodes()]
