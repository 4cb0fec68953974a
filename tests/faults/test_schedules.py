"""Short schedules of faults with fixed seeds; `make faults` runs long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import helpers
from tests.faults import faults
from tests.faults.schedule import each_once, run_schedule
from tests.postgres import PostgresServer


def test_on_one_node_no_schedule_loses_a_job_or_an_attempt(tmp_path: Path) -> None:
    steps = each_once(
        faults.kill_launcher_and_worker, faults.kill_worker, faults.kill_job, faults.hang_launcher, faults.step_clock
    )
    checked, struck = run_schedule(tmp_path, 1, steps)
    assert checked.jobs >= 12, checked
    assert sum(struck.values()) >= len(struck) - 1, struck


@pytest.mark.mpi
def test_on_several_nodes_no_schedule_loses_a_job_or_an_attempt(tmp_path: Path) -> None:
    steps = each_once(faults.kill_master, faults.hang_rank)
    checked, struck = run_schedule(tmp_path, 1, steps, nodes=3)
    assert checked.jobs >= 12, checked
    assert sum(struck.values()) >= len(struck) - 1, struck


@pytest.mark.postgres
def test_with_a_server_that_crashes_no_schedule_loses_a_job_or_an_attempt(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    steps = each_once(faults.crash_database, faults.kill_launcher, faults.hang_launcher)
    helpers.SERVER.append(postgres_server)
    try:
        checked, struck = run_schedule(tmp_path, 1, steps, server=postgres_server)
    finally:
        helpers.SERVER.pop().give_back()
    assert checked.jobs >= 12, checked
    assert sum(struck.values()) >= len(struck) - 1, struck
