"""Copies files and folders of one host, each file whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

LOG = "staging.log"
PART = ".part-"
# The copies that this process is writing: what ends it at once removes them first.
_open: set[Path] = set()


def is_ours(name: str) -> bool:
    """Whether a file is a part of a copy or the log of a job's staging: neither is ever staged."""
    return name == LOG or name.startswith(PART)


def part_name() -> str:
    """A name for a copy that is not whole yet; nobody else has it."""
    return f"{PART}{uuid4().hex[:12]}"


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to: at the end it gets that name, and after an error it is gone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(part_name())
    _open.add(part)
    try:
        yield part
        part.replace(target)
    finally:
        _remove(part)


def remove_parts() -> None:
    """Remove what this process has copied in part; for a process that is about to end."""
    for part in list(_open):
        _remove(part)


def copy(source: Path, target: Path) -> None:
    """Copy a file, or a folder into what is there already; a link in a folder stays a link. Raises OSError."""
    if not source.is_dir():
        with whole(target) as part:
            shutil.copy2(source, part)
        return
    if source.resolve() in target.resolve().parents:
        raise OSError(errno.EINVAL, "cannot copy a folder into itself", str(source))
    target.mkdir(parents=True, exist_ok=True)
    _make_writable(target)
    for one in sorted(source.iterdir()):
        if one.is_symlink():
            with whole(target / one.name) as part:
                part.symlink_to(one.readlink())
        elif not one.name.startswith(PART):
            copy(one, target / one.name)
    shutil.copystat(source, target)


def move(source: Path, target: Path) -> None:
    """Move a file, or a folder into what is there already, on one file system. Raises OSError."""
    if source.is_symlink() or not source.is_dir():
        source.replace(target)
        return
    target.mkdir(exist_ok=True)
    _make_writable(source)
    for one in sorted(source.iterdir()):
        move(one, target / one.name)


def files_below(path: Path) -> Iterator[tuple[Path, str]]:
    """Each file of a file or folder, with its name from where the path lies; links are followed, but not back."""
    if not path.is_dir():
        yield path, path.name
        return
    for folder, folders, files in os.walk(path, followlinks=True):
        below = (name for name in folders if not name.startswith(PART))
        folders[:] = sorted(name for name in below if not _leads_back(Path(folder, name), path))
        for name in sorted(files):
            if not name.startswith(PART):
                file = Path(folder, name)
                yield file, str(file.relative_to(path.parent))


def _leads_back(link: Path, top: Path) -> bool:
    """Whether it is a link to one of the folders, from `top` on, through which it was reached."""
    if not link.is_symlink():
        return False
    through = [folder for folder in link.parents if folder.is_relative_to(top)]
    return any(link.samefile(folder) for folder in through)


def _make_writable(folder: Path) -> None:
    """A folder that is copied with its rights may forbid what is still to be done in it."""
    if not os.access(folder, os.W_OK | os.X_OK):
        folder.chmod(0o700)


def _remove(part: Path) -> None:
    with suppress(OSError):
        part.unlink(missing_ok=True)
    _open.discard(part)
