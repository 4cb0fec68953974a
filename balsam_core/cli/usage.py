"""Words click's usage errors as ours: one line that names the command, what is wrong, and where its help is."""

from __future__ import annotations

import re

import click
from click.core import ParameterSource

_KIND = re.compile(r"is not a valid (integer|float)( range)?\Z")
_KINDS = {"integer": "a whole number", "float": "a number"}


def usage_line(error: click.UsageError) -> str:
    """The error for people; a value that a variable gave is told with the variable's name."""
    command = error.ctx.command_path if error.ctx else "balsam"
    message = " ".join(_message(error).replace(". Did you mean", "; did you mean").split())
    if not message.endswith(".."):
        message = message.removesuffix(".")
    message = _KIND.sub(lambda found: f"is not {_KINDS[found[1]]}", message)
    return f"{command}: {message[:1].lower()}{message[1:]}; see `{command} --help`"


def _message(error: click.UsageError) -> str:
    variable = _variable(error) if isinstance(error, click.BadParameter) else None
    return f"invalid value for {variable}: {error.message}" if variable else error.format_message()


def _variable(error: click.BadParameter) -> str | None:
    """The variable that gave the value; None: it was typed."""
    if error.ctx is None or error.param is None or error.param.name is None:
        return None
    if error.ctx.get_parameter_source(error.param.name) is not ParameterSource.ENVIRONMENT:
        return None
    return str(error.param.envvar)
