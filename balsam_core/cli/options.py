"""The command class of all commands, and options that several of them share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from balsam_core.cli.balsam05 import LONG_OPTIONS
from balsam_core.cli.words import Known, Takes, WordsError, canonical
from balsam_core.counting import MOST, MOST_SECONDS

F = TypeVar("F", bound=Callable[..., object])


class Command(click.Command):
    """A command whose options may be abbreviated, and may take several words where they say so (`Words`)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell the arguments out, then let click read them."""
        if not ctx.resilient_parsing:
            known = [_known(option) for option in self.get_params(ctx) if isinstance(option, click.Option)]
            try:
                args = canonical(args, known, LONG_OPTIONS.get(self.name or "", ()))
            except WordsError as error:
                raise click.UsageError(str(error), ctx) from None
        return super().parse_args(ctx, args)


class Whole(click.IntRange):
    """A whole number that every database holds."""

    def __init__(self, min: int) -> None:
        super().__init__(min, MOST)


class Amount(click.FloatRange):
    """A number of seconds or minutes that every clock can count."""

    def __init__(self, min: float, *, min_open: bool = False) -> None:
        super().__init__(min, MOST_SECONDS, min_open=min_open)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; nan, which compares with nothing, is none."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class Words(click.Option):
    """An option that takes one quoted string, or several words."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("metavar", "WORDS..")
        super().__init__(*args, **kwargs)


def command(name: str, **settings: Any) -> Callable[[Callable[..., None]], Command]:
    """Decorates the body of `balsam NAME`."""
    return click.command(name, cls=Command, **settings)


def yes_option(function: F) -> F:
    """`--yes`, `--force`: do not ask."""
    return click.option("--yes", "--force", "-y", "yes", is_flag=True, help="do not ask")(function)


def json_option(function: F) -> F:
    """`--json`: print the listing for programs."""
    return click.option("--json", "as_json", is_flag=True, help="print JSON, with a schema_version")(function)


def _known(option: click.Option) -> Known:
    names = (*option.opts, *option.secondary_opts)
    if isinstance(option, Words):
        return Known(names, Takes.WORDS)
    return Known(names, Takes.NOTHING if option.is_flag or option.count else Takes.VALUE)
