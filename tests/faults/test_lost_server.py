"""A PostgreSQL server that goes away, and a launcher that alone cannot reach it any more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from balsam_core.state.postgres import connect, postgres_url
from tests import helpers
from tests.faults.invariants import check
from tests.faults.world import World
from tests.integration.launching import temporary_site, wait_until
from tests.postgres import PostgresServer

pytestmark = pytest.mark.postgres
_LEASE_SECONDS = 10


@pytest.fixture
def world(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[World]:
    helpers.SERVER.append(postgres_server)
    with temporary_site(tmp_path) as site:
        yield World(site, server=postgres_server)
    helpers.SERVER.pop().give_back()


def test_launchers_wait_for_a_lost_server_beyond_their_lease_and_nothing_runs_twice(
    world: World, postgres_server: PostgresServer
) -> None:
    site = world.site
    # They bear an outage of twice as much, a busy machine's restart of the server included.
    site.environ["BALSAM_LAUNCHER__LEASE_SECONDS"] = f"{_LEASE_SECONDS}"
    jobs = [site.add(f"job{number}", application="plain", args="1") for number in range(10)]
    launchers = [site.start(), site.start()]
    for launcher in launchers:
        launcher.wait_started()
    wait_until(lambda: "RUNNING" in site.states())
    postgres_server.crash()
    time.sleep(_LEASE_SECONDS + 0.2)
    postgres_server.start()
    assert [launcher.wait() for launcher in launchers] == [0, 0], [launcher.text for launcher in launchers]
    assert any("no PostgreSQL server answers" in launcher.text for launcher in launchers)
    checked = check(site, jobs)
    assert (checked.jobs, checked.attempts, checked.taken_back) == (10, 10, 0)


def test_a_launcher_that_has_just_registered_waits_for_a_lost_server_too(
    world: World, postgres_server: PostgresServer
) -> None:
    site = world.site
    jobs = [site.add("job", application="plain", args="0.1", node_packing_count=2)]
    url = site.environ["BALSAM_SITE__DATABASE"]
    with closing(connect(postgres_url(url))) as blocker:
        blocker.execute("BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        launcher = site.start()
        launcher.wait_started()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%jobs%'"
        wait_until(lambda: blocker.execute(waiting).fetchone() == (1,))
        postgres_server.crash()
    postgres_server.start()
    assert launcher.wait() == 0, launcher.text
    assert check(site, jobs).attempts == 1
