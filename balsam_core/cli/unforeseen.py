"""Keeps the traceback of an error that nobody foresaw, for whoever mends it."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from pathlib import Path

from balsam_core import logs
from balsam_core.cli.context import current_folder
from balsam_core.errors import BalsamError
from balsam_core.site import find_site


def told(error: Exception) -> str:
    """The error in one line that says where its traceback is."""
    words = " ".join(str(error).split())
    what = f"{type(error).__name__}: {words}" if words else type(error).__name__
    kept = _keep(error)
    where = f"with {kept}" if kept else "with what `balsam --debug ...` shows"
    return f"unforeseen {what[:500]}; this is a bug, please report it {where}"


def _keep(error: Exception) -> Path | None:
    """The file that has the traceback; None: there is no room for one."""
    try:
        folder = _folder()
        logs.remove_old(folder, "error-*.log")
        file = folder / f"error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        file.touch(mode=0o600)
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None
    return file


def _folder() -> Path:
    """The log folder of the current site; else a new folder for temporary files."""
    try:
        folder = find_site(os.environ, current_folder()).log
    except BalsamError:
        return Path(tempfile.mkdtemp(prefix="balsam-"))
    return folder if os.access(folder, os.W_OK) else Path(tempfile.mkdtemp(prefix="balsam-"))
