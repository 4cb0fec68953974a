"""Asks before something is changed; questions go to stderr, an answer is one line of standard input."""

from __future__ import annotations

import sys

import click

from balsam_core.errors import BalsamError

_YES = frozenset({"y", "yes"})
_NO = frozenset({"n", "no"})


class Declined(BalsamError):
    """The user said no, or there was nobody to ask."""


def ask(question: str, *, yes: bool) -> None:
    """Go on when the user agrees, or said `--yes`; raises Declined otherwise."""
    if yes:
        return
    while True:
        click.echo(f"{question} [y/n]: ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            click.echo(err=True)
            raise Declined("aborted: no answer on standard input, nothing was changed; `--yes` goes on without asking")
        answer = line.strip().lower()
        if answer in _YES:
            return
        if answer in _NO or not sys.stdin.isatty():
            raise Declined("aborted: nothing was changed")
