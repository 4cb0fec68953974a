"""Waiting for jobs: who has come to a state, who may still."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from balsam_core.cli.waiting import Display, Tally, tally_of, target_state, wait_for
from balsam_core.errors import InvalidState, JobNotFound
from balsam_core.state.filters import JobFilter
from balsam_core.state.machine import State
from tests.helpers import put, temporary_store


def test_jobs_are_sorted_into_reached_on_the_way_and_ended_otherwise() -> None:
    counts = {State.JOB_FINISHED: 5, State.RUNNING: 2, State.FAILED: 1, State.USER_KILLED: 1}
    assert tally_of(counts, State.JOB_FINISHED) == Tally(
        State.JOB_FINISHED, 5, 2, {State.FAILED: 1, State.USER_KILLED: 1}
    )


@pytest.mark.parametrize(
    ("state", "target", "reached"),
    [
        (State.JOB_FINISHED, State.RUNNING, True),
        (State.RUN_DONE, State.RUNNING, True),
        (State.RESTART_READY, State.RUNNING, True),
        (State.RESTART_READY, State.RUN_DONE, False),
        (State.PREPROCESSED, State.RUNNING, False),
        (State.FAILED, State.FAILED, True),
        (State.FAILED, State.RUNNING, False),
        (State.JOB_FINISHED, State.FAILED, False),
    ],
)
def test_one_that_is_further_on_has_come_to_a_state(state: State, target: State, reached: bool) -> None:
    assert tally_of({state: 1}, target).all_reached is reached


def test_the_summary_says_how_many_and_what_became_of_the_others() -> None:
    tally = Tally(State.JOB_FINISHED, 8, 1, {State.FAILED: 2}, timed_out=True)
    assert tally.summary == ("8 of 11 jobs reached JOB_FINISHED; 2 FAILED, 1 still on the way; the time is up")


def test_a_state_that_a_job_passes_unseen_cannot_be_waited_for() -> None:
    with pytest.raises(InvalidState, match="a job may pass RESTART_READY unseen, so nobody can wait for it; one can"):
        target_state("restart_ready")


def test_nobody_waits_for_no_jobs(tmp_path: Path) -> None:
    with pytest.raises(JobNotFound, match="no jobs found matching query; `balsam ls` shows what there is"):
        wait_for(temporary_store(tmp_path), JobFilter(), State.JOB_FINISHED, None, print)


def test_it_gives_up_when_the_time_is_up(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    put(store)
    seen: list[Tally] = []
    assert wait_for(store, JobFilter(), State.JOB_FINISHED, 0.0, seen.append).timed_out
    assert [tally.pending for tally in seen] == [1]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with Display() as show:
        show(Tally(State.JOB_FINISHED, 3, 4, {State.FAILED: 1}))
    assert "JOB_FINISHED, 1 FAILED" in terminal.getvalue()
    assert "3/8" in terminal.getvalue()


def test_a_file_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as show:
        for reached in range(3):
            show(Tally(State.JOB_FINISHED, reached, 3 - reached, {}))
    assert capsys.readouterr().err == "0 of 3 jobs reached JOB_FINISHED; 3 still on the way\n"
