"""Every `balsam` command that a document shows exists, with its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from balsam_core.cli import balsam
from tests.acceptance.transcript import commands, plain_blocks
from tests.unit.test_docs import DOCUMENTS, ROOT, names

EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
ALL = [*DOCUMENTS, *EXAMPLES]

_REDIRECTION = re.compile(r"\d?(?:>>?|<)\s*(?:&\d|[\w./~-]+)")
_BETWEEN = re.compile(r"[();<>|&]+\Z")
_KEYWORDS = frozenset({"until", "while", "do", "if", "then", "!", "time", "exec"})
_SPAN = re.compile(r"`balsam ([^`]+)`")
_INFO = re.compile(r"^```console *(.*)$", re.MULTILINE)


@pytest.mark.parametrize("document", ALL, ids=names(ALL))
def test_every_command_that_is_typed_is_one_that_can_be_called(document: Path) -> None:
    refused = {line: why for line in commands(document.read_text()) for words in _calls(line) if (why := _why(words))}
    assert refused == {}


@pytest.mark.parametrize("document", ALL, ids=names(ALL))
def test_every_command_in_a_sentence_has_the_options_that_it_names(document: Path) -> None:
    spans = [_without_blanks(span) for span in _SPAN.findall(document.read_text())]
    assert [span for span in spans if not _is_known(span.split())] == []


@pytest.mark.parametrize("document", ALL, ids=names(ALL))
def test_commands_stand_in_blocks_of_their_kind(document: Path) -> None:
    text = document.read_text()
    assert set(_INFO.findall(text)) <= {"", "elsewhere"}
    assert [line for block in plain_blocks(text) for line in block.splitlines() if line.startswith("balsam ")] == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("FOO=1 balsam ls --wf a | grep b", [["ls", "--wf", "a"]]),
        ("balsam launcher --wf-filter a 2> launcher.txt & pid=$!", [["launcher", "--wf-filter", "a"]]),
        ("until balsam ls; do sleep 1; done", [["ls"]]),
        ("echo balsam", []),
    ],
)
def test_commands_are_found_in_a_line_of_shell(line: str, words: list[list[str]]) -> None:
    assert list(_calls(line)) == words


@pytest.mark.parametrize(
    "words", [["lss"], ["ls", "--wff", "a"], ["launcher", "--job-mode", "serail"], ["db", "copy"], ["service", "--foo"]]
)
def test_a_wrong_command_is_noticed(words: list[str]) -> None:
    assert _why(words)


def _calls(line: str) -> Iterator[list[str]]:
    """The words after `balsam`, of each call in a line of shell."""
    lexer = shlex.shlex(_REDIRECTION.sub(" ", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    call: list[str] = []
    for token in [*lexer, ";"]:
        if _BETWEEN.match(token):
            if call[:1] == ["balsam"]:
                yield call[1:]
            call = []
        elif call or not (token in _KEYWORDS or re.match(r"\w+=", token)):
            call.append(token)


def _why(words: list[str]) -> str:
    """Why click would not call the command; empty: it would."""
    context = click.Context(balsam, info_name="balsam", **balsam.context_settings)
    try:
        _called(context, words)
    except click.exceptions.Exit:
        return ""
    except click.UsageError as error:
        return error.format_message()
    return ""


def _called(context: click.Context, words: list[str]) -> None:
    """Let click read the words as far as it does before it calls the body of a command."""
    assert isinstance(context.command, click.Group)
    name, command, rest = context.command.resolve_command(context, words)
    assert command is not None
    if isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        _called(click.Context(command, parent=context, info_name=name), rest)
    else:
        command.make_context(name, rest, parent=context)


def _is_known(words: list[str]) -> bool:
    """Whether the words begin with a command, and name only options of it; what else they hold is not looked at."""
    context = click.Context(balsam)
    command: click.Command | None = balsam
    options = {"--help", "-h", *_options(balsam)}
    for word in words:
        if re.match(r"--?[a-z]", word):
            if word.partition("=")[0].rstrip(",.") not in options:
                return False
        elif isinstance(command, click.Group) and word != "COMMAND":
            command = command.get_command(context, word)
            if command is None:
                return False
            options |= _options(command)
    return True


def _options(command: click.Command) -> set[str]:
    return {spelling for param in command.params for spelling in (*param.opts, *param.secondary_opts)}


def _without_blanks(span: str) -> str:
    """A span may go on in the next line; what stands in quotes is a value."""
    return re.sub(r"'[^']*'", "VALUE", " ".join(span.split()))
