"""What a site shares with a Unix group: folders that hand their group on, and files that its members may write."""

from __future__ import annotations

import contextlib
import grp
import os
import stat
from pathlib import Path

from balsam_core.errors import ConfigError

_SHARED_FOLDER = 0o2770
_SHARED_FILE = 0o660
_GROUP_UMASK = 0o007


def group_id(name: str) -> int:
    """The number of a group that this user is in (root: of any group); raises ConfigError."""
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f"no group {name!r} on this host; `id -Gn` lists yours") from None
    if os.geteuid() != 0 and number not in {os.getegid(), *os.getgroups()}:
        raise ConfigError(f"you are not in the group {name!r}; `id -Gn` lists yours")
    return number


def share_folder(folder: Path, group: int) -> None:
    """Open a folder to the group: what is made in it is the group's, too (setgid); others stay out."""
    os.chown(folder, -1, group)
    folder.chmod(_SHARED_FOLDER)


def share_file(file: Path, group: int, *, writable: bool = False) -> None:
    """Let the group read a file, and write it if `writable`."""
    os.chown(file, -1, group)
    file.chmod(_SHARED_FILE if writable else 0o640)


def follow_sharing(folder: Path) -> None:
    """From now on, what this process and its children make is the group's to write, if `folder` is shared."""
    if _is_shared(folder):
        os.umask(_GROUP_UMASK)


def make_folder(folder: Path, above: Path) -> None:
    """Make a folder with those between it and `above`, shared as that one is: for a program that keeps its umask."""
    above.mkdir(parents=True, exist_ok=True)
    shared = _is_shared(above)
    made = above
    for name in folder.relative_to(above).parts:
        made /= name
        with contextlib.suppress(FileExistsError):
            made.mkdir()
            if shared:
                made.chmod(_SHARED_FOLDER)


def share_as(above: Path, file: Path) -> None:
    """Let the group write a file, if `above` is shared."""
    if _is_shared(above):
        file.chmod(_SHARED_FILE)


def _is_shared(folder: Path) -> bool:
    wanted = stat.S_ISGID | stat.S_IWGRP
    return folder.stat().st_mode & wanted == wanted
