"""The allocation in which this program runs, and the plugins that know it; asked for once, and only when needed."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from balsam.core.site import current_site, require_site

if TYPE_CHECKING:
    from balsam_core.models.nodes import Allocation
    from balsam_core.plugins.registry import Registry

require_site()


@cache
def registry() -> Registry:
    """The plugins; raises ConfigError."""
    from balsam_core.plugins.registry import load_registry

    return load_registry(current_site().settings)


@cache
def allocation() -> Allocation:
    """The nodes of the batch job, or of this host; raises LaunchError, PluginError."""
    from balsam_core.commands import HostProbe
    from balsam_core.plugins.discovery import discover

    return discover(registry(), current_site().settings.nodes.source, HostProbe(os.environ))
