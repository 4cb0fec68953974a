"""balsam plugin: lists the installed plugins, and shows why one failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from balsam_core.cli.group import Group
from balsam_core.cli.options import command, json_option

if TYPE_CHECKING:
    from balsam_core.models.listings import PluginLine
    from balsam_core.settings import Settings


@click.group("plugin", cls=Group)
def plugin() -> None:
    """List the installed plugins, and what they offer."""


@command("ls")
@json_option
def ls(as_json: bool) -> None:
    """List the plugins with their distribution, version and roles."""
    from balsam_core.cli.output import print_json, print_lines, print_table
    from balsam_core.models.listings import PluginListing

    lines = _lines()
    if as_json:
        print_json(PluginListing(plugins=lines))
    elif lines:
        columns = ("plugin", "distribution", "version", "roles")
        print_table(columns, [(line.name, line.distribution, line.version, _roles(line)) for line in lines])
    else:
        print_lines(["No plugins installed"])


@command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one plugin; of one that failed to load, the traceback."""
    from balsam_core.cli.output import print_json, print_lines
    from balsam_core.errors import PluginError, suggestion
    from balsam_core.models.listings import PluginListing

    lines = _lines()
    found = [line for line in lines if line.name == name]
    if not found:
        raise PluginError(f"no plugin named {name!r}; {suggestion(name, {line.name for line in lines})}")
    if as_json:
        print_json(PluginListing(plugins=found))
        return
    for line in found:
        print_lines(_described(line))


@command("check")
@click.argument("name")
@click.option("--live", is_flag=True, help="ask the schedulers for their status, too: one harmless command each")
def check(name: str, live: bool) -> None:
    """Test what the plugin NAME offers against the contracts; exit code 1 when something breaks one."""
    from balsam_core.cli.checking import check_plugin
    from balsam_core.cli.output import print_lines
    from balsam_core.counting import counted

    findings = check_plugin(name, _settings(), live=live)
    print_lines(f"{'FAILED' if one.problem else 'ok':>6}  {one.subject}: {one.test}" for one in findings)
    broken = [one for one in findings if one.problem]
    print_lines(["", *(f"{one.subject}: {one.test}: {one.problem}" for one in broken)] if broken else [])
    print_lines([f"{counted(len(findings), 'test')}, {len(broken)} failed"])
    if broken:
        click.get_current_context().exit(1)


def _lines() -> list[PluginLine]:
    from balsam_core.models.listings import PluginLine
    from balsam_core.plugins.registry import load_registry

    return [
        PluginLine(
            name=info.name,
            distribution=info.distribution,
            version=info.version,
            module=info.module,
            roles=dict(info.roles),
            error=info.error,
        )
        for info in load_registry(_settings()).plugins()
    ]


def _settings() -> Settings | None:
    """The settings of the current site, if there is one: plugins are listed without a site, too."""
    import os

    from balsam_core.cli.context import current_folder
    from balsam_core.errors import SiteNotFound
    from balsam_core.site import find_site

    try:
        return find_site(os.environ, current_folder()).settings
    except SiteNotFound:
        return None


def _roles(line: PluginLine) -> str:
    if line.error is not None:
        return f"failed to load: see `balsam plugin show {line.name}`"
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in line.roles.items())


def _described(line: PluginLine) -> list[str]:
    facts = {"plugin": line.name, "distribution": line.distribution, "version": line.version, "module": line.module}
    shown = [f"{key:>12}: {value or 'unknown'}" for key, value in facts.items()]
    shown += [f"{kind:>12}: {', '.join(names)}" for kind, names in line.roles.items()]
    return shown if line.error is None else [*shown, "It failed to load:", line.error.rstrip()]


plugin.add_command(ls)
plugin.add_command(show)
plugin.add_command(check)
