"""balsam which: shows the current site, or finds a known one, or the folder of a job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from balsam_core.cli.options import command, json_option

if TYPE_CHECKING:
    from balsam_core.models.listings import SiteLine
    from balsam_core.site import Site


@command("which")
@click.option("--list", "list_all", is_flag=True, help="list the sites that were made here")
@click.option("--name", metavar="NAME", help="print the path of the known site with this name or path, or a part of it")
@click.option("--job", metavar="ID", help="print the working directory of this job; `. bcd ID` goes there")
@click.option("--usage", is_flag=True, help="show what the current site takes of its disk, and what is left there")
@json_option
def which(list_all: bool, name: str | None, job: str | None, usage: bool, as_json: bool) -> None:
    """Show the path of the current site; `--list` shows all known ones."""
    import os

    from balsam_core.cli.context import current_folder
    from balsam_core.cli.output import print_json, print_lines, print_table
    from balsam_core.models.listings import SiteListing
    from balsam_core.site import find_site, is_same, known_sites, remember_site

    if name is not None:
        _show_path(_path_of(name), as_json=as_json)
    elif job is not None:
        print_lines([_folder_of(job)])
    elif list_all:
        lines = _known()
        if as_json:
            print_json(SiteListing(sites=lines))
        elif lines:
            print_table(("name", "path", ""), [(line.name, line.path, _remark(line)) for line in lines])
        else:
            print_lines(["No sites known; make one with `balsam init PATH`"])
    elif usage:
        _show_usage(find_site(os.environ, current_folder()), as_json=as_json)
    else:
        path = find_site(os.environ, current_folder()).path
        if not any(is_same(path, known) for known in known_sites()):
            # It was moved here, or made by somebody else.
            remember_site(path)
        _show_path(path, as_json=as_json)


def _show_path(path: Path, *, as_json: bool) -> None:
    from balsam_core.cli.output import print_json, print_lines
    from balsam_core.models.listings import SiteListing

    if as_json:
        print_json(SiteListing(sites=_lines([path])))
    else:
        print_lines([str(path)])


def _show_usage(site: Site, *, as_json: bool) -> None:
    from balsam_core.cli.output import print_json, print_table, tell, warn
    from balsam_core.disk import room
    from balsam_core.job_files import measure, readable
    from balsam_core.models.listings import UsageLine, UsageListing

    whole = measure(site.path)
    parts = {"job folders": site.data, "logs": site.log, "batch scripts": site.qsubmit}
    held = {name: (path, measure(path)) for name, path in parts.items()}
    lines = [
        UsageLine(part=name, path=str(path), size=one.size, inodes=one.inodes) for name, (path, one) in held.items()
    ]
    lines.append(UsageLine(part="site", path=str(site.path), size=whole.size, inodes=whole.inodes))
    left = room(site.data)
    if as_json:
        free = {} if left is None else {"free_size": left.size, "free_inodes": left.inodes}
        print_json(UsageListing(parts=lines, **free))
    else:
        rows = [(line.part, readable(line.size), line.inodes, line.path) for line in lines]
        print_table(("part", "disk", "inodes", "path"), rows)
    if left is not None:
        inodes = "" if left.inodes is None else f" and {left.inodes} inodes"
        tell(f"{readable(left.size)}{inodes} are left on the disk of the job folders")
        shortage = left.shortage(site.data, site.settings.site.min_free_mb)
        if shortage:
            warn(shortage)


def _known() -> list[SiteLine]:
    from balsam_core.site import known_sites

    return _lines(known_sites())


def _lines(paths: Sequence[Path]) -> list[SiteLine]:
    import os

    from balsam_core.cli.context import current_folder
    from balsam_core.errors import SiteNotFound
    from balsam_core.models.listings import SiteLine
    from balsam_core.site import find_site, is_same, is_site

    try:
        active = find_site(os.environ, current_folder()).path
    except SiteNotFound:
        active = None
    return [
        SiteLine(
            name=path.name,
            path=str(path),
            exists=is_site(path),
            active=active is not None and is_same(path, active),
        )
        for path in paths
    ]


def _path_of(name: str) -> Path:
    """The path of a site, given as a path, or by the name or a part of the path of a known one. Raises SiteNotFound."""
    from balsam_core.cli.context import current_folder
    from balsam_core.errors import SiteNotFound, suggestion
    from balsam_core.homes import expanded
    from balsam_core.site import is_site

    folder = current_folder() / expanded(name)
    if is_site(folder):
        return folder.resolve()
    known = [line for line in _known() if line.exists]
    named = [line.path for line in known if line.name == name]
    if not named and folder.exists():
        raise SiteNotFound(f"{folder} is not a site; make it one with `balsam init {folder}`")
    found = named or [line.path for line in known if name in line.path]
    if len(found) == 1:
        return Path(found[0])
    if found:
        raise SiteNotFound(f"several sites are named {name!r}: {', '.join(found)}; give the path")
    hint = suggestion(name, {line.name for line in known})
    raise SiteNotFound(f"no site named {name!r}, and no such folder; {hint}; `balsam which --list` lists the sites")


def _folder_of(part: str) -> str:
    from balsam_core.cli.context import opened
    from balsam_core.workdirs import Workdirs

    with opened() as here:
        return str(Workdirs(here.site.data).of(here.store.find_job(part)))


def _remark(line: SiteLine) -> str:
    if not line.exists:
        return "gone"
    return "current" if line.active else ""
