"""balsam clean: frees the disk of the files of jobs that have ended."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from balsam_core.cli.options import command, yes_option
from balsam_core.cli.selection import filter_options, selection

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def _seconds(_ctx: click.Context, _option: click.Parameter, value: str | None) -> float:
    if value is None:
        return 0.0
    found = _AGE.fullmatch(value.strip())
    if not found:
        raise click.BadParameter(f"{value!r} is not a length of time such as 30m, 12h, 7d, 2w")
    return float(found.group(1)) * _SECONDS[found.group(2)]


@command("clean")
@filter_options
@click.option("--older-than", callback=_seconds, metavar="AGE", help="only jobs that ended so long ago: 12h, 7d")
@click.option(
    "--archive",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="first pack the files into this new tar file (.tar, .tar.gz)",
)
@yes_option
def clean(older_than: float, archive: Path | None, yes: bool, **filters: Any) -> None:
    """Delete the files of jobs that are JOB_FINISHED (or --state FAILED, USER_KILLED); the jobs stay."""
    from balsam_core.cli import cleaning
    from balsam_core.cli.context import opened

    with opened() as here:
        cleaning.clean(here, selection(**filters), older_than_seconds=older_than, archive=archive, yes=yes)
