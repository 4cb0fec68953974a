"""The command line and the variables of a job."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from balsam_core.errors import JobSpecError
from balsam_core.launcher.command import in_envscript, job_environ, job_words, redirections
from balsam_core.models.app import AppSpec
from balsam_core.workdirs import Workdirs, output_name
from tests.helpers import make_job


@pytest.mark.parametrize(
    ("executable", "args", "words"),
    [
        ("prog", "", ["prog"]),
        ("prog -v", "--n 3", ["prog", "-v", "--n", "3"]),
        ("prog", """'{"e0": 10.0, "e1": 3}'""", ["prog", '{"e0": 10.0, "e1": 3}']),
        ("~/bin/prog", "~ x~ --path=~/y", ["/home/me/bin/prog", "/home/me", "x~", "--path=~/y"]),
        ("'/opt/my prog'", r"a\ b", ["/opt/my prog", "a b"]),
        (
            "prog",
            "$HOME *.txt; rm x | y > z # no",
            ["prog", "$HOME", "*.txt;", "rm", "x", "|", "y", ">", "z", "#", "no"],
        ),
        ("prog", "  many\t blanks \n in ", ["prog", "many", "blanks", "in"]),
        ("prog", '""', ["prog", ""]),
        ("prog", "'two  blanks' ~/x", ["prog", "two blanks", "/home/me/x"]),
    ],
)
def test_a_command_is_split_into_words_without_a_shell(
    executable: str, args: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert job_words(make_job(args=args), AppSpec(name="a", executable=executable)) == words


def test_quotes_that_do_not_match_are_refused() -> None:
    with pytest.raises(JobSpecError, match="cannot be split into words: No closing quotation"):
        job_words(make_job(args="it's"), AppSpec(name="a", executable="prog"))


@pytest.mark.parametrize("executable", ["", " ", "> out"])
def test_arguments_alone_are_no_command(executable: str) -> None:
    app = AppSpec.from_row({"name": "a", "executable": executable, "envscript": "/e.sh"})
    with pytest.raises(JobSpecError, match="'a' has no executable"):
        job_words(make_job(args="rm x"), app)


def test_with_an_envscript_bash_reads_the_script_and_quoted_words_only() -> None:
    assert in_envscript(["prog", "a b", "$X"], "") == ["prog", "a b", "$X"]
    assert in_envscript(["prog", "a b", "$X"], "/my env.sh") == [
        "bash",
        "-c",
        "source '/my env.sh' && exec prog 'a b' '$X'",
    ]


@pytest.mark.parametrize(
    ("executable", "words", "behind"),
    [
        ("prog > prog.out", ["prog", ">", "x"], " >prog.out"),
        ("prog <in.txt -v >>~/log 2>&1", ["prog", "-v", ">", "x"], " <in.txt >>/home/me/log 2>&1"),
        ("""prog -c '1 > 0' "2 > 1" a>b""", ["prog", "-c", "1 > 0", "2 > 1", "a>b", ">", "x"], ""),
        ("prog > $(id) 2> a;id > 'a b'", ["prog", "2>", "a;id", ">", "a b", ">", "x"], " >'$(id)'"),
    ],
)
def test_an_application_with_an_envscript_may_redirect_its_output_and_a_job_may_not(
    executable: str, words: list[str], behind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    app = AppSpec(name="a", executable=executable, envscript="/e.sh")
    assert job_words(make_job(args="'>' x"), app) == words
    assert redirections(app) == behind
    assert in_envscript(words, app.envscript, behind)[-1].endswith(f" '>' x{behind}")


def test_without_an_envscript_no_shell_redirects_anything() -> None:
    app = AppSpec(name="a", executable="prog > out")
    assert (job_words(make_job(), app), redirections(app)) == (["prog", ">", "out"], "")


def test_a_job_gets_these_variables_and_its_own() -> None:
    parents = [UUID(int=1), UUID(int=2)]
    job = make_job(threads_per_rank=4, environ_vars={"OMP_NUM_THREADS": "2", "A": "x"})
    environ = job_environ(job, site=Path("/site"), parents=parents, job_mode="mpi", launcher_nodes=3)
    assert json.loads(environ.pop("BALSAM_PARENT_IDS")) == [str(parent) for parent in parents]
    assert environ == {
        "BALSAM_JOB_ID": str(job.job_id),
        "BALSAM_DB_PATH": "/site",
        "BALSAM_LAUNCHER_NODES": "3",
        "BALSAM_JOB_MODE": "mpi",
        "OMP_NUM_THREADS": "2",
        "A": "x",
    }


@pytest.mark.parametrize(("count", "named"), [(3276, 3276), (3277, None)])
def test_a_job_with_more_parents_than_a_variable_can_name_starts_without_their_names(
    count: int, named: int | None
) -> None:
    parents = [UUID(int=number) for number in range(count)]
    environ = job_environ(make_job(), site=Path("/site"), parents=parents, job_mode="serial", launcher_nodes=1)
    assert (len(json.loads(environ["BALSAM_PARENT_IDS"])) if environ["BALSAM_PARENT_IDS"] else None) == named


def test_a_workflow_that_is_called_tilde_has_its_folder_in_the_data_folder() -> None:
    workdirs = Workdirs(Path("/site/data"))
    assert workdirs.of(make_job(folder="~/job_1234")) == Path("/site/data/~/job_1234")
    assert workdirs.of(make_job(folder="~/job_1234", user_workdir="~/own")) == Path.home() / "own"


def test_the_output_is_named_after_the_job() -> None:
    assert output_name(make_job(name=" my\u00a0big job ")) == "my_big_job.out"
