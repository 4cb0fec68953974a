"""Which script a job waits for, and the head of its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from balsam_core.errors import JobSpecError
from balsam_core.models.app import AppSpec
from balsam_core.state.machine import State
from balsam_core.transitions.scripts import begin_log, script_of
from tests.helpers import make_job

APP = AppSpec(name="both", executable="x", preprocess="/pre --a 'b c'", postprocess="/post")
WITHOUT = AppSpec(name="none", executable="x")


@pytest.mark.parametrize(
    ("state", "kind", "target", "environ"),
    [
        (State.STAGED_IN, "preprocess", State.PREPROCESSED, {}),
        (State.RUN_DONE, "postprocess", State.POSTPROCESSED, {}),
        (State.RUN_ERROR, "postprocess", None, {"BALSAM_JOB_ERROR": "TRUE"}),
        (State.RUN_TIMEOUT, "postprocess", None, {"BALSAM_JOB_TIMEOUT": "TRUE"}),
    ],
)
def test_a_script_belongs_to_a_state(state: State, kind: str, target: State | None, environ: dict[str, str]) -> None:
    script = script_of(make_job(state), APP)
    assert script is not None
    assert (script.kind, script.target, script.environ, script.log) == (kind, target, environ, f"{kind}.log")


@pytest.mark.parametrize(
    "state", sorted(set(State) - {State.STAGED_IN, State.RUN_DONE, State.RUN_ERROR, State.RUN_TIMEOUT})
)
def test_no_other_state_has_a_script(state: State) -> None:
    assert script_of(make_job(state), APP) is None


@pytest.mark.parametrize("state", sorted(State))
def test_an_application_without_scripts_has_none(state: State) -> None:
    assert script_of(make_job(state), WITHOUT) is None


def test_a_command_is_split_as_a_shell_would() -> None:
    script = script_of(make_job(State.STAGED_IN), APP)
    assert script is not None
    assert script.argv == ("/pre", "--a", "b c")


def test_a_command_with_an_open_quote_is_refused() -> None:
    app = AppSpec(name="bad", executable="x", preprocess="it's")
    with pytest.raises(JobSpecError, match='the preprocess command "it\'s" cannot be split into words'):
        script_of(make_job(State.STAGED_IN), app)


def test_the_log_says_what_ran_and_why(tmp_path: Path) -> None:
    for state in (State.RUN_DONE, State.RUN_ERROR):
        script = script_of(make_job(state), APP)
        assert script is not None
        begin_log(tmp_path / "new", script)
    head = "# Balsam Postprocessor: /post\n"
    assert (tmp_path / "new" / "postprocess.log").read_text() == f"{head}{head}# Invoked to handle RUN_ERROR\n"


def test_a_failure_shows_the_end_of_the_output_when_there_is_one() -> None:
    script = script_of(make_job(State.RUN_DONE), APP)
    assert script is not None
    assert script.failure("ended with exit code 3", "no file\n") == "postprocess ended with exit code 3: no file"
    assert script.failure("ended with exit code 3", " \n") == "postprocess ended with exit code 3"
