"""Serves the current site to browsers."""

from __future__ import annotations

import os

from balsam_core.cli.context import Opened
from balsam_core.cli.output import print_lines, tell
from balsam_core.errors import ConfigError
from balsam_core.state.hosts import machine_id


def serve_site(here: Opened, port: int, *, allow_actions: bool) -> None:
    """Serve until stopped; each link is a line on standard output. Raises ConfigError."""
    try:
        from balsam_core.dashboard.looking import Looker
        from balsam_core.dashboard.server import serve
    except ModuleNotFoundError as error:
        if error.name not in {"starlette", "uvicorn", "anyio"}:
            raise
        raise ConfigError(
            f"the dashboard needs {error.name}, which is not installed; "
            "install it with `pip install 'balsam-core[dashboard]'`"
        ) from None
    looker = Looker(here.site, here.store, machine_id(os.environ))
    tell("each link works once, the next one is printed when it was used; Ctrl-C ends")
    serve(looker, port, allow_actions=allow_actions, say=lambda link: print_lines([link]))
