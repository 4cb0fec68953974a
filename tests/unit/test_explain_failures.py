"""Why a job failed, in whole sentences."""

from __future__ import annotations

import pytest

from balsam_core.explain.facts import Advice, Excerpt, Explanation
from balsam_core.explain.failures import why_failed
from balsam_core.state.machine import State
from tests.explaining import LOG, OUTPUT, RETRY, SCRIPTED, a_parent, facts_of, move

REPAIRED = Advice("When that is repaired", "balsam retry 1234abcd")
PARENT = "its parent father [00000002] is FAILED"


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        (3, "ended with exit code 3"),
        (-9, "was ended by signal 9 (SIGKILL)"),
        (-1000, "was ended by signal 1000"),
        (139, "ended with exit code 139, with which a shell tells of signal 11 (SIGSEGV)"),
        (255, "ended with exit code 255"),
    ],
)
def test_a_run_failed_by_its_exit_code_or_a_signal(code: int, ended: str) -> None:
    run = (move("RUNNING", "RUN_ERROR", f"nonzero return {code}: so\nfar"), move("RUN_ERROR", "FAILED"))
    facts = facts_of(State.FAILED, *run, exit_code=code, of_facts={"output": OUTPUT})
    assert why_failed(facts) == Explanation((f"Attempt 1 {ended}.",), (OUTPUT,), (REPAIRED,))


def test_a_full_disk_is_told() -> None:
    end = move("RUNNING", "RUN_ERROR", "nonzero return 1, the disk of /site/data is full: no space")
    facts = facts_of(State.FAILED, end, move("RUN_ERROR", "FAILED"), exit_code=1)
    assert why_failed(facts).sentences == ("Attempt 1 ended with exit code 1.", "The disk of /site/data is full.")


def test_when_the_output_is_gone_the_history_has_its_end() -> None:
    end = move("RUNNING", "RUN_ERROR", "nonzero return 1: so\nfar")
    facts = facts_of(State.FAILED, end, move("RUN_ERROR", "FAILED"), exit_code=1)
    assert why_failed(facts).excerpts == (Excerpt("the end of its output, from its history", "", ("so", "far")),)


def test_a_run_that_could_not_be_started_tells_why_and_what_is_missing_here() -> None:
    end = move("RUNNING", "RUN_ERROR", "cannot start 'sim': No such file or directory")
    missing = ("the executable cannot run: no program 'sim' here or on PATH",)
    facts = facts_of(State.FAILED, end, move("RUN_ERROR", "FAILED"), of_facts={"missing": missing})
    assert why_failed(facts).sentences == (
        "Attempt 1 could not be started: cannot start 'sim': No such file or directory.",
        "On this host the executable cannot run: no program 'sim' here or on PATH.",
    )


def test_an_error_handler_that_failed_shows_its_log() -> None:
    run = (move("RUNNING", "RUN_ERROR", "nonzero return 3"), move("RUN_ERROR", "FAILED", "postprocess ended with 1"))
    facts = facts_of(State.FAILED, *run, exit_code=3, of_facts={"app": SCRIPTED, "script_log": LOG})
    assert why_failed(facts) == Explanation(
        ("Attempt 1 ended with exit code 3.", "Then it failed: postprocess ended with 1."), (LOG,), (REPAIRED,)
    )


def test_a_time_limit_of_its_own_may_be_raised() -> None:
    run = (
        move("RUNNING", "RUN_TIMEOUT", "met its timeout_seconds: so\nfar"),
        move("RUN_TIMEOUT", "FAILED", "met its own timeout_seconds after 3 reruns, the limit"),
    )
    assert why_failed(facts_of(State.FAILED, *run, timeout_seconds=5.0, of_facts={"output": OUTPUT})) == Explanation(
        (
            "Attempt 1 was stopped: met its timeout_seconds: so.",
            "Then it failed: met its own timeout_seconds after 3 reruns, the limit.",
        ),
        (OUTPUT,),
        (Advice("Give it more time", "balsam modify 1234abcd timeout_seconds SECONDS"), RETRY),
    )


def test_the_end_of_its_launcher_is_not_a_time_limit_of_its_own() -> None:
    run = (move("RUNNING", "RUN_TIMEOUT"), move("RUN_TIMEOUT", "FAILED", "auto_timeout_retry is off"))
    assert why_failed(facts_of(State.FAILED, *run)) == Explanation(
        ("Attempt 1 was stopped: no reason was recorded.", "Then it failed: auto_timeout_retry is off."),
        advice=(RETRY,),
    )


@pytest.mark.parametrize(("state", "kind"), [("STAGED_IN", "preprocess"), ("RUN_DONE", "postprocess")])
def test_a_failed_script_shows_its_log(state: str, kind: str) -> None:
    end = move(state, "FAILED", f"{kind} ended with exit code 2: bad input\nindeed")
    assert why_failed(facts_of(State.FAILED, end, of_facts={"app": SCRIPTED, "script_log": LOG})) == Explanation(
        (f"Its {kind} ended with exit code 2: bad input.",),
        (LOG,),
        (Advice("When the script is repaired", "balsam retry 1234abcd"),),
    )


@pytest.mark.parametrize("state", ["READY", "POSTPROCESSED"])
def test_failed_staging_tells_of_the_files(state: str) -> None:
    end = move(state, "FAILED", "stage in failed: nothing is at local:/x")
    assert why_failed(facts_of(State.FAILED, end, of_facts={"script_log": LOG})) == Explanation(
        ("Stage in failed: nothing is at local:/x.",),
        (LOG,),
        (Advice("When the files are in their place", "balsam retry 1234abcd"),),
    )


def test_it_names_the_ancestor_with_which_it_began() -> None:
    facts = facts_of(State.FAILED, move("CREATED", "FAILED", PARENT), of_facts={"root": a_parent(State.FAILED, "eve")})
    assert why_failed(facts) == Explanation(
        (
            "It never began: its parent father [00000002] is FAILED.",
            "It began with [eve | 00000001], which is FAILED.",
        ),
        advice=(
            Advice("See why [eve | 00000001] failed", "balsam explain 00000001"),
            Advice("When that is repaired, send it back with all that waits for it", "balsam retry 00000001"),
        ),
    )


def test_a_killed_ancestor_never_finishes() -> None:
    root = {"root": a_parent(State.USER_KILLED, "eve")}
    assert why_failed(facts_of(State.FAILED, move("AWAITING_PARENTS", "FAILED", PARENT), of_facts=root)).advice == (
        Advice(
            "A job that is USER_KILLED stays so: add it anew, or let this one go without its parents",
            "balsam modify 1234abcd wait_for_parents False",
        ),
        Advice("Then", "balsam retry 1234abcd"),
    )


def test_a_parent_that_is_gone_or_repaired_is_in_nobodys_way() -> None:
    facts = facts_of(State.FAILED, move("CREATED", "FAILED", "its parent father [00000002] was deleted"))
    assert why_failed(facts) == Explanation(
        (
            "It never began: its parent father [00000002] was deleted.",
            "That parent is not there any more, or has not failed now.",
        ),
        advice=(RETRY,),
    )


def test_a_missing_application_is_to_be_defined_and_the_job_sent_back() -> None:
    end = move("CREATED", "FAILED", "no application named sim")
    assert why_failed(facts_of(State.FAILED, end, application="sim", of_facts={"app": None})) == Explanation(
        ("No application named sim.",),
        advice=(Advice("Define the application", "balsam app --name sim --executable COMMAND"), RETRY),
    )


@pytest.mark.parametrize(("message", "told"), [("by hand", ""), ("by hand: balsam modify", ": balsam modify")])
def test_by_hand_is_told_as_such(message: str, told: str) -> None:
    assert why_failed(facts_of(State.FAILED, move("RUN_DONE", "FAILED", message))) == Explanation(
        (f"It was moved from RUN_DONE to FAILED by hand{told}.",), advice=(RETRY,)
    )


@pytest.mark.parametrize(("message", "told"), [("", "; why was not recorded"), ("so it goes", ": so it goes")])
def test_what_else_there_may_be_is_told_as_it_was_recorded(message: str, told: str) -> None:
    assert why_failed(facts_of(State.FAILED, move("CREATED", "FAILED", message))) == Explanation(
        (f"It failed in CREATED{told}.",), advice=(RETRY,)
    )


def test_without_a_history_nothing_is_guessed() -> None:
    assert why_failed(facts_of(State.FAILED)) == Explanation(("Why is not known: it has no history.",), advice=(RETRY,))


def test_a_run_of_which_nothing_is_recorded_is_not_known() -> None:
    facts = facts_of(State.FAILED, move("RUN_ERROR", "FAILED", "no error handler takes care of it"))
    assert why_failed(facts).sentences[0] == "How its last run ended is not known."
