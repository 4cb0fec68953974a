"""Applications as commands give them, whose paths are made absolute, and as commands choose them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
from pydantic import ValidationError

from balsam_core.cli.selection import Chosen
from balsam_core.errors import JobSpecError
from balsam_core.homes import expanded
from balsam_core.models.app import AppSpec, resolved_command
from balsam_core.models.wording import reasons
from balsam_core.programs import COMMANDS
from balsam_core.state.store import Store


def app_spec(fields: Mapping[str, str], folder: Path) -> AppSpec:
    """The application that these fields make, with paths from `folder`. Raises JobSpecError."""
    try:
        return AppSpec.model_validate({name: resolved_field(name, text, folder) for name, text in fields.items()})
    except ValidationError as error:
        raise JobSpecError(reasons(error)) from None


def chosen_apps(store: Store, chosen: Chosen) -> list[AppSpec]:
    """The applications whose name holds what was given, or whose id begins so; a usage error for what jobs have."""
    if chosen.workflow or chosen.states or chosen.tags:
        raise click.UsageError("apps are chosen by --name and --id")
    parts = [part.replace("-", "").lower() for part in chosen.ids]
    return [app for app in store.apps(chosen.name) if not parts or app.app_id.hex.startswith(tuple(parts))]


def resolved_field(name: str, text: str, folder: Path) -> str:
    """A field of an application, as it is stored: files are absolute, `.py` files run with this Python."""
    if not text.strip():
        return text
    if name in COMMANDS:
        return resolved_command(text, folder)
    if name == "envscript":
        return str(folder / expanded(text))
    return text
