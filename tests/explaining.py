"""Facts for explanations, of which a test states only what matters."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from balsam_core.explain.facts import Advice, Excerpt, JobFacts, LauncherFacts, Move, Relative, WaitingLaunch
from balsam_core.models.app import AppSpec
from balsam_core.models.batch import BatchJob
from balsam_core.models.job import Job
from balsam_core.state.machine import State
from tests.batching import make_batch_job
from tests.helpers import make_job

NOW = 1_000_000_000.0
# A minute before NOW, as explanations write it.
A_MINUTE_AGO = "2001-09-09 01:45:40 UTC (60 seconds ago)"
JOB_ID = UUID("1234abcd-0000-4000-8000-000000000000")
LAUNCHER_ID = UUID("aaaabbbb-0000-4000-8000-000000000000")
APP = AppSpec(name="true", executable="/bin/true")
SCRIPTED = AppSpec(name="scripted", executable="/bin/true", preprocess="/pre", postprocess="/post")

START = Advice("Start a launcher", "balsam launcher --job-mode serial --wf-filter test")
RETRY = Advice("Send it back to be run again", "balsam retry 1234abcd")
OUTPUT = Excerpt("the end of its output", "/site/data/job.out", ("so", "far"))
LOG = Excerpt("the end of its script's log", "/site/data/preprocess.log", ("bad input",))


def the_job(state: State, **fields: Any) -> Job:
    """A job with a known id, in its state for a minute."""
    return make_job(state, **{"job_id": JOB_ID, "state_at": NOW - 60, **fields})


def facts_of(state: State, *moves: Move, of_facts: dict[str, Any] | None = None, **fields: Any) -> JobFacts:
    """A job in that state, by default of an application that is there, on a site where nothing runs."""
    return JobFacts(**{"job": the_job(state, **fields), "now": NOW, "moves": moves, "app": APP, **(of_facts or {})})


def move(from_state: str, to_state: str, message: str = "", attempt: int = 1) -> Move:
    """One event."""
    return Move(attempt, from_state, to_state, NOW - 60, message)


def a_launcher(**fields: Any) -> LauncherFacts:
    """A launcher that lives, on one node, for all workflows."""
    given = {"launcher_id": LAUNCHER_ID, "host": "login1", "pid": 99, "job_mode": "serial", "workflow": "", "nodes": 1}
    return LauncherFacts(**{**given, "started_at": NOW - 60, "lease_seconds": 90.0, "silent_seconds": 3.0, **fields})


def a_batch_job(**fields: Any) -> BatchJob:
    """A batch job that waits in the queue for a minute."""
    return make_batch_job(**{"state_at": NOW - 60, **fields})


def a_waiting_launch(usable_seconds: float = 580.0, **fields: Any) -> WaitingLaunch:
    """A batch job without a launcher."""
    return WaitingLaunch(a_batch_job(**fields), usable_seconds)


def a_parent(state: State, name: str = "mother", number: int = 1, *, hold: bool = False) -> Relative:
    """A parent with an id of its own."""
    return Relative(UUID(int=number << 96), name, state, hold)
