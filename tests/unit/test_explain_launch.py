"""Why a batch job is where it is, in whole sentences."""

from __future__ import annotations

from typing import Any

import pytest

from balsam_core.explain.facts import Advice, Excerpt, LaunchFacts, LaunchMove
from balsam_core.explain.launch import explain_launch
from balsam_core.models.batch import LaunchState
from balsam_core.state.machine import State
from tests.explaining import A_MINUTE_AGO, NOW, a_batch_job, a_launcher

ASKED = "It asks for 1 node for 10 minutes, to run jobs of all workflows in serial mode."
SILENT = "Played has said nothing of it yet."
BEGINS = Advice("Nothing is to be done: it begins when the scheduler lets it")
NO_JOBS = "No unfinished job is of its workflows: its launcher would end at once."


def facts_of(of_facts: dict[str, Any] | None = None, **fields: Any) -> LaunchFacts:
    """What is known of a batch job on a site without jobs."""
    return LaunchFacts(**{"job": a_batch_job(**fields), "now": NOW, "usable_seconds": 565.0, **(of_facts or {})})


def sentences(of_facts: dict[str, Any] | None = None, **fields: Any) -> tuple[str, ...]:
    return explain_launch(facts_of(of_facts, **fields)).sentences


def test_it_tells_its_state_and_what_it_asks_for() -> None:
    said = sentences(queue="debug", wf_filter="prod", nodes=4, job_mode="mpi")
    assert said == (
        f"Batch job 1 (played 7) is QUEUED since {A_MINUTE_AGO}.",
        "It asks for 4 nodes for 10 minutes in the queue debug, to run jobs of the workflow prod in mpi mode.",
        SILENT,
        "No launcher of it has registered yet.",
        NO_JOBS,
    )


def test_the_schedulers_words_are_told_with_their_age() -> None:
    said = sentences({"answer_seconds": 4.0}, raw_state="PENDING", reason="Priority", cancelled=True)
    assert said[2:5] == (
        "Played said last: PENDING: Priority.",
        "Played was asked 4 seconds ago.",
        "Played has agreed to cancel it.",
    )


def test_a_scheduler_that_gives_no_answer_and_an_absence_decide_nothing() -> None:
    said = sentences({"problem": "timed out", "answer_seconds": 4.0}, absent_since=1.0)
    assert said[3:5] == (
        "It was not in the last answer of played; that alone means nothing.",
        "Played gives no answer now: timed out.",
    )


def test_an_exit_code_is_told() -> None:
    assert sentences(state=LaunchState.ENDED, raw_state="F", exit_code=271)[2] == "Played said last: F, exit code 271."


def test_a_live_launcher_tells_what_it_does() -> None:
    launcher = a_launcher(jobs_done=5, held={State.RUNNING: 2})
    facts = facts_of({"launchers": (launcher,)}, state=LaunchState.RUNNING, raw_state="R", seconds_left=300.0)
    explanation = explain_launch(facts)
    assert explanation.sentences[2:5] == (
        "Played said last: R.",
        "5 minutes of its time were left when played said so.",
        f"Launcher aaaabbbb (serial mode, 1 node, on login1) is at work since {A_MINUTE_AGO}: 5 jobs done, 2 held.",
    )
    assert explanation.advice == (Advice("See what its launcher does", "balsam explain launcher aaaabbbb"),)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"over": "no heartbeat for 91 s", "held": {State.RUNNING: 1}},
            "is gone: no heartbeat for 91 s; 0 jobs done, 1 still to be taken back",
        ),
        (
            {"ended_at": NOW - 60, "end_reason": "nothing more can run", "jobs_done": 1},
            f"ended {A_MINUTE_AGO}: nothing more can run; 1 job done",
        ),
    ],
)
def test_a_launcher_of_the_past_tells_why_it_ended(fields: dict[str, Any], told: str) -> None:
    said = sentences({"launchers": (a_launcher(**fields),)}, state=LaunchState.LOST)
    assert said[3] == f"Launcher aaaabbbb (serial mode, 1 node, on login1) {told}."


def test_it_tells_what_it_would_run_and_why_not_the_rest() -> None:
    counts = {State.CREATED: 1, State.PREPROCESSED: 5}
    refused = {"the job asks for 2 nodes, the launcher has 1": 2}
    facts = facts_of({"would_run": counts, "looked_at": 5, "fits": 3, "refused": refused})
    assert explain_launch(facts).sentences[4:] == (
        "Unfinished jobs of its workflows: 1 CREATED, 5 PREPROCESSED.",
        "Of the runnable ones it could start 3.",
        "Not 2 jobs: the job asks for 2 nodes, the launcher has 1.",
    )
    assert explain_launch(facts).advice == (BEGINS,)


def test_of_very_many_jobs_it_tells_how_many_were_looked_at() -> None:
    said = sentences({"would_run": {State.RESTART_READY: 5000}, "looked_at": 1000, "fits": 1000})
    assert said[5] == "Of the runnable ones (the first 1000) it could start 1000."


@pytest.mark.parametrize(
    "of_facts",
    [{}, {"would_run": {State.PREPROCESSED: 1}, "looked_at": 1, "refused": {"the job is too long": 1}}],
)
def test_a_batch_job_that_would_run_nothing_may_be_cancelled(of_facts: dict[str, Any]) -> None:
    assert explain_launch(facts_of(of_facts)).advice == (
        Advice("It would run nothing; give its place back", "balsam cancel-launch 1"),
    )


def test_each_change_is_told_with_what_showed_it() -> None:
    moves = (
        LaunchMove("SUBMITTING", "QUEUED", NOW, "the scheduler calls it 7", "playsub a.sh", "\nwelcome\n7\n"),
        LaunchMove("QUEUED", "QUEUED", NOW, "no answer", "playstat 7", ""),
        LaunchMove("QUEUED", "RUNNING", NOW, "its launcher began on n1"),
    )
    assert sentences({"moves": moves})[5:] == (
        "2001-09-09 01:46:40 SUBMITTING -> QUEUED: the scheduler calls it 7 [playsub a.sh: 7]",
        "2001-09-09 01:46:40 QUEUED: no answer [playstat 7: no answer]",
        "2001-09-09 01:46:40 QUEUED -> RUNNING: its launcher began on n1",
    )


def test_one_that_runs_without_a_launcher_shows_its_output() -> None:
    shown = Excerpt("the end of its output", "/site/qsubmit/qlaunch1.out", ("no module",))
    explanation = explain_launch(facts_of({"outputs": (shown,)}, state=LaunchState.RUNNING))
    assert explanation.excerpts == (shown,)
    assert explanation.advice == (
        Advice("Its output tells why no launcher of it lives", "ls -l /site/qsubmit/qlaunch1.*"),
    )


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        ({}, "balsam submit-launch -n 1 -t 10 --job-mode serial"),
        (
            {"queue": "debug", "wf_filter": "prod*"},
            "balsam submit-launch -n 1 -t 10 --job-mode serial -q debug --wf-filter 'prod*'",
        ),
    ],
)
def test_when_it_is_over_another_one_may_run_what_is_left(fields: dict[str, Any], command: str) -> None:
    explanation = explain_launch(facts_of({"would_run": {State.READY: 2}}, state=LaunchState.LOST, **fields))
    assert explanation.sentences[3:] == (
        "No launcher of it has ever registered.",
        "Unfinished jobs of its workflows: 2 READY.",
    )
    assert explanation.advice == (Advice("Unfinished jobs are left; submit another one", command),)


def test_when_another_one_would_start_nothing_it_is_not_advised() -> None:
    refused = {"the job is too long": 1}
    facts = facts_of(
        {"would_run": {State.PREPROCESSED: 1}, "looked_at": 1, "refused": refused}, state=LaunchState.ENDED
    )
    explanation = explain_launch(facts)
    assert explanation.sentences[4:] == (
        "Unfinished jobs of its workflows: 1 PREPROCESSED.",
        "Of the runnable ones another one like it could start 0.",
        "Not 1 job: the job is too long.",
    )
    assert explanation.advice == (
        Advice("Another one like it would start none of them; see each by `balsam explain ID`", "balsam ls"),
    )


def test_when_it_is_over_and_nothing_is_left_nothing_is_to_be_done() -> None:
    assert explain_launch(facts_of(state=LaunchState.ENDED)).advice == (
        Advice("Nothing is to be done: no unfinished job is of its workflows"),
    )
