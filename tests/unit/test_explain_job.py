"""Why a job is where it is, in whole sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from balsam_core.explain.facts import Advice, Explanation, JobFacts
from balsam_core.explain.job import explain_job
from balsam_core.state.machine import State
from tests.explaining import (
    A_MINUTE_AGO,
    LAUNCHER_ID,
    LOG,
    OUTPUT,
    SCRIPTED,
    START,
    a_batch_job,
    a_launcher,
    a_parent,
    facts_of,
    move,
)

NAMED = "launcher aaaabbbb (serial mode, 1 node, on login1)"
AT_WORK = {"holder": a_launcher()}
ANEW = Advice("A job that is USER_KILLED stays so: add it anew, with `balsam job`")
FOLLOW = Advice("Follow what it prints", "balsam tail 1234abcd")
AGAIN = Advice("There is nothing to wait for; to run it once more", "balsam modify 1234abcd state RESTART_READY")


def said(facts: JobFacts) -> Explanation:
    """What is said after the first sentence, which names the state."""
    explanation = explain_job(facts)
    assert explanation.sentences[0] == f"[job | 1234abcd] is {facts.job.state} since {A_MINUTE_AGO}."
    return replace(explanation, sentences=explanation.sentences[1:])


def test_it_names_the_parents_that_are_missing_and_their_states() -> None:
    parents = (
        a_parent(State.JOB_FINISHED, "done", 1),
        a_parent(State.RUNNING, "busy", 2),
        a_parent(State.READY, "next", 3),
    )
    assert said(facts_of(State.AWAITING_PARENTS, of_facts={"parents": parents})) == Explanation(
        ("It waits for 2 of its 3 parents: [busy | 00000002] is RUNNING, [next | 00000003] is READY.",),
        advice=(Advice("See what the first of them waits for", "balsam explain 00000002"),),
    )


def test_of_many_missing_parents_it_names_five() -> None:
    parents = tuple(a_parent(State.READY, "p", number) for number in range(1, 8))
    (sentence,) = said(facts_of(State.AWAITING_PARENTS, of_facts={"parents": parents})).sentences
    assert sentence.startswith("It waits for 7 of its 7 parents: [p | 00000001] is READY, ")
    assert sentence.endswith("[p | 00000005] is READY, and 2 more.")


def test_a_parent_on_hold_is_what_to_release() -> None:
    parents = (a_parent(State.PREPROCESSED, hold=True),)
    assert said(facts_of(State.AWAITING_PARENTS, of_facts={"parents": parents})) == Explanation(
        ("It waits for its parent: [mother | 00000001] is PREPROCESSED and on hold.",),
        advice=(Advice("Let its parents start", "balsam release 00000001"),),
    )


def test_a_job_on_hold_is_to_be_released() -> None:
    assert said(facts_of(State.PREPROCESSED, hold=True)) == Explanation(
        ("It is on hold: no launcher takes it up.",),
        advice=(Advice("Let it start again", "balsam release 1234abcd"),),
    )


def test_a_job_on_hold_may_wait_for_parents_besides() -> None:
    facts = facts_of(State.AWAITING_PARENTS, hold=True, of_facts={"parents": (a_parent(State.READY),)})
    assert said(facts).sentences == (
        "It is on hold: no launcher takes it up.",
        "It waits for its parent: [mother | 00000001] is READY.",
    )


def test_a_new_job_waits_for_a_launcher_to_take_note_of_it() -> None:
    assert said(facts_of(State.CREATED)) == Explanation(
        ("It waits for a launcher to take note of it.", "No launcher runs."), advice=(START,)
    )


def test_a_job_that_does_not_wait_for_its_parents_waits_for_a_launcher_only() -> None:
    facts = facts_of(State.CREATED, wait_for_parents=False, of_facts={"parents": (a_parent(State.FAILED),)})
    assert said(facts).sentences == ("It waits for a launcher to take note of it.", "No launcher runs.")


@pytest.mark.parametrize("state", [State.CREATED, State.STAGED_IN, State.PREPROCESSED])
def test_a_missing_application_is_to_be_defined(state: State) -> None:
    facts = facts_of(state, application="sim", of_facts={"app": None, "launchers": (a_launcher(),)})
    assert said(facts) == Explanation(
        ("There is no application named 'sim'.", "It fails when a launcher takes it up."),
        advice=(Advice("Define the application", "balsam app --name sim --executable COMMAND"),),
    )


def test_a_job_without_an_application_is_to_be_given_one() -> None:
    assert said(facts_of(State.READY, application="", of_facts={"app": None})) == Explanation(
        ("It names no application.", "It fails when a launcher takes it up."),
        advice=(Advice("Name an application", "balsam modify 1234abcd application NAME"),),
    )


@pytest.mark.parametrize(
    ("state", "fields", "work"),
    [
        (State.READY, {"stage_in_url": "local:/data"}, "its files to be staged in"),
        (State.READY, {"input_files": ""}, "a launcher to move it on"),
        (State.STAGED_IN, {}, "its preprocess script"),
        (State.RUN_DONE, {}, "its postprocess script"),
        (State.POSTPROCESSED, {"stage_out_url": "local:/o", "stage_out_files": "*"}, "its files to be staged out"),
        (State.POSTPROCESSED, {}, "a launcher to move it on"),
    ],
)
def test_between_two_states_it_waits_for_a_script_or_staging(state: State, fields: dict[str, str], work: str) -> None:
    facts = facts_of(state, of_facts={"app": SCRIPTED}, **fields)
    assert said(facts).sentences == (f"It waits for {work}.", "No launcher runs.")


def test_files_of_parents_are_staged_in() -> None:
    facts = facts_of(State.READY, of_facts={"parents": (a_parent(State.JOB_FINISHED),)})
    assert said(facts).sentences[0] == "It waits for its files to be staged in."


def test_an_application_without_a_script_has_nothing_to_do() -> None:
    assert said(facts_of(State.STAGED_IN)).sentences[0] == "It waits for a launcher to move it on."


def test_a_script_is_done_by_the_launchers_of_its_workflow() -> None:
    others = (a_launcher(), a_launcher(workflow="prod*"))
    assert said(facts_of(State.STAGED_IN, of_facts={"app": SCRIPTED, "launchers": others})) == Explanation(
        (
            "It waits for its preprocess script.",
            "Launcher aaaabbbb (serial mode, 1 node, on login1) does that, so many at a time.",
            "Launcher aaaabbbb (serial mode, 1 node, on login1) does not: "
            "it runs jobs of the workflow 'prod*', and this one is of 'test'.",
        )
    )


def test_while_its_script_runs_the_log_shows_what_it_prints() -> None:
    facts = facts_of(State.STAGED_IN, launcher_id=LAUNCHER_ID, of_facts={"app": SCRIPTED, "script_log": LOG, **AT_WORK})
    assert said(facts) == Explanation((f"Launcher{NAMED[8:]} is at it: its preprocess script.",), (LOG,))


@pytest.mark.parametrize(
    ("state", "fields", "message", "ended", "work"),
    [
        (
            State.RUN_ERROR,
            {"post_error_handler": True},
            "nonzero return 3",
            "Attempt 1 ended with exit code 3.",
            "its postprocess script to handle the error",
        ),
        (State.RUN_ERROR, {}, "nonzero return 3", "Attempt 1 ended with exit code 3.", "a launcher to move it on"),
        (
            State.RUN_TIMEOUT,
            {"post_timeout_handler": True},
            "met its timeout_seconds",
            "Attempt 1 was stopped: met its timeout_seconds.",
            "its postprocess script to handle the timeout",
        ),
        (
            State.RUN_TIMEOUT,
            {},
            "met its timeout_seconds",
            "Attempt 1 was stopped: met its timeout_seconds.",
            "a launcher to move it on",
        ),
    ],
)
def test_a_run_that_ended_badly_waits_for_its_handler(
    state: State, fields: dict[str, bool], message: str, ended: str, work: str
) -> None:
    end = move("RUNNING", state.value, message)
    facts = facts_of(state, end, exit_code=3, of_facts={"app": SCRIPTED, "output": OUTPUT}, **fields)
    assert said(facts) == Explanation((ended, f"It waits for {work}.", "No launcher runs."), (OUTPUT,), (START,))


def test_a_claimed_job_starts_when_there_is_room() -> None:
    assert said(facts_of(State.PREPROCESSED, launcher_id=LAUNCHER_ID, of_facts=AT_WORK)) == Explanation(
        (f"Launcher{NAMED[8:]} has claimed it, and starts it when there is room on its node.",)
    )


def test_a_running_job_tells_where_by_whom_and_what_it_prints() -> None:
    holder = a_launcher(batch_job=a_batch_job(number=3))
    facts = facts_of(
        State.RUNNING,
        launcher_id=LAUNCHER_ID,
        attempt=2,
        node="n7",
        pid=4711,
        timeout_seconds=7200.0,
        of_facts={"holder": holder, "output": OUTPUT},
    )
    assert said(facts) == Explanation(
        (
            "Attempt 2 runs on node n7 as pid 4711 for 60 seconds.",
            f"Launcher{NAMED[8:]}, of batch job 3 (played 7) runs it.",
            "It is stopped when it has run for 2 hours.",
        ),
        (OUTPUT,),
        (FOLLOW,),
    )


def test_a_running_job_that_is_silent_and_by_hand_says_what_is_not_known() -> None:
    assert said(facts_of(State.RUNNING)) == Explanation(
        (
            "Attempt 0 runs on node not known, with a pid that is not known, for 60 seconds.",
            "No launcher holds it: who runs it is not known.",
            "It has printed nothing yet.",
        ),
        advice=(FOLLOW,),
    )


def test_the_job_of_a_launcher_that_is_gone_runs_again_under_the_next_one() -> None:
    gone = {"holder": a_launcher(over="its process is gone"), "output": OUTPUT}
    assert said(facts_of(State.RUNNING, launcher_id=LAUNCHER_ID, of_facts=gone)) == Explanation(
        (
            f"Launcher{NAMED[8:]} holds it, and is gone: its process is gone.",
            "The next launcher of this site ends what is left of its run, and runs it again.",
        ),
        (OUTPUT,),
        (START,),
    )


def test_what_a_launcher_that_is_gone_had_only_claimed_is_taken_back() -> None:
    gone = {"holder": a_launcher(over="no heartbeat for 91 s")}
    assert said(facts_of(State.PREPROCESSED, launcher_id=LAUNCHER_ID, of_facts=gone)).sentences == (
        f"Launcher{NAMED[8:]} holds it, and is gone: no heartbeat for 91 s.",
        "The next launcher of this site takes it back.",
    )


def test_a_holder_without_a_record_is_not_known() -> None:
    assert said(facts_of(State.RUNNING, launcher_id=LAUNCHER_ID)) == Explanation(
        (
            "Launcher aaaabbbb holds it.",
            "There is no record of that launcher: what became of it is not known.",
        )
    )


@pytest.mark.parametrize(("attempt", "times"), [(1, "once"), (3, "3 times")])
def test_a_finished_job_tells_how_often_it_ran(attempt: int, times: str) -> None:
    facts = facts_of(State.JOB_FINISHED, attempt=attempt, exit_code=0, of_facts={"output": OUTPUT})
    assert said(facts) == Explanation((f"It ran {times}, and the last run ended well.",), (OUTPUT,), (AGAIN,))


def test_a_job_that_was_moved_to_its_end_did_not_run() -> None:
    assert said(facts_of(State.JOB_FINISHED)).sentences == (
        "It was moved there: no run of it that ended well is known.",
    )


def test_a_killed_job_tells_by_what() -> None:
    facts = facts_of(State.USER_KILLED, move("RUNNING", "USER_KILLED", "balsam killjob"))
    assert said(facts) == Explanation(("It was killed: balsam killjob.",), advice=(ANEW,))


def test_a_killed_job_may_still_be_ending() -> None:
    facts = facts_of(State.USER_KILLED, launcher_id=LAUNCHER_ID, of_facts=AT_WORK)
    assert said(facts).sentences == (
        "It was killed; by what was not recorded.",
        f"Launcher{NAMED[8:]} is ending what it started.",
    )
