"""Asks the node sources which nodes a launcher may use."""

from __future__ import annotations

from balsam_core.errors import BalsamError, LaunchError, PluginError
from balsam_core.plugins.contracts import Allocation, Node, NodeSource, Probe
from balsam_core.plugins.registry import Registry

AUTO = "auto"


def discover(registry: Registry, source: str, probe: Probe) -> Allocation:
    """The allocation that the node source `source` finds; `auto`: the first of all that finds one, fallbacks last.

    Raises LaunchError when there is none, PluginError when there is no such source or it breaks its contract.
    """
    sources = registry.node_sources() if source == AUTO else [registry.node_source(source)]
    for candidate in sources:
        allocation = _asked(candidate, probe)
        if allocation is not None:
            return _checked(candidate, allocation)
    if source == AUTO:
        asked = ", ".join(candidate.name for candidate in sources) or "none is installed"
        raise LaunchError(f"no node source finds nodes here; asked: {asked}")
    raise LaunchError(
        f"node source {source!r} finds no nodes here; start the launcher inside a batch job, or use --node-source auto"
    )


def _asked(source: NodeSource, probe: Probe) -> object:
    """Its answer; one that fails may be this machine's, so that none of the others is asked in its place."""
    try:
        return source.discover(probe)
    except BalsamError:
        raise
    except Exception as error:  # a plugin is a stranger's code
        raise PluginError(
            f"node source {source.name!r} failed: {type(error).__name__}: {error}; "
            "tell its author, or name another one by --node-source"
        ) from error


def _checked(source: NodeSource, allocation: object) -> Allocation:
    if not isinstance(allocation, Allocation):
        raise PluginError(f"node source {source.name!r} returned {allocation!r}, not an Allocation")
    if not allocation.nodes or not all(isinstance(node, Node) for node in allocation.nodes):
        raise PluginError(f"node source {source.name!r} returned an allocation without nodes: {allocation!r}")
    ids = [node.id for node in allocation.nodes]
    if len(set(ids)) < len(ids):
        raise PluginError(f"node source {source.name!r} returned a node twice: {', '.join(ids)}")
    return allocation
