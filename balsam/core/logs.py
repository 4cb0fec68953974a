"""Log files of programs, in the site's `log` folder, as Balsam 0.5 named them."""

from __future__ import annotations

import logging
import logging.handlers
from datetime import datetime

from balsam.core.site import current_site

_FORMAT = "%(asctime)s|%(process)d|%(levelname)8s|%(name)s:%(lineno)s] %(message)s"


def log_to_file(basename: str, filename: str | None, buffer_capacity: int | None) -> str:
    """Add a handler to the root logger; the path of its file."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H%M%S")
    path = current_site().log / (filename or f"{basename}_{stamp}.log")
    handler: logging.Handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(_FORMAT, datefmt="%d-%b-%Y %H:%M:%S"))
    if buffer_capacity:
        handler = logging.handlers.MemoryHandler(buffer_capacity, target=handler)
    root = logging.getLogger()
    root.addHandler(handler)
    if root.level == logging.WARNING:
        root.setLevel(logging.INFO)
    return str(path)
