"""The folders of jobs on disk: how much they hold, how they are packed into an archive, how they are deleted."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balsam_core.errors import ConfigError

# st_blocks is in these, whatever the file system: see stat(2).
_BLOCK_BYTES = 512


@dataclass(frozen=True)
class Held:
    """How many inodes (files, folders, links) and bytes on disk something takes."""

    inodes: int = 0
    size: int = 0

    def __add__(self, other: Held) -> Held:
        return Held(self.inodes + other.inodes, self.size + other.size)

    def __str__(self) -> str:
        return f"{readable(self.size)} in {self.inodes} inodes"


def measure(path: Path) -> Held:
    """What a file, or a folder and all in it, takes; links are not followed, what is missing takes nothing."""
    inodes = size = 0
    waiting = [str(path)]
    while waiting:
        name = waiting.pop()
        try:
            found = os.lstat(name)
            inodes, size = inodes + 1, size + found.st_blocks * _BLOCK_BYTES
            if stat.S_ISDIR(found.st_mode):
                waiting += [entry.path for entry in os.scandir(name)]
        except OSError:
            # Gone by now, or not to be looked into.
            continue
    return Held(inodes, size)


def readable(size: float) -> str:
    """`512 B`, `1.5 kB`, `2.0 GB`: in steps of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def inside(data: Path, folders: Iterable[str], refused: Callable[[str], None]) -> Iterator[Path]:
    """The folders of jobs that are there; one that does not lie in the data folder is the user's, and is refused."""
    root = data.resolve()
    for folder in folders:
        path = data / folder
        if root not in path.resolve().parents:
            refused(f"left {path} alone: it does not lie in {root}")
        elif path.is_dir():
            yield path


def delete(folders: Iterable[Path], failed: Callable[[str], None]) -> None:
    """Delete folders; what cannot be deleted is told, and the rest goes on."""

    def tell(_function: Any, path: str, failure: Any) -> None:
        error = failure[1]
        if not isinstance(error, FileNotFoundError):
            failed(f"cannot delete {path}: {getattr(error, 'strerror', error)}")

    for folder in folders:
        shutil.rmtree(folder, onerror=tell)


def pack(data: Path, folders: Iterable[Path], archive: Path) -> None:
    """Write folders into a new tar file, named as in the data folder; it is whole or it is not there.

    A name that ends in gz, bz2 or xz is compressed. Raises ConfigError.
    """
    if archive.exists():
        raise ConfigError(f"{archive} exists; give --archive another name")
    part = archive.with_name(f"{archive.name}.part")
    try:
        with part.open("wb") as stream:
            with tarfile.open(fileobj=stream, mode=f"w|{_compression(archive)}") as tar:  # type: ignore[call-overload]
                for folder in folders:
                    tar.add(folder, arcname=str(folder.relative_to(data)))
            stream.flush()
            os.fsync(stream.fileno())
        part.rename(archive)
    except OSError as error:
        which = f" ({error.filename})" if error.filename not in (None, str(part)) else ""
        raise ConfigError(f"cannot write {archive}: {error.strerror or error}{which}; nothing was deleted") from error
    finally:
        # A whole one has its own name by now; an interrupted one is not to fill the disk.
        part.unlink(missing_ok=True)


def _compression(archive: Path) -> str:
    return {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(archive.suffix, "")
