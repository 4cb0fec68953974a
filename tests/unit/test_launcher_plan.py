"""The plan that a launcher leaves for the master of its ranks."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from balsam_core.launcher.loop import Rules
from balsam_core.launcher.plan import Plan, read_plan
from balsam_core.models.nodes import Node
from balsam_core.state.outcomes import RetryPolicy


def test_the_time_for_jobs_ends_a_grace_before_the_deadline_on_the_clock_of_whoever_reads_it(tmp_path: Path) -> None:
    rules = Rules(uuid4(), "machine", tmp_path, tmp_path, 90.0, 5.0, RetryPolicy(), deadline=1.0)
    file = tmp_path / "plan.json"
    Plan(rules=rules, nodes=(Node("a", "a"),), workflow="", environ={}, observed=False, seconds_left=60.0).write(file)
    own = read_plan(file).own_rules()
    assert not file.exists()
    assert own.seconds_for_jobs is not None
    assert 50.0 < own.seconds_for_jobs <= 55.0


def test_without_a_limit_there_is_no_end_of_the_time_for_jobs(tmp_path: Path) -> None:
    rules = Rules(uuid4(), "machine", tmp_path, tmp_path, 90.0, 5.0, RetryPolicy())
    plan = Plan(rules=rules, nodes=(Node("a", "a"),), workflow="", environ={}, observed=False)
    assert plan.own_rules().seconds_for_jobs is None
