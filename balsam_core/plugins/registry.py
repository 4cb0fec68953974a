"""Loads the plugins one by one, and picks what they offer by name."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import TYPE_CHECKING, TypeVar

import pluggy

from balsam_core.errors import ConfigError, PluginError, suggestion
from balsam_core.plugins import hookspecs, validation
from balsam_core.plugins.contracts import (
    BatchEvent,
    JobEvent,
    Machine,
    MpiLauncher,
    NodeSource,
    Scheduler,
)
from balsam_core.plugins.guarding import GuardedScheduler
from balsam_core.plugins.validation import Named

if TYPE_CHECKING:
    from balsam_core.settings import Settings

ENTRY_POINT_GROUP = "balsam.plugins"
HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("balsam_"))

_log = logging.getLogger(__name__)
_Offer = TypeVar("_Offer", bound=Named)


@dataclass(frozen=True)
class PluginInfo:
    """A plugin as `balsam plugin ls` shows it.

    name: its entry point, and its section [plugins.NAME]. module: the entry point's target. roles: kind -> names, for
    the kinds scheduler, MPI launcher, node source, machine, and observer (job events, batch events).
    error: the traceback of a plugin that failed and takes no part; None: it works.
    """

    name: str
    distribution: str | None
    version: str | None
    module: str
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    error: str | None = None

    @property
    def error_summary(self) -> str | None:
        """The last line of the traceback."""
        return self.error.strip().splitlines()[-1] if self.error else None

    def __str__(self) -> str:
        return f"{self.name!r} ({self.distribution or self.module})"


class Registry:
    """The plugins of one process: what they offer, by name; `load_registry` builds one.

    Asking for a name that nobody or more than one plugin offers raises PluginError.
    """

    def __init__(self, plugins: Sequence[_Plugin]) -> None:
        self._plugins = plugins

    def plugins(self) -> list[PluginInfo]:
        """All plugins by name, broken ones too."""
        return sorted((plugin.info for plugin in self._plugins), key=lambda info: (info.name, info.module))

    def scheduler(self, name: str) -> Scheduler:
        """The scheduler of that name, guarded."""
        return GuardedScheduler(
            self._pick("scheduler", name, [(p.info, o) for p in self._plugins for o in p.schedulers])
        )

    def schedulers(self) -> list[Scheduler]:
        """All schedulers by name, as their plugins offer them."""
        offers = [scheduler for plugin in self._plugins for scheduler in plugin.schedulers]
        return sorted(offers, key=lambda scheduler: scheduler.name)

    def mpi_launcher(self, name: str) -> MpiLauncher:
        """The MPI launcher of that name."""
        return self._pick("MPI launcher", name, [(p.info, o) for p in self._plugins for o in p.mpi_launchers])

    def node_source(self, name: str) -> NodeSource:
        """The node source of that name."""
        return self._pick("node source", name, [(p.info, o) for p in self._plugins for o in p.node_sources])

    def node_sources(self) -> list[NodeSource]:
        """All node sources in the order in which `auto` asks them: by name, fallbacks last."""
        sources = [source for plugin in self._plugins for source in plugin.node_sources]
        return sorted(sources, key=lambda source: (source.is_fallback, source.name))

    def machine(self, name: str) -> Machine:
        """The machine preset of that name."""
        return self._pick("machine", name, [(p.info, o) for p in self._plugins for o in p.machines])

    def machines(self) -> list[Machine]:
        """All machine presets by name."""
        offers = [machine for plugin in self._plugins for machine in plugin.machines]
        return sorted(offers, key=lambda machine: machine.name)

    @property
    def has_job_observers(self) -> bool:
        """Whether any plugin wants to hear of moves; without one nobody need build the events."""
        return any(_implements(plugin.manager, "balsam_job_events") for plugin in self._plugins)

    def notify_job_events(self, events: Sequence[JobEvent]) -> None:
        """Tells every observer; one that fails is logged and stops nobody."""
        self._notify("balsam_job_events", events)

    def notify_batch_events(self, events: Sequence[BatchEvent]) -> None:
        """Tells every observer; one that fails is logged and stops nobody."""
        self._notify("balsam_batch_events", events)

    def _notify(self, hook: str, events: Sequence[object]) -> None:
        for plugin in self._plugins:
            try:
                getattr(plugin.manager.hook, hook)(events=events, settings=plugin.section)
            except Exception:  # an observer is a stranger's code, and pluggy stops at the first exception
                _log.exception("plugin %s: %s failed", plugin.info, hook)

    def _pick(self, kind: str, name: str, offers: Sequence[tuple[PluginInfo, _Offer]]) -> _Offer:
        found = [(info, offer) for info, offer in offers if offer.name == name]
        if len(found) == 1:
            return found[0][1]
        if found:
            owners = " and ".join(str(info) for info, _ in found)
            raise PluginError(f"{kind} {name!r} is offered by two plugins: {owners}; uninstall one of them")
        installed = ", ".join(sorted({offer.name for _, offer in offers})) or "none"
        raise PluginError(f"no {kind} named {name!r}; installed: {installed}{self._failures()}")

    def _failures(self) -> str:
        return "".join(
            f"; plugin {info} failed: {info.error_summary}" for info in self.plugins() if info.error is not None
        )


@dataclass(frozen=True)
class _Plugin:
    info: PluginInfo
    manager: pluggy.PluginManager
    schedulers: tuple[Scheduler, ...] = ()
    mpi_launchers: tuple[MpiLauncher, ...] = ()
    node_sources: tuple[NodeSource, ...] = ()
    machines: tuple[Machine, ...] = ()
    section: object = None


def load_registry(
    settings: Settings | None = None, entry_points: Iterable[metadata.EntryPoint] | None = None
) -> Registry:
    """Loads every installed plugin, or those of `entry_points`; a broken one is recorded and logged, never raised.

    settings: where plugins find their sections; None: every plugin gets its defaults. A section that is wrong, or
    that belongs to no plugin, raises ConfigError: that is the site's fault and not the plugin's.
    """
    if entry_points is None:
        entry_points = metadata.entry_points(group=ENTRY_POINT_GROUP)
    # The root distribution and a plugin installed alone name the same target; that is one plugin.
    unique = {(entry_point.name, entry_point.value): entry_point for entry_point in reversed([*entry_points])}
    if settings is not None:
        _refuse_sections_of_nobody(settings, {name for name, _ in unique})
    return Registry([_load(unique[key], settings) for key in sorted(unique)])


def _refuse_sections_of_nobody(settings: Settings, installed: set[str]) -> None:
    for name in settings.plugins:
        if name not in installed:
            hint = suggestion(name, installed)
            raise ConfigError(f"{settings.where('plugins', name)}: no plugin named {name!r} is installed; {hint}")


def _load(entry_point: metadata.EntryPoint, settings: Settings | None) -> _Plugin:
    distribution = entry_point.dist
    info = PluginInfo(
        name=entry_point.name,
        distribution=distribution.name if distribution else None,
        version=distribution.version if distribution else None,
        module=entry_point.value,
    )
    try:
        return _ask(info, _register(entry_point), settings)
    except ConfigError:
        raise
    except (Exception, SystemExit):  # a plugin is a stranger's code: whatever it raises must not break a command
        failed = replace(info, error=traceback.format_exc())
        _log.warning("plugin %s takes no part: %s", failed, failed.error_summary)
        return _Plugin(failed, pluggy.PluginManager("balsam"))


def _register(entry_point: metadata.EntryPoint) -> pluggy.PluginManager:
    """A manager of this plugin alone: no plugin sees, or stops, another one's hooks."""
    manager = pluggy.PluginManager("balsam")
    manager.add_hookspecs(hookspecs)
    module = entry_point.load()
    manager.register(module, entry_point.name)
    manager.check_pending()
    for hook in HOOKS:
        if callable(getattr(module, hook, None)) and not _implements(manager, hook):
            raise PluginError(f"{entry_point.value} defines {hook} without @hookimpl")
    if not any(_implements(manager, hook) for hook in HOOKS):
        # Seen with an editable installation older than the package's __init__.py: Python makes up an empty package.
        raise PluginError(f"{entry_point.value} implements no hook; install it again")
    return manager


def _ask(info: PluginInfo, manager: pluggy.PluginManager, settings: Settings | None) -> _Plugin:
    section = _section(info.name, manager, settings)
    schedulers = validation.checked(*_call(manager, "balsam_schedulers", section), validation.scheduler)
    mpi_launchers = validation.checked(*_call(manager, "balsam_mpi_launchers", section), validation.mpi_launcher)
    node_sources = validation.checked(*_call(manager, "balsam_node_sources", section), validation.node_source)
    machines = validation.checked(*_call(manager, "balsam_machines", section), validation.machine)
    roles = {
        "scheduler": _names(schedulers),
        "MPI launcher": _names(mpi_launchers),
        "node source": _names(node_sources),
        "machine": _names(machines),
        "observer": tuple(
            hook.removeprefix("balsam_").replace("_", " ")
            for hook in ("balsam_job_events", "balsam_batch_events")
            if _implements(manager, hook)
        ),
    }
    info = replace(info, roles={kind: names for kind, names in roles.items() if names})
    return _Plugin(info, manager, schedulers, mpi_launchers, node_sources, machines, section)


def _section(name: str, manager: pluggy.PluginManager, settings: Settings | None) -> object:
    """The plugin's own settings, validated by its own model; None: it has no model."""
    if not _implements(manager, "balsam_settings"):
        if settings is not None and name in settings.plugins:
            raise ConfigError(f"{settings.where('plugins', name)}: the plugin {name!r} has no settings; remove them")
        return None
    from pydantic import BaseModel

    model = manager.hook.balsam_settings()[0]
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise PluginError(f"balsam_settings returned {model!r}, not a pydantic model")
    return model() if settings is None else settings.plugin(name, model)


def _call(manager: pluggy.PluginManager, hook: str, section: object) -> tuple[str, object]:
    if not _implements(manager, hook):
        return hook, ()
    results = getattr(manager.hook, hook)(settings=section)
    # pluggy leaves out an answer of None.
    return hook, results[0] if results else None


def _implements(manager: pluggy.PluginManager, hook: str) -> bool:
    return bool(getattr(manager.hook, hook).get_hookimpls()) if hasattr(manager.hook, hook) else False


def _names(offers: Iterable[Named]) -> tuple[str, ...]:
    return tuple(offer.name for offer in offers)
