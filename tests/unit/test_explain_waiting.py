"""Why a runnable job waits: which launchers and batch jobs there are, and why each does not take it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from balsam_core.explain.facts import Advice, Explanation, NodeShape
from balsam_core.explain.waiting import runnable
from balsam_core.models.batch import LaunchState
from balsam_core.state.machine import State
from tests.explaining import START, a_launcher, a_waiting_launch, facts_of, move

WAITS = "It waits for a launcher that takes it."
TURN = Advice("Nothing is to be done: it runs when its turn comes")


def said(of_facts: dict[str, Any], **fields: Any) -> Explanation:
    """What is said of a job that may run for the first time."""
    return runnable(facts_of(State.PREPROCESSED, of_facts=of_facts, **fields))


def of_launcher(shape: NodeShape = NodeShape(), launcher: dict[str, Any] | None = None, **fields: Any) -> str:  # noqa: B008 frozen
    """What is said of the one launcher there is."""
    sentences = said({"launchers": (a_launcher(**(launcher or {})),), "shape": shape}, **fields).sentences
    return sentences[1].partition("on login1) ")[2]


def test_where_nobody_is_a_launcher_is_to_be_started() -> None:
    assert said({}) == Explanation((WAITS, "No launcher runs, and no batch job waits or runs."), advice=(START,))


@pytest.mark.parametrize(
    ("minutes", "fields", "command"),
    [
        (None, {}, "-n 1 -t MINUTES --job-mode serial --wf-filter test"),
        (32, {"num_nodes": 4}, "-n 4 -t 32 --job-mode mpi --wf-filter test"),
        (None, {"workflow": "a b"}, "-n 1 -t MINUTES --job-mode serial --wf-filter 'a b'"),
    ],
)
def test_where_there_is_a_scheduler_a_batch_job_is_to_be_submitted(
    minutes: int | None, fields: dict[str, Any], command: str
) -> None:
    assert said({"scheduler": "slurm", "minutes": minutes}, **fields).advice == (
        Advice("Submit a batch job", f"balsam submit-launch {command}"),
    )


@pytest.mark.parametrize(
    ("launcher", "fields", "why"),
    [
        ({"workflow": "prod*"}, {}, "it runs jobs of the workflow 'prod*', and this one is of 'test'"),
        ({"workflow": "t?st"}, {}, "it runs jobs of the workflow 't?st', and this one is of 'test'"),
        (
            {},
            {"ranks_per_node": 4},
            "the job has 4 ranks; serial mode runs single processes, use --job-mode mpi",
        ),
        ({"job_mode": "mpi"}, {"num_nodes": 2}, "the job asks for 2 nodes, the launcher has 1"),
        ({"most_seconds_left": 90.0}, {"wall_time_minutes": 5}, "the job needs 5 minutes, 1.5 are left"),
    ],
)
def test_each_launcher_says_why_it_does_not_take_it(launcher: dict[str, Any], fields: dict[str, Any], why: str) -> None:
    assert of_launcher(launcher=launcher, **fields) == f"does not take it: {why}."


@pytest.mark.parametrize(
    ("shape", "fields", "why", "advice"),
    [
        (
            NodeShape(gpus=2),
            {"gpus_per_rank": 4},
            "asks for 4 GPUs per node, the node has 2",
            "balsam modify 1234abcd gpus_per_rank N",
        ),
        (
            NodeShape(memory_mb=100),
            {"memory_mb": 200},
            "asks for 200 MB per node, the node has 100",
            "balsam modify 1234abcd memory_mb N",
        ),
    ],
)
def test_what_no_node_has_by_the_settings_no_launcher_will_bring(
    shape: NodeShape, fields: dict[str, Any], why: str, advice: str
) -> None:
    assert of_launcher(shape, **fields) == f"does not take it: the job {why}, by the settings."
    assert said({"shape": shape}, **fields).advice == (
        Advice(f"By the settings no node fits: the job {why}; ask for less", advice),
    )


def test_a_workflow_that_fits_a_pattern_is_taken() -> None:
    assert of_launcher(launcher={"workflow": "te*"}) == "could take it: nothing that is recorded keeps it from that."


@pytest.mark.parametrize(
    ("taken", "packing", "text"),
    [
        (Fraction(1), 4, "its jobs take 1 node of its 1, and this one needs 1/4 of a node"),
        (Fraction(1, 2), 1, "its jobs take 1/2 of a node of its 1, and this one needs 1 node"),
    ],
)
def test_a_launcher_that_is_full_has_no_room_now(taken: Fraction, packing: int, text: str) -> None:
    assert of_launcher(launcher={"nodes_taken": taken}, node_packing_count=packing) == (
        f"has no room for it now: {text}."
    )


def test_jobs_that_come_first_are_counted() -> None:
    explanation = said({"launchers": (a_launcher(),), "ahead": 3})
    assert explanation == Explanation(
        (
            WAITS,
            "Launcher aaaabbbb (serial mode, 1 node, on login1) could take it; "
            "runnable jobs of the site that come first: 3.",
        ),
        advice=(TURN,),
    )


def test_a_queued_batch_job_would_take_it_and_tells_what_the_scheduler_says() -> None:
    launch = a_waiting_launch(raw_state="PENDING", reason="Priority")
    assert said({"launches": (launch,)}) == Explanation(
        (
            WAITS,
            "Batch job 1 (played 7) is QUEUED (played says PENDING: Priority), and would take it.",
            "No launcher runs.",
        ),
        advice=(Advice("It runs when a batch job begins; see what that waits for", "balsam explain launch 1"),),
    )


def test_a_queued_batch_job_that_is_too_short_would_not_take_it() -> None:
    explanation = said({"launches": (a_waiting_launch(usable_seconds=540.0),)}, wall_time_minutes=10)
    assert explanation.sentences[1] == (
        "Batch job 1 (played 7) is QUEUED, and would not take it: the job needs 10 minutes, 9 are left."
    )
    assert explanation.advice == (START,)


def test_a_service_submits_batch_jobs_for_it() -> None:
    assert said({"service": a_launcher(job_mode="service")}) == Explanation(
        (
            WAITS,
            "No launcher runs, and no batch job waits or runs.",
            "Service aaaabbbb (on login1) submits batch jobs while work remains.",
        ),
        advice=(Advice("The service submits batch jobs; see what it is about to do", "balsam service status"),),
    )


def test_a_service_of_another_workflow_does_nothing_for_it() -> None:
    explanation = said({"service": a_launcher(job_mode="service", workflow="prod")})
    assert explanation.sentences[2] == (
        "Service aaaabbbb (on login1) submits none for it: "
        "it runs jobs of the workflow 'prod', and this one is of 'test'."
    )
    assert explanation.advice == (START,)


def test_of_all_that_may_come_the_one_that_would_take_it_is_named() -> None:
    launches = (a_waiting_launch(number=1, wf_filter="prod"), a_waiting_launch(number=2))
    explanation = said({"launchers": (a_launcher(workflow="prod"),), "launches": launches})
    assert explanation.advice == (
        Advice("It runs when a batch job begins; see what that waits for", "balsam explain launch 2"),
    )


def test_a_refusal_for_its_size_is_not_laid_on_the_settings() -> None:
    assert of_launcher(NodeShape(gpus=2), {"job_mode": "mpi"}, num_nodes=3, gpus_per_rank=4) == (
        "does not take it: the job asks for 3 nodes, the launcher has 1."
    )


def test_a_batch_job_that_runs_without_a_launcher_is_told() -> None:
    launch = a_waiting_launch(state=LaunchState.RUNNING, scheduler_id=None)
    assert said({"launches": (launch,)}).sentences[1] == (
        "Batch job 1 (played without an id) is RUNNING, but no launcher of it lives, and would take it."
    )


def test_what_the_site_cannot_know_is_said() -> None:
    explanation = said({"launchers": (a_launcher(),)}, gpus_per_rank=1, memory_mb=10, wall_time_minutes=5)
    assert explanation.sentences[1:] == (
        "Launcher aaaabbbb (serial mode, 1 node, on login1) could take it: "
        "nothing that is recorded keeps it from that.",
        "It asks for GPUs; how many a launcher finds on its nodes is not known here.",
        "It asks for memory; how much a launcher finds on its nodes is not known here.",
        "It declares a wall time; how long a launcher outside of batch jobs may run is not known here.",
    )


def test_a_program_that_is_missing_on_this_host_is_told() -> None:
    missing = ("the executable cannot run: no program 'sim' here or on PATH",)
    assert said({"missing": missing}).sentences[-1] == (
        "On this host the executable cannot run: no program 'sim' here or on PATH."
    )


@pytest.mark.parametrize(
    ("attempt", "moves", "told"),
    [
        (
            1,
            [move("RUNNING", "RUN_TIMEOUT", "stopped with its launcher"), move("RUN_TIMEOUT", "RESTART_READY")],
            "It ran once before, the last time to RUN_TIMEOUT, and is to run again.",
        ),
        (
            2,
            [move("RUNNING", "RESTART_READY", "the lease of launcher 1 expired")],
            "It ran 2 times before, and is to run again: the lease of launcher 1 expired.",
        ),
        (1, [], "It ran once before, and is to run again."),
    ],
)
def test_a_job_that_ran_before_tells_why_it_is_to_run_again(attempt: int, moves: list[Any], told: str) -> None:
    facts = facts_of(State.RESTART_READY, *moves, attempt=attempt)
    assert runnable(facts).sentences[:2] == (told, WAITS)
