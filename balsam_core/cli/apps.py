"""Applications as commands give them: paths are made absolute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from balsam_core.errors import JobSpecError
from balsam_core.homes import expanded
from balsam_core.models.app import AppSpec, resolved_command
from balsam_core.models.wording import reasons
from balsam_core.programs import COMMANDS


def app_spec(fields: Mapping[str, str], folder: Path) -> AppSpec:
    """The application that these fields make, with paths from `folder`. Raises JobSpecError."""
    try:
        return AppSpec.model_validate({name: resolved_field(name, text, folder) for name, text in fields.items()})
    except ValidationError as error:
        raise JobSpecError(reasons(error)) from None


def resolved_field(name: str, text: str, folder: Path) -> str:
    """A field of an application, as it is stored: files are absolute, `.py` files run with this Python."""
    if not text.strip():
        return text
    if name in COMMANDS:
        return resolved_command(text, folder)
    if name == "envscript":
        return str(folder / expanded(text))
    return text
