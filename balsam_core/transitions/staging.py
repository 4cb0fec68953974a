"""Brings files into a job's working directory before it runs, and takes results out after it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol
from uuid import UUID

from balsam_core.transitions.copying import copy, is_ours
from balsam_core.transitions.persistence import DEFAULT_LIMITS, Limits, Say
from balsam_core.transitions.remote import FsspecMover
from balsam_core.transitions.ssh import SshMover
from balsam_core.transitions.urls import StagingError, TransferError, Way, local_path, secrets_of, shown, way_of


class Mover(Protocol):
    """One way of moving files from or to one URL."""

    def fetch(self, target: Path) -> None:
        """Copy what the URL names (a file, a folder, or a pattern of them) into the folder `target`.

        Each file is there as a whole or not at all. Raises TransferError when nothing is there, OSError.
        """

    def deliver(self, found: Sequence[Path]) -> None:
        """Copy files and folders of this host into the folder that the URL names, which is made if need be.

        As `fetch`, each file as a whole. Raises TransferError, OSError.
        """


def mover(url: str, limits: Limits, say: Say) -> Mover:
    """The way for a URL, from the table of all ways; raises StagingError."""
    return _MOVERS[way_of(url)](url, limits, say)


def stage_in(
    workdir: Path,
    *,
    url: str,
    patterns: str,
    parents: Mapping[UUID, Path],
    limits: Limits = DEFAULT_LIMITS,
    say: Say = lambda _: None,
) -> None:
    """Make the working directory, copy what `url` names into it, and link in files of the parents' directories.

    patterns: shell patterns, separated by blanks, of the parents' files. A name already taken gets the suffix
    `_<first 8 of the parent's id>`. Doing it again changes nothing. say: is told how it goes. Raises StagingError.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if url:
            mover(url, limits, say).fetch(workdir)
        for parent_id, folder in parents.items():
            # Jobs may share a folder that the user chose: nothing is to be linked then.
            if folder.resolve() != workdir.resolve():
                _link_files(folder, patterns.split(), workdir, suffix=f"_{str(parent_id)[:8]}")
    except (OSError, TransferError) as error:
        raise StagingError(shown(f"stage in failed: {_reason(error)}", secrets_of(url))) from error


def stage_out(
    workdir: Path, *, url: str, patterns: str, limits: Limits = DEFAULT_LIMITS, say: Say = lambda _: None
) -> int:
    """Copy the files of the working directory that match `patterns` to `url`; how many. Raises StagingError."""
    found = dict.fromkeys(path for pattern in patterns.split() for path in _matches(workdir, pattern))
    way = mover(url, limits, say)
    try:
        way.deliver(list(found))
    except (OSError, TransferError) as error:
        raise StagingError(shown(f"stage out to {url} failed: {_reason(error)}", secrets_of(url))) from error
    return len(found)


class LocalMover:
    """Copies within the file systems of this host; a copy that fails is not tried again."""

    def __init__(self, url: str, limits: Limits, say: Say) -> None:
        self._url = url
        self._path = local_path(url)

    def fetch(self, target: Path) -> None:
        """See `Mover`."""
        # A path that is there is meant as it stands, brackets and all.
        found = [self._path] if self._path.exists() else _glob(Path("/"), str(self._path).lstrip("/"))
        if not found or not self._path.name:
            raise TransferError(f"nothing is at {self._url}")
        for path in found:
            copy(path, target / path.name)

    def deliver(self, found: Sequence[Path]) -> None:
        """See `Mover`."""
        self._path.mkdir(parents=True, exist_ok=True)
        for path in found:
            if path != self._path:  # results may go to a folder beside them
                copy(path, self._path / path.name)


_MOVERS: Mapping[Way, Callable[[str, Limits, Say], Mover]] = {
    Way.LOCAL: LocalMover,
    Way.SSH: SshMover,
    Way.FSSPEC: FsspecMover,
}


def _link_files(folder: Path, patterns: list[str], workdir: Path, *, suffix: str) -> None:
    for pattern in patterns:
        for source in _matches(folder, pattern):
            name = workdir / source.name
            if _is_link_to(name, source) or _is_link_to(workdir / (source.name + suffix), source):
                continue
            if os.path.lexists(name):
                name = workdir / (source.name + suffix)
            if not os.path.lexists(name):
                name.symlink_to(source)


def _is_link_to(name: Path, source: Path) -> bool:
    return name.is_symlink() and name.readlink() == source


def _matches(folder: Path, pattern: str) -> list[Path]:
    if pattern.startswith("/") or ".." in Path(pattern).parts:
        raise StagingError(f"the pattern {pattern!r} leads out of the working directory; name files inside it")
    return [path for path in _glob(folder, pattern) if not is_ours(path.name)]


def _glob(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in folder.glob(pattern) if _is_meant(path.relative_to(folder), pattern))
    except ValueError as error:
        raise StagingError(f"the pattern {pattern!r} cannot be used: {str(error).lower()}") from error


def _is_meant(found: Path, pattern: str) -> bool:
    """As for a shell, and unlike for pathlib: `*` leaves out hidden files, the `.nfs...` of deleted ones among them."""
    dotted = [part for part in Path(pattern).parts if part.startswith(".")]
    hidden = [part for part in found.parts if part.startswith(".")]
    return all(any(fnmatchcase(part, one) for one in dotted) for part in hidden)


def _reason(error: OSError | TransferError) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror or error}: {error.filename}"
    return str(error)
