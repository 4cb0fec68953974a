"""Serves the pages on loopback until it is stopped."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import closing

import uvicorn

from balsam_core.dashboard.access import Keys, scrape_key
from balsam_core.dashboard.app import dashboard
from balsam_core.dashboard.looking import Looker
from balsam_core.errors import ConfigError
from balsam_core.opening import site_database

_HOST = "127.0.0.1"
# A browser that listens for changes never hangs up by itself.
_END_SECONDS = 1


def serve(looker: Looker, port: int, *, allow_actions: bool, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `say` gets each link. port 0: any free one. Raises ConfigError: it is taken."""
    with _listening(port) as listener, closing(site_database(looker.site)) as watched:
        address = f"http://{_HOST}:{listener.getsockname()[1]}"

        def tell(token: str) -> None:
            say(f"{address}/?token={token}")

        keys = Keys(scrape_key(looker.site.path / f"dashboard-{os.getuid()}.key"), tell)
        app = dashboard(looker, keys, watched, allow_actions=allow_actions)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=_END_SECONDS
        )
        tell(keys.token)
        uvicorn.Server(config).run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            why = os.strerror(error.errno).lower()
            raise ConfigError(f"cannot serve on port {port}: {why}; without `--port` any free one is taken") from None
        raise
    return listener
