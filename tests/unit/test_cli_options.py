"""How arguments are read: abbreviations, several words, values that start with a dash."""

from __future__ import annotations

import re

import pytest

from balsam_core.cli import balsam
from balsam_core.cli.balsam02 import current_words
from balsam_core.cli.balsam05 import LONG_OPTIONS
from balsam_core.cli.words import Known, Takes, WordsError, canonical

ARGS = Known(("--args",), Takes.WORDS)
INPUT_FILES = Known(("--input-files",), Takes.WORDS)
NAME = Known(("--name",), Takes.VALUE)
NUM_NODES = Known(("--num-nodes",), Takes.VALUE)
APPLICATION = Known(("--application",), Takes.VALUE)
PRIORITY = Known(("--priority", "-p"), Takes.VALUE)
YES = Known(("--yes", "--force", "-y"), Takes.NOTHING)
HANDLE = Known(("--post_handle_error", "--post-handle-error"), Takes.NOTHING)
SCHED_FLAGS = Known(("--sched-flags",), Takes.WORDS)
SCHEDULER = Known(("--scheduler",), Takes.VALUE)
OPTIONS = [ARGS, INPUT_FILES, NAME, NUM_NODES, APPLICATION, PRIORITY, YES, HANDLE, SCHED_FLAGS, SCHEDULER]


def read(*args: str) -> list[str]:
    return canonical(args, OPTIONS, {"--sched-flags"})


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        (["--app", "hello"], ["--application=hello"]),
        (["--num=3"], ["--num-nodes=3"]),
        (["--post_handle"], ["--post_handle_error"]),
        (["--post-handle-e"], ["--post_handle_error"]),
        (["--sched", "-q debug"], ["--sched-flags=-q debug"]),
        (["--schedu", "slurm"], ["--scheduler=slurm"]),
    ],
)
def test_a_unique_beginning_of_an_option_will_do_and_old_names_come_first(
    typed: list[str], understood: list[str]
) -> None:
    assert read(*typed) == understood


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        (["--args", "--evaluator balsam --run"], ["--args=--evaluator balsam --run"]),
        (["--args", "--nodes=2 --fast"], ["--args=--nodes=2 --fast"]),
        (["--args", "--name=a --fast"], ["--args=--name=a --fast"]),
        (["--args=--max_evals=20"], ["--args=--max_evals=20"]),
        (["--args", "a", "b", "--name", "x"], ["--args=a b", "--name=x"]),
        (["--args", "a", "b", "--nam=x y"], ["--args=a b", "--name=x y"]),
        (["--args", "a", "-y"], ["--args=a", "-y"]),
        (["--args", "-1", "2.5", "-.5"], ["--args=-1 2.5 -.5"]),
        (["--args", ""], ["--args="]),
        (["--input-files", "a", "b", "c", "--args", "d"], ["--input-files=a b c", "--args=d"]),
    ],
)
def test_an_option_of_several_words_takes_all_up_to_the_next_known_option(
    typed: list[str], understood: list[str]
) -> None:
    assert read(*typed) == understood


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        (["job", "priority", "-5"], ["--", "job", "priority", "-5"]),
        (["job", "--yes", "args", "--foo bar"], ["--yes", "--", "job", "args", "--foo bar"]),
        (["job", "--", "--yes"], ["--", "job", "--yes"]),
        (["-p", "-3", "job"], ["-p", "-3", "--", "job"]),
    ],
)
def test_values_that_start_with_a_dash_reach_the_command_as_values(typed: list[str], understood: list[str]) -> None:
    assert read(*typed) == understood


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--nmae", "x"], "no such option: --nmae; did you mean --name?"),
        (["--n", "x"], "option '--n' is short for several: --name, --num-nodes; give more of it"),
        (["--args"], "option '--args' needs at least one word; an empty value goes so: --args=''"),
        (["--args", "--yes"], "option '--args' needs at least one word; an empty value goes so: --args=''"),
        (["--name", "--yes"], "option '--name' needs a value"),
        (["--name"], "option '--name' needs a value"),
        (
            ["--args", "a", "--fast"],
            "no such option: --fast; a value that starts with a dash goes so: --args='a --fast'",
        ),
    ],
)
def test_arguments_that_cannot_be_read_are_refused_with_the_way_out(typed: list[str], message: str) -> None:
    with pytest.raises(WordsError, match=f"^{re.escape(message)}$"):
        read(*typed)


def test_every_command_of_the_table_can_be_loaded_and_has_all_options_of_balsam_05() -> None:
    import click

    context = click.Context(balsam)
    for name in balsam.list_commands(context):
        command = balsam.get_command(context, name)
        assert isinstance(command, click.Command), name
        assert command.name == name
        spelled = {spelling for option in command.params for spelling in option.opts}
        assert LONG_OPTIONS.get(name, frozenset()) <= spelled, name


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("modify jobs 29ad --attr state --value READY", "modify --type jobs -- 29ad state READY"),
        ("modify apps a --attr=executable --value=b=c", "modify --type apps -- a executable b=c"),
        ("modify jobs state READY", "modify jobs state READY"),
        ("modify --name x state READY", "modify --name x state READY"),
        ("init p --db-type postgres", "init p --database postgresql"),
        ("init --db-type=sqlite3 postgres", "init postgres --database sqlite"),
        ("init postgres", "init postgres"),
        ("dbserver", "server --connect"),
        ("dbserver --start", "server --connect"),
        ("dbserver --reset /site", "server --reset"),
        ("dbserver --stop", "server --stop"),
        ("ls jobs", "ls jobs"),
        ("", ""),
    ],
)
def test_command_lines_of_balsam_02_mean_those_of_today(typed: str, understood: str) -> None:
    assert current_words(typed.split()) == understood.split()
