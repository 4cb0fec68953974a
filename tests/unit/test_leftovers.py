"""Why jobs are left, in words and counted."""

from __future__ import annotations

from uuid import UUID

from balsam_core.launcher.leftovers import why_left
from balsam_core.launcher.modes import SerialMode
from balsam_core.models.nodes import Node
from balsam_core.state.machine import State
from tests.helpers import make_job

MODE = SerialMode([Node("n", "n", memory_mb=100)], "")


def test_reasons_are_counted_most_jobs_first() -> None:
    left = [
        make_job(State.PREPROCESSED, hold=True),
        *[make_job(State.AWAITING_PARENTS) for _ in range(3)],
        *[make_job(State.PREPROCESSED, ranks_per_node=2) for _ in range(2)],
    ]
    assert why_left(left, MODE, None) == [
        "3 jobs: waits for parents that have not finished",
        "2 jobs: has 2 ranks; serial mode runs single processes, use --job-mode mpi",
        "1 job: on hold; release with `balsam release`",
    ]


def test_each_reason_names_what_is_in_the_way() -> None:
    reasons = [
        make_job(State.RUNNING, launcher_id=UUID(int=1 << 96)),
        make_job(State.RESTART_READY, memory_mb=200),
        make_job(State.PREPROCESSED, wall_time_minutes=3),
        make_job(State.RUN_DONE),
    ]
    assert sorted(why_left(reasons, MODE, 60.0)) == [
        "1 job: RUN_DONE, would run in another launch",
        "1 job: asks for 200 MB per node, the node has 100",
        "1 job: held by launcher 00000001",
        "1 job: needs 3 minutes, 1 are left",
    ]


def test_nothing_left_needs_no_words() -> None:
    assert why_left([], MODE, None) == []
