"""Why a launcher is where it is, in whole sentences."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from balsam_core.explain.facts import Advice, Excerpt, Explanation, HeldJob, OneLauncher
from balsam_core.explain.launcher import explain_launcher
from balsam_core.state.machine import State
from tests.explaining import A_MINUTE_AGO, NOW, a_batch_job, a_launcher

BEGAN = f"Launcher aaaabbbb (serial mode, 1 node, on login1) began as pid 99 at {A_MINUTE_AGO}, for jobs of"


def said(**fields: Any) -> Explanation:
    """What is said of a launcher."""
    return explain_launcher(OneLauncher(a_launcher(**fields), NOW))


def test_a_live_launcher_without_jobs() -> None:
    assert said() == Explanation(
        (
            f"{BEGAN} all workflows.",
            "It is of no batch job.",
            "Its lease holds: it was heard of 3 seconds ago, and may be silent for 90 seconds.",
            "0 jobs ended well in its hands so far.",
            "It holds no job.",
        ),
        advice=(Advice("To end it gracefully, on login1", "kill -TERM 99"),),
    )


def test_its_workflow_and_its_batch_job_are_told() -> None:
    assert said(workflow="prod*", batch_job=a_batch_job(number=3)).sentences[:2] == (
        f"{BEGAN} the workflow prod*.",
        "It is of batch job 3 (played 7).",
    )


def test_the_service_has_a_lease_and_no_jobs() -> None:
    assert said(job_mode="service") == Explanation(
        (
            f"Service aaaabbbb (on login1) began as pid 99 at {A_MINUTE_AGO}, for jobs of all workflows.",
            "It runs no jobs: it submits batch jobs while work remains.",
            "Its lease holds: it was heard of 3 seconds ago, and may be silent for 90 seconds.",
        ),
        advice=(Advice("To end it", "balsam service stop"),),
    )
    assert said(job_mode="service", ended_at=NOW - 60, end_reason="told to").advice == ()


def test_a_batch_job_that_is_not_of_this_site_is_told() -> None:
    assert said(scheduler_id="4711").sentences[1] == (
        "It runs inside 4711, a batch job that this site has not submitted."
    )


def test_a_heartbeat_on_the_clock_of_another_machine_is_not_judged() -> None:
    assert said(silent_seconds=None).sentences[2] == (
        "Its lease was not ended; how old its heartbeat is, on another machine's clock, is not known."
    )


def test_what_it_holds_is_told() -> None:
    jobs = (
        HeldJob(UUID(int=1 << 96), "a", State.RUNNING, "n1", 12),
        HeldJob(UUID(int=2 << 96), "b", State.PREPROCESSED, "", None),
    )
    log = Excerpt("the end of its log", "/site/log/launcher-1.log", ("started",))
    launcher = a_launcher(held={State.PREPROCESSED: 5, State.RUNNING: 1}, jobs_done=1)
    explanation = explain_launcher(OneLauncher(launcher, NOW, jobs, log))
    assert explanation.sentences[3:] == (
        "1 job ended well in its hands so far.",
        "It holds 6 jobs: 5 PREPROCESSED, 1 RUNNING; the first 2:",
        "[a | 00000001] is RUNNING on n1, pid 12.",
        "[b | 00000002] is PREPROCESSED.",
    )
    assert explanation.excerpts == (log,)


@pytest.mark.parametrize(("expired", "how"), [(False, "It ended"), (True, "Others declared its lease over")])
def test_why_it_ended_is_told(expired: bool, how: str) -> None:
    explanation = said(ended_at=NOW - 60, end_reason="nothing more can run", expired=expired)
    assert explanation.sentences[2] == f"{how} at {A_MINUTE_AGO}: nothing more can run."
    assert explanation.advice == ()


@pytest.mark.parametrize(("workflow", "words"), [("", "--consume-all"), ("prod*", "--wf-filter 'prod*'")])
def test_another_launcher_takes_back_what_a_dead_one_holds(workflow: str, words: str) -> None:
    explanation = said(over="its process is gone", held={State.RUNNING: 1}, workflow=workflow)
    assert explanation.sentences[2] == (
        "Its lease is over: its process is gone; the next launcher of this site takes back what it holds."
    )
    assert explanation.advice == (Advice("Let another launcher take back its jobs", f"balsam launcher {words}"),)
