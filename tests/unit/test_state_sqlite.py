"""What holds for a site on SQLite alone: the plan of its claim, and the one machine that it serves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from balsam_core.errors import DatabaseError
from balsam_core.state.claims import Limits
from balsam_core.state.machine import State
from balsam_core.state.store import Store
from tests.helpers import MACHINE, claim, make_launcher, put, running, state_of, temporary_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return temporary_store(tmp_path)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(max_nodes=4, serial=False),
        Limits(minutes_left=5.0),
        Limits(minutes_left=5.0, most_gpus=4, most_memory_mb=8000),
    ],
)
@pytest.mark.parametrize("workflow", ["", "test", "te*"])
def test_the_claim_runs_over_a_partial_index_in_its_own_order(store: Store, limits: Limits, workflow: str) -> None:
    put(store, State.PREPROCESSED)
    statements: list[str] = []
    launcher = make_launcher(store)
    with store.database.write() as tx:
        tx.connection.driver_connection.set_trace_callback(statements.append)  # type: ignore[union-attr]
    assert claim(store, launcher, replace(limits, workflow=workflow))
    (query,) = [statement for statement in statements if "CLAIM" not in statement and "priority DESC" in statement]
    index = "jobs_claimable_serial" if limits.serial else "jobs_claimable"
    index = "jobs_claimable_workflow" if workflow == "test" else index
    with store.database.read() as tx:
        tx.connection.driver_connection.set_trace_callback(None)  # type: ignore[union-attr]
        plan = [row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
    assert len(plan) == 1
    assert plan[0].startswith(("SCAN", "SEARCH"))
    assert f"USING INDEX {index}" in plan[0]


def test_the_site_is_bound_to_one_machine_until_no_lease_of_it_lives(store: Store) -> None:
    store.adopt(MACHINE, "here")
    launcher = make_launcher(store)
    job = running(store, launcher)
    store.adopt(MACHINE, "here")
    with pytest.raises(DatabaseError, match=r"in use on the host here \(launcher pid \d+\) .* `balsam db adopt`"):
        store.adopt("other", "there")
    store.adopt_by_force("other", "there")
    assert state_of(store, job.job_id) is State.RESTART_READY
    store.adopt("third", "yonder")
