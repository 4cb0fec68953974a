"""Home folders: `~` in paths that users write, and this user's own, where one is known at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def expanded(path: Path | str) -> Path:
    """The path with the home that `~` or `~user` stands for; as in a shell, it stays as it is when there is none."""
    # pathlib's expanduser raises RuntimeError then.
    return Path(os.path.expanduser(path))  # noqa: PTH111


def home(environ: Mapping[str, str]) -> Path | None:
    """This user's home: HOME, else the one of the host's list of users; None, as in some containers: neither is."""
    found = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 as above
    return None if found == "~" else Path(found)
